"""Stand-ins for the commands of OpenPBS."""

from __future__ import annotations

import re
import signal
import sys

import jobs

SERVER = "standin"


def qsub(words: list[str]) -> None:
    jobs.meet_submit_faults()
    with open(words[-1]) as file:
        script = file.read()
    if jobs.option(script, "#PBS", "-t"):
        jobs.leave("qsub: invalid option -- 't'", 2)
    queue = jobs.option(script, "#PBS", "-q") or (words[words.index("-q") + 1] if "-q" in words else None)
    if queue == "nosuch":
        jobs.leave("qsub: Unknown queue", 170)
    array = jobs.option(script, "#PBS", "-J")
    if array == "1-1":
        jobs.leave("qsub: Illegal -J value", 1)
    output = jobs.option(script, "#PBS", "-o")
    job = jobs.submit(
        script, jobs.range_of(array), lambda job, index: output,
        lambda job, index: {"PBS_JOBID": f"{job}.{SERVER}", **({"PBS_ARRAY_INDEX": str(index)} if array else {})})
    (jobs.JOBS / job / "array").write_text("[]" if array else "")
    print(f"{job}{'[]' if array else ''}.{SERVER}")


def parse(name: str) -> tuple[str, bool, int | None] | None:
    """Number, whether it was written as an array, element."""
    found = re.fullmatch(r"(\d+)(\[(\d*)\])?\.standin", name)
    if not found or not (jobs.JOBS / found.group(1)).exists():
        return None
    is_array = (jobs.JOBS / found.group(1) / "array").read_text() == "[]"
    # Digits alone name no array.
    if is_array != bool(found.group(2)):
        return None
    return found.group(1), is_array, int(found.group(3)) if found.group(3) else None


def chosen(name: str) -> list[jobs.Element] | None:
    parsed = parse(name)
    if parsed is None:
        print(f"qstat: Unknown Job Id {name}", file=sys.stderr)
        return None
    return [element for element in jobs.elements(parsed[0]) if parsed[2] in (None, element.index)]


def exit_status(element: jobs.Element) -> int:
    code = element.exit_code
    special = {"time": -29, "memory": -27, "node": -11}
    return special.get(element.reason, code if code >= 0 else 256 - code)


def show(name: str, element: jobs.Element) -> None:
    print(f"Job Id: {name}\n    Job_Name = ipengine")
    if element.is_waiting:
        print("    job_state = Q\n    comment = Not Running: Insufficient amount of resource: ncpus")
    elif element.exit_code is None:
        print("    job_state = R\n    exec_host = node1/0")
    else:
        print(f"    job_state = F\n    exec_host = node1/0\n    Exit_status = {exit_status(element)}")
    print()


def qstat(words: list[str]) -> None:
    if "--version" in words:
        jobs.meet_version_fault()
        print("pbs_version = 23.06.06")
        return
    jobs.meet_status_faults()
    code = 0
    for name in [word for word in words if not word.startswith("-")]:
        found = chosen(name)
        if found is None:
            code = 153
            continue
        _, is_array, _ = parse(name)
        if is_array:
            print(f"Job Id: {name}\n    job_state = B\n    array = True\n")
        for element in found:
            show(name.replace("[]", f"[{element.index}]"), element)
    sys.exit(code)


def qdel(words: list[str]) -> None:
    code = 0
    is_forced = words[:2] == ["-W", "force"]
    for name in words[2 if is_forced else 0:]:
        found = chosen(name)
        if found is None or all(element.exit_code is not None for element in found):
            print(f"qdel: Job has finished {name}", file=sys.stderr)
            code = 35
        for element in found or []:
            element.end("cancelled", signal.SIGKILL if is_forced else signal.SIGTERM)
    sys.exit(code)


def qsig(words: list[str]) -> None:
    for name in words[2:]:
        for element in chosen(name) or []:
            element.kill(jobs.signal_number(words[1]))
