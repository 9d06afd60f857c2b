"""Stand-ins for LSF's commands."""

from __future__ import annotations

import re
import signal
import sys

import jobs


def bsub(words: list[str]) -> None:
    jobs.meet_submit_faults()
    script = sys.stdin.read()
    queue = jobs.option(script, "#BSUB", "-q") or (words[words.index("-q") + 1] if "-q" in words else "normal")
    if queue == "nosuch":
        jobs.leave("nosuch: No such queue. Job not submitted.", 255)
    array = re.search(r"^#BSUB -J \w+\[(\d+-\d+)\]", script, re.MULTILINE)
    output = jobs.option(script, "#BSUB", "-oo")
    job = jobs.submit(
        script, jobs.range_of(array and array.group(1)), lambda job, index: output,
        lambda job, index: {"LSB_JOBID": job, "LSB_JOBINDEX": str(index)})
    print(f"Warning: the memory of job {job}9 is not limited.\nJob <{job}> is submitted to queue <{queue}>.")


def bjobs(words: list[str]) -> None:
    jobs.meet_status_faults()
    ids = [word for word in words[words.index("-o") + 2:] if not word.startswith("-")]
    terms = {
        "time": "TERM_RUNLIMIT: job killed after reaching LSF run time limit", "memory": "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
        "cancelled": "TERM_OWNER: job killed by owner", "node": "TERM_ZOMBIE: job exited while LSF is not available"}
    code = 0
    for job in ids:
        found = jobs.elements(job)
        if found is None:
            print(f"Job <{job}> is not found", file=sys.stderr)
            code = 255
        for element in found or []:
            if element.is_waiting:
                fields = ["PEND", "-", "-", "-", "New job is waiting for scheduling;"]
            elif element.exit_code is None:
                fields = ["RUN", "-", "node1", "-", "-"]
            elif element.exit_code == 0 and not element.reason:
                fields = ["DONE", "0", "node1", "-", "-"]
            else:
                number = element.exit_code if element.exit_code >= 0 else 128 - element.exit_code
                fields = ["EXIT", str(number), "node1", terms.get(element.reason, "-"), "-"]
            print("|".join([job, str(element.index), *fields]))
    sys.exit(code)


def bkill(words: list[str]) -> None:
    number = None
    if words[0] == "-s":
        number = jobs.signal_number(words[1])
        words = words[2:]
    code = 0
    for name in words:
        job, _, index = name.rstrip("]").partition("[")
        live = [e for e in jobs.elements(job) or [] if e.exit_code is None and (not index or e.index == int(index))]
        if not live:
            print(f"Job <{name}>: Job has already finished", file=sys.stderr)
            code = 255
        for element in live:
            if number in (None, signal.SIGKILL):
                element.end("cancelled", number or signal.SIGTERM)
            else:
                element.kill(number)
            print(f"Job <{job}[{element.index}]> is being terminated")
    sys.exit(code)
