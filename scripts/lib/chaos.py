"""A cluster of executables to which everything happens: see scripts/chaos."""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import processes
from proxy import Proxy
from temporary_cluster import TemporaryCluster

TASKS = Path(__file__).resolve().parents[2] / "Tests" / "python"
#: A reason for an end that something which happened explains.
REASONS = {
    "EngineError": {"engine killed", "engine stopped", "controller stopped"},
    "ResultLost": {"connection cut", "full disk"},
}
#: What a stock client sent so long before the controller's death has arrived and is written.
ARRIVAL = 1.0
#: How the journal's disk comes to be small: by the journal's own limit, by the longest file that a process may write, by the disk itself.
SMALL_DISKS = ["limit", "longest file", "disk"]
#: The exit code of a start where a controller is still there.
RUNS_ALREADY = 10


class Chaos:
    """One cluster, its clients, and what has happened to it."""

    def __init__(self, prefix: Path, seed: int, small_disk: str | None):
        self.dice = random.Random(seed)
        self.happened: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.faults: list[str] = []
        self.extra: list[subprocess.Popen] = []
        self.prefix = prefix
        self.small_disk = small_disk
        arguments = ["--journal", "--Cluster.controller_restarts=100000"]
        if small_disk:
            self.happened["full disk"] += 1
        if small_disk == "limit":
            arguments += ["--", "--IPController.journal_limit=150000"]
        self.cluster = TemporaryCluster(prefix / "bin", n=2, arguments=arguments, PYTHONPATH=str(TASKS))
        self.marks = Path(tempfile.mkdtemp(prefix="apus-chaos-"))
        self.killed: list[float] = []
        self.number = 0

    # The parties

    def start(self) -> None:
        import apus

        with self.shortest_files():
            self.cluster.start(before=self.mount)
        while not self.cluster.connection_file.exists():
            if self.cluster.process.poll() is not None:
                raise SystemExit(self.cluster.output())
            time.sleep(0.01)
        for _ in range(2):
            self.start_engine()
        copy = self.cluster.ipython_dir / "through-the-proxy.json"
        self.proxy = Proxy(self.cluster.connection_file, copy)
        self.own = [apus.Client(str(self.cluster.connection_file)), apus.Client(str(copy))]
        self.stock = self.cluster.client(wait=False)
        self.own[0].wait_for_engines(4, timeout=60)
        # (client, what it was asked, its answer, when)
        self.tasks: list[tuple[str, int, object, float]] = []

    def mount(self) -> None:
        """A disk of its own for the journal, of 300 kB; who may not mount one takes the longest file instead."""
        self.disk = self.cluster.ipython_dir / "profile_default" / "journal"
        if self.small_disk != "disk":
            return
        self.disk.mkdir(parents=True, mode=0o700)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k,mode=0700", "tmpfs", str(self.disk)], capture_output=True)
        if mounted.returncode != 0:
            self.small_disk = "longest file"

    @contextmanager
    def shortest_files(self):
        """What is started meanwhile may write files of 400 kB, where that is the small disk."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            if self.small_disk == "longest file":
                resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def start_engine(self) -> None:
        log = self.cluster.ipython_dir / f"engine{len(self.extra)}-{self.number}.log"
        with log.open("wb") as file:
            self.extra.append(subprocess.Popen(
                [str(self.prefix / "bin" / "ipengine")], env=self.cluster.env, cwd=self.cluster.ipython_dir,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True))

    def pids(self, role: str) -> list[int]:
        return [process.pid for process in self.cluster.processes() if process.role == role]

    def kill_launcher(self) -> None:
        """The launcher, and a moment later its controller; somebody starts the same cluster again, which goes on."""
        self.cluster.process.kill()
        self.cluster.process.wait()
        time.sleep(self.dice.uniform(0, 0.3))
        deadline = time.monotonic() + 60
        while True:
            # One that the launcher had just started comes late.
            for pid in self.pids("controller"):
                self.killed.append(time.monotonic())
                self.signal(pid, signal.SIGKILL)
            with self.shortest_files():
                self.cluster.start_again()
            # It says that it runs already, or is there to stay.
            while self.cluster.process.poll() is None and not self.pids("controller"):
                time.sleep(0.01)
            if self.cluster.process.poll() is None:
                return
            if self.cluster.process.returncode != RUNS_ALREADY or time.monotonic() > deadline:
                self.faults.append(f"the cluster is not started again: {self.cluster.output(10)}")
                return

    # Work and faults

    def submit(self) -> None:
        from journal_tasks import note

        for name, client in [("own", self.own[0]), ("through the proxy", self.own[1]), ("stock", self.stock)]:
            for _ in range(self.dice.choice([0, 1, 4])):
                self.number += 1
                view = client.load_balanced_view()
                view.retries = self.dice.choice([0, 0, 2])
                seconds = self.dice.choice([0, 0.002, 0.02, 0.2])
                self.tasks.append((name, self.number, view.apply_async(note, str(self.marks / "ran"), self.number, seconds), time.monotonic()))

    def fault(self) -> None:
        what = self.dice.choices(["controller killed", "engine killed", "controller stopped", "engine stopped", "launcher stopped",
                                  "launcher killed", "connection cut"], [4, 1, 1, 2, 1, 1, 4])[0]
        if what == "connection cut":
            if not self.proxy.cut(self.dice):
                return
        elif what == "engine killed":
            engine = self.extra.pop(self.dice.randrange(len(self.extra)))
            engine.kill()
            engine.wait()
            self.start_engine()
        elif what == "launcher killed":
            self.kill_launcher()
        else:
            role = what.split()[0].replace("launcher", "cluster")
            found = self.pids(role)
            if not found:
                return
            pid = self.dice.choice(found)
            if what == "controller killed":
                self.killed.append(time.monotonic())
                self.signal(pid, signal.SIGKILL)
            else:
                self.signal(pid, signal.SIGSTOP)
                time.sleep(self.dice.uniform(0.05, 1.5))
                self.signal(pid, signal.SIGCONT)
        self.happened[what] += 1

    @staticmethod
    def signal(pid: int, number: int) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        next_fault = time.monotonic() + 1
        while time.monotonic() < end:
            self.submit()
            if time.monotonic() >= next_fault:
                self.fault()
                next_fault = time.monotonic() + self.dice.uniform(0.3, 4)
            time.sleep(self.dice.uniform(0, 0.1))

    # What must be true

    def check(self) -> None:
        for name, number, task, sent in self.tasks:
            # A suspended journal has nothing of what it waits for.
            may_be_lost = name == "stock" and any(self.happened["full disk"] or sent - 5 < moment < sent + ARRIVAL for moment in self.killed)
            self.check_task(name, number, task, 0.05 if may_be_lost else 60, may_be_lost)
        ran = Counter(int(line) for line in (self.marks / "ran").read_text().split())
        self.again = sum(ran.values()) - len(ran)
        client = self.own[0]
        client.wait_for_engines(4, timeout=60)
        for engine in client.ids:
            try:
                if client.load_balanced_view(targets=[engine]).apply_async(pow, 2, 3).get(60) != 8:
                    self.faults.append(f"engine {engine} cannot count")
            except Exception as error:
                self.faults.append(f"engine {engine} is stuck: {error!r}")

    def check_task(self, name: str, number: int, task, patience: float, may_be_lost: bool) -> None:
        try:
            result = self.result(name, task, patience)
        except TimeoutError:
            self.ends[f"{name}: none"] += 1
            if not may_be_lost:
                self.faults.append(f"task {number} of the client ({name}) did not end: {task.msg_ids}")
            return
        except Exception as error:
            reason = getattr(error, "ename", type(error).__name__)
            self.ends[f"{name}: {reason}"] += 1
            if not any(self.happened[cause] for cause in REASONS.get(reason, ())):
                self.faults.append(f"task {number} of the client ({name}) ended with {error!r}")
            return
        self.ends[f"{name}: result"] += 1
        if result != number * number:
            self.faults.append(f"task {number} of the client ({name}) gave {result}")

    def result(self, name: str, task, patience: float):
        if name != "stock":
            return task.get(patience)
        # A stock client that is sent a result which it has raises an error where it reads, and reads no more until something else comes.
        end = time.monotonic() + patience
        while True:
            try:
                return task.get(min(1.0, patience))
            except TimeoutError:
                if time.monotonic() >= end:
                    raise
                self.stock.load_balanced_view().apply_async(pow, 2, 3)

    def unmount(self) -> None:
        if self.small_disk == "disk" and self.disk.is_mount():
            subprocess.run(["umount", str(self.disk)], check=True)

    def stop(self) -> None:
        for client in getattr(self, "own", []):
            client.close()
        if proxy := getattr(self, "proxy", None):
            proxy.__exit__()
        self.cluster.stop(before_removal=self.unmount)
        for engine in self.extra:
            engine.kill()
            engine.wait()
        processes.end(self.cluster.mark)
        for path in self.marks.iterdir():
            path.unlink()
        self.marks.rmdir()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    # Stock clients print what surprises them, as stale results do.
    say = partial(print, file=sys.stdout, flush=True)
    sys.stdout = open(os.devnull, "w")
    sys.path[:0] = [str(options.prefix / "lib" / "apus" / "python"), str(TASKS)]
    end = time.monotonic() + 60 * options.minutes
    seed = options.seed
    total: Counter[str] = Counter()
    while True:
        chaos = Chaos(options.prefix, seed, small_disk=SMALL_DISKS[seed // 4 % 3] if seed % 4 == 3 else None)
        say(f"seed {seed}" + (f", small: {chaos.small_disk}" if chaos.small_disk else ""))
        try:
            chaos.start()
            chaos.run(min(60, max(10, end - time.monotonic())))
            chaos.check()
        finally:
            chaos.stop()
        say(f"    {sum(chaos.ends.values())} tasks, {chaos.again} runs too many; {dict(chaos.happened)}; {dict(chaos.ends)}")
        total += chaos.happened
        if chaos.faults:
            say("\n".join(chaos.faults[:20]))
            say(f"{len(chaos.faults)} faults with seed {seed}")
            return 1
        if time.monotonic() >= end:
            say(f"nothing was lost; {dict(total)}")
            return 0
        seed += 1


if __name__ == "__main__":
    sys.exit(main())
