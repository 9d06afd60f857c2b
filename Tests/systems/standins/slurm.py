"""Stand-ins for Slurm's commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import jobs


def sbatch(words: list[str]) -> None:
    jobs.meet_submit_faults()
    path = words[-1]
    with open(path) as file:
        script = file.read()
    given = "".join(f"#SBATCH {word}\n" for word in words[:-1])
    lines = given + script
    if jobs.option(lines, "#SBATCH", "--partition") == "nosuch":
        jobs.leave("sbatch: error: invalid partition specified: nosuch\n"
                   "sbatch: error: Batch job submission failed: Invalid partition name specified", 1)
    count = jobs.option(lines, "#SBATCH", "--ntasks") or "1"
    output = jobs.option(lines, "#SBATCH", "--output")
    job = jobs.submit(
        script, [0], lambda job, index: output or f"slurm-{job}.out",
        lambda job, index: {"SLURM_JOB_ID": job, "SLURM_NTASKS": count, "SLURM_JOB_NODELIST": "node1"})
    print(f"Submitted batch job {job}")


def srun(words: list[str]) -> None:
    output = None
    while words and words[0].startswith("-"):
        name, _, value = words.pop(0).partition("=")
        if name == "--output":
            output = value
    children = []
    for task in range(int(os.environ["SLURM_NTASKS"])):
        file = open(output.replace("%t", str(task)), "ab") if output else None
        children.append(subprocess.Popen(words, stdout=file, stderr=file, env={**os.environ, "SLURM_PROCID": str(task)}))
    code = 0
    signal.signal(signal.SIGTERM, lambda *_: None)
    tasks = {child.pid: task for task, child in enumerate(children)}
    while tasks:
        pid, status = os.wait()
        task, ended = tasks.pop(pid), os.waitstatus_to_exitcode(status)
        if ended:
            how = "Exited with exit code %d" % ended if ended > 0 else {9: "Killed", 15: "Terminated"}.get(-ended, "Aborted")
            print(f"srun: error: node1: task {task}: {how}", file=sys.stderr, flush=True)
            code = max(code, ended if ended > 0 else 128 - ended)
    sys.exit(code)


def state(element: jobs.Element) -> str:
    if element.is_waiting:
        return "PENDING"
    if element.exit_code is None:
        return "RUNNING"
    names = {"time": "TIMEOUT", "memory": "OUT_OF_MEMORY", "node": "NODE_FAIL", "cancelled": "CANCELLED"}
    return names.get(element.reason) or ("COMPLETED" if element.exit_code == 0 else "FAILED")


def squeue(words: list[str]) -> None:
    jobs.meet_status_faults()
    ids = words[words.index("-j") + 1].split(",")
    known = {job: jobs.elements(job) for job in ids}
    if not any(known.values()):
        jobs.leave("slurm_load_jobs error: Invalid job id specified", 1)
    for job, found in known.items():
        if "-O" in words:
            # Which is asked for with the number of restarts.
            if found:
                print(f"{job:<20}{0:<20}")
            continue
        for element in found or []:
            name = state(element)
            print(f"{job}|{name}|{'Resources' if name == 'PENDING' else 'None'}|{'' if name == 'PENDING' else 'node1'}")


def scancel(words: list[str]) -> None:
    number = None
    while words and words[0].startswith("-"):
        word = words.pop(0)
        number = jobs.signal_number(words.pop(0) if word == "-s" else word.partition("=")[2])
    for job in words:
        # Of an unknown id it says nothing, and succeeds.
        for element in jobs.elements(job) or []:
            if number is None or number == signal.SIGKILL:
                element.end("cancelled", number or signal.SIGTERM)
            else:
                element.kill(number)


def scontrol(words: list[str]) -> None:
    found = jobs.elements(words[-1])
    if not found:
        jobs.leave("slurm_load_jobs error: Invalid job id specified", 1)
    code = found[0].exit_code or 0
    print(f"JobId={words[-1]} JobState={state(found[0])} ExitCode={code if code >= 0 else 0}:{-code if code < 0 else 0} RunTime=00:00:01")


def sacct(words: list[str]) -> None:
    jobs.leave("Slurm accounting storage is disabled", 1)
