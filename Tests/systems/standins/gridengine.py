"""Stand-ins for the commands of Grid Engine."""

from __future__ import annotations

import signal
import sys

import jobs


def qsub(words: list[str]) -> None:
    jobs.meet_submit_faults()
    with open(words[-1]) as file:
        script = file.read()
    queue = jobs.option(script, "#$", "-q") or (words[words.index("-q") + 1] if "-q" in words else None)
    if queue == "nosuch":
        jobs.leave('Unable to run job: Job was rejected because job requests unknown queue "nosuch"\nExiting.', 1)
    array = jobs.option(script, "#$", "-t")
    output = jobs.option(script, "#$", "-o")
    job = jobs.submit(
        script, jobs.range_of(array), lambda job, index: output, lambda job, index: {"JOB_ID": job, "SGE_TASK_ID": str(index)})
    print(f'Your job-array {job}.{array}:1 ("ipengine") has been submitted')


def qstat(words: list[str]) -> None:
    jobs.meet_status_faults()
    lines = []
    for folder in sorted(jobs.JOBS.iterdir() if jobs.JOBS.exists() else [], key=lambda path: int(path.name)):
        waiting = []
        for element in jobs.elements(folder.name):
            if element.is_waiting:
                waiting.append(element.index)
            elif element.exit_code is None:
                lines.append(f"{folder.name:>7} 0.50000 ipengine   usr          r     11/28/2026 22:33:10 all.q@node1      1 {element.index}")
        if waiting:
            lines.append(f"{folder.name:>7} 0.00000 ipengine   usr          qw    11/28/2026 22:33:10      1 {waiting[0]}-{waiting[-1]}:1")
    if lines:
        print("job-ID  prior   name       user         state submit/start at     queue          slots ja-task-ID\n" + "-" * 100)
        print("\n".join(lines))


def qacct(words: list[str]) -> None:
    found = jobs.elements(words[words.index("-j") + 1])
    index = int(words[words.index("-t") + 1]) if "-t" in words else 1
    ended = [element for element in found or [] if element.index == index and element.exit_code is not None]
    if not ended:
        jobs.leave(f"error: job id {words[1]} not found", 1)
    element = ended[0]
    code = element.exit_code if element.exit_code >= 0 else 128 - element.exit_code
    failed = {"time": "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit", "node": "22  : invalid execution state"}
    print(f"hostname     node1\nfailed       {failed.get(element.reason, '0' if code < 128 else '100 : assumedly after job')}\nexit_status  {code}")
    if element.reason == "cancelled":
        print("deleted_by   usr@node1")


def qdel(words: list[str]) -> None:
    code = 0
    for name in [word for word in words if word != "-f"]:
        job, _, index = name.partition(".")
        live = [e for e in jobs.elements(job) or [] if e.exit_code is None and (not index or e.index == int(index))]
        if not live:
            print(f'denied: job "{name}" does not exist')
            code = 1
        for element in live:
            element.end("cancelled", signal.SIGKILL)
            print(f"usr has registered the job-array task {job}.{element.index} for deletion")
    sys.exit(code)
