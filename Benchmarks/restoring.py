#!/usr/bin/env python3
"""From the death of a controller with a journal to the first task that the next one places: the whole thing, with an engine and a client.

    Benchmarks/restoring.py --prefix DIR [--tasks N] [--rounds N] [--journal DIR] [--perf FILE]

So many tasks of a Python client of Apus wait in the queue, each of which leaves the time at which it runs. The controller is killed and started
again at once; the engine and the client live on and come back. What is printed, as JSON: the seconds from the start of the process until the journal
is read, until the scheduler has its tasks again, and until the first of them runs; the bytes of the journal; the bytes of memory that a task takes
before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts" / "lib"))

import processes  # noqa: E402
from harness.marks import mark  # noqa: E402
from temporary_cluster import environment  # noqa: E402

#: For each step that is waited for, in seconds.
PATIENCE = 300.0
#: One keeps 256 MB of requests under way.
TASKS_OF_A_CLIENT = 125_000


class Cluster:
    """A controller, and an engine for it, as processes of their own."""

    def __init__(self, prefix: Path, directory: str, perf: Path | None):
        self.prefix = prefix
        self.perf = perf
        self.directory = Path(directory)
        self.mark = uuid.uuid4().hex
        self.env = environment(directory, self.mark, PYTHONPATH=str(HERE))
        self.profile = self.directory / "profile_default"
        self.started: list[subprocess.Popen] = []
        self.logs = 0
        self.marks = self.directory / "marks"
        self.marks.touch()

    def start(self, *command: str) -> subprocess.Popen:
        self.logs += 1
        self.log = self.directory / f"{self.logs}.log"
        with self.log.open("wb") as file:
            self.started.append(subprocess.Popen(
                command, env=self.env, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True))
        return self.started[-1]

    def start_controller(self, watched: bool = False) -> subprocess.Popen:
        perf = ["perf", "record", "-g", "-o", str(self.perf)] if self.perf and watched else []
        return self.start(*perf, str(self.prefix / "bin" / "apus"), "controller", "--journal")

    def start_engine(self) -> None:
        self.start(str(self.prefix / "bin" / "apus"), "engine", f"--timeout={PATIENCE:.0f}")

    @property
    def journal_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self.profile / "journal").glob("*.log"))

    def controller(self) -> int:
        return next(process.pid for process in processes.processes(self.mark) if process.role == "controller" and "perf" not in process.command[0])

    def rss(self) -> int:
        return processes.memory(self.controller())["rss"]

    def stop(self) -> None:
        processes.end(self.mark)
        for process in self.started:
            process.wait()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def wait(until, what: str, interval: float = 0.002):
    deadline = time.monotonic() + PATIENCE
    while not (found := until()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} took more than {PATIENCE:.0f} s")
        time.sleep(interval)
    return found


def at(log: Path, sentence: str) -> float | None:
    """The time of day of a line of a log."""
    for line in log.read_text(errors="replace").splitlines():
        if sentence in line and (found := re.search(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,]\d+", line)):
            text = found[0].replace(",", ".").replace("T", " ")
            whole, fraction = text.split(".")
            return time.mktime(time.strptime(whole, "%Y-%m-%d %H:%M:%S")) + float("0." + fraction)
    return None


def submit(cluster: Cluster, tasks: int, report: dict) -> list:
    """Queues the tasks, and waits until they are in the journal. The clients live on with their futures."""
    import apus

    file = cluster.profile / "security" / "ipcontroller-client.json"
    wait(file.exists, "the controller's start")
    report["empty"] = cluster.rss()
    kept = []
    left = tasks
    began = time.perf_counter()
    while left > 0:
        client = apus.Client(str(file))
        view = client.load_balanced_view()
        kept.append((client, [view.apply_async(mark) for _ in range(min(TASKS_OF_A_CLIENT, left))]))
        left -= TASKS_OF_A_CLIENT
    wait(lambda: kept[0][0].queue_status()["unassigned"] == tasks, "queueing the tasks", interval=0.5)
    report["tasks_per_s"] = round(tasks / (time.perf_counter() - began))
    size = -1
    while size != cluster.journal_bytes:
        size = cluster.journal_bytes
        time.sleep(0.2)
    report["bytes_per_task_before"] = (cluster.rss() - report["empty"]) / tasks
    say(f"{tasks} tasks are queued")
    return kept


def restart(cluster: Cluster, engine: bool, watched: bool) -> dict:
    """Kills the controller, and measures the next one."""
    os.kill(cluster.controller(), signal.SIGKILL)
    if engine:
        cluster.start_engine()
    # An engine runs what it has; then it has nothing.
    time.sleep(1)
    before = cluster.marks.stat().st_size
    began = time.time()
    cluster.start_controller(watched)
    log = cluster.log
    wait(lambda: cluster.marks.stat().st_size > before, "a restart")
    with cluster.marks.open("rb") as lines:
        lines.seek(before)
        first = min(map(float, lines.read().split()[:50]))
    numbers = {"first_task": first - began}
    for key, sentence in [("read", "the journal is read"), ("queued", "the tasks of the controller before")]:
        if moment := at(log, sentence):
            numbers[key] = moment - began
    say(f"    {numbers}")
    return numbers


def measure(prefix: Path, tasks: int, rounds: int, perf: Path | None, kept: Path | None) -> dict:
    sys.path.insert(0, str(prefix / "lib" / "apus" / "python"))
    with tempfile.TemporaryDirectory(prefix="ar-") as directory:
        cluster = Cluster(prefix, directory, perf)
        report: dict = {"tasks": tasks}
        clients = []
        try:
            if kept is not None and kept.exists():
                shutil.copytree(kept, cluster.profile)
                report["empty"] = 0
            else:
                cluster.start_controller()
                clients = submit(cluster, tasks, report)
                if kept is not None:
                    shutil.copytree(cluster.profile, kept)
            report["journal_mb"] = cluster.journal_bytes / 1e6
            if not clients:
                cluster.start_controller()
                wait(lambda: at(cluster.log, "the controller is ready"), "the first restart")
            report["rounds"] = [restart(cluster, engine=n == 0, watched=n == rounds - 1) for n in range(rounds)]
            report |= {f"{key}_s": statistics.median(one[key] for one in report["rounds"] if key in one) for key in report["rounds"][0]}
            report["bytes_per_task_after"] = (cluster.rss() - report.pop("empty")) / tasks
            if perf is not None:
                os.kill(cluster.started[-1].pid, signal.SIGINT)
                cluster.started[-1].wait()
            for client, _ in clients:
                client.close()
            return report
        finally:
            cluster.stop()


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--journal", type=Path, help="a profile with such a journal: made where it is not there, else taken, without clients")
    parser.add_argument("--perf", type=Path, help="record the last restart with perf")
    options = parser.parse_args()
    print(json.dumps(measure(options.prefix, options.tasks, options.rounds, options.perf, options.journal), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
