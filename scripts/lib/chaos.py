"""A cluster of executables to which everything happens: see scripts/chaos."""

from __future__ import annotations

import argparse
import faulthandler
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import processes
import stock
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
#: What it sent so long after a process was there to be the next controller comes to that one.
START = 5.0
#: Seconds that all that is under way at the end of a round has, together.
PATIENCE = 60.0
#: Tasks under way: more would only wait, where other work has the processor.
MOST_UNDER_WAY = 150
#: Seconds after which a round that does not end is a fault: longer than all that it may wait for.
LONGEST_ROUND = 420.0
#: How the journal's disk comes to be small: by the journal's own limit, by the longest file that a process may write, by the disk itself.
SMALL_DISKS = ["limit", "longest file", "disk"]
#: The exit code of a start where a controller is still there.
RUNS_ALREADY = 10
DROPPED = re.compile(r"dropped messages.*?count=(\d+).*?reason=(.*?) socket=(\S+)")


@dataclass
class Outage:
    """The controller was killed, and started again: by its launcher the later, the more often that happened (`--Cluster.controller_restarts`)."""

    killed: float
    #: When there was a process again; infinite until then.
    back: float = math.inf


def may_be_lost(sent: float, ran: bool, outages: list[Outage]) -> bool:
    """Whether a stock client's request may have been under way to a controller that died, or its start have been on the way.

    One that has run came to a controller: to the next one where there was none. It is lost with that one alone.
    """
    if not ran:
        return any(outage.killed - ARRIVAL < sent < outage.back + START for outage in outages)
    arrival = max([sent + ARRIVAL] + [outage.back + START for outage in outages if outage.killed < sent < outage.back])
    return any(sent < outage.killed < arrival for outage in outages)


class Chaos:
    """One cluster, its clients, and what has happened to it."""

    def __init__(self, prefix: Path, seed: int, small_disk: str | None, in_background: bool):
        self.dice = random.Random(seed)
        self.happened: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.faults: list[str] = []
        #: How many there are of a kind.
        self.kinds: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.extra: list[subprocess.Popen] = []
        self.own: list = []
        self.proxy: Proxy | None = None
        self.lost = self.again = self.stuck = 0
        self.prefix = prefix
        self.small_disk = small_disk
        self.in_background = in_background
        # In the background a cluster has a journal as it comes.
        arguments = ["--daemonize" if in_background else "--journal", "--Cluster.controller_restarts=100000"]
        if small_disk:
            self.happened["full disk"] += 1
        if small_disk == "limit":
            arguments += ["--", "--IPController.journal_limit=150000"]
        self.cluster = TemporaryCluster(prefix / "bin", n=2, arguments=arguments, PYTHONPATH=str(TASKS))
        self.marks = Path(tempfile.mkdtemp(prefix="apus-chaos-"))
        self.outages: list[Outage] = []
        #: Controllers that were killed: they may be there for another moment.
        self.dead: set[int] = set()
        self.number = 0
        # (client, what it was asked, its answer, when)
        self.tasks: list[tuple[str, int, object, float]] = []
        self.under_way: list[tuple[str, object, float]] = []

    # The parties

    def start(self) -> None:
        import apus

        with self.shortest_files():
            self.cluster.start(before=self.mount)
        while not self.cluster.connection_file.exists():
            if self.cluster.process.poll():
                raise SystemExit(self.cluster.output())
            time.sleep(0.01)
        for _ in range(2):
            self.start_engine()
        copy = self.cluster.ipython_dir / "through-the-proxy.json"
        self.proxy = Proxy(self.cluster.connection_file, copy)
        self.own = [apus.Client(str(self.cluster.connection_file)), apus.Client(str(copy))]
        self.stock = self.cluster.client(wait=False)
        self.own[0].wait_for_engines(4, timeout=60)
        if self.in_background and self.cluster.process.wait(60) != 0:
            raise SystemExit(self.cluster.output())

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
                # One that is started where no controller is would give up after five seconds: nobody looks after it here.
                [str(self.prefix / "bin" / "ipengine"), f"--timeout={PATIENCE:g}"], env=self.cluster.env, cwd=self.cluster.ipython_dir,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True))

    def pids(self, role: str) -> list[int]:
        return [process.pid for process in self.cluster.processes() if process.role == role]

    def kill_launcher(self) -> None:
        """The launcher, and a moment later its controller; somebody starts the same cluster again, which goes on."""
        for pid in self.pids("cluster"):
            self.signal(pid, signal.SIGKILL)
        self.cluster.process.wait()
        time.sleep(self.dice.uniform(0, 0.3))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            # One that the launcher had just started comes late.
            for pid in self.pids("controller"):
                self.kill_controller(pid)
            with self.shortest_files():
                self.cluster.start_again()
            if self.goes_on(deadline):
                return
            if self.cluster.process.poll() != RUNS_ALREADY:
                break
        self.found("the cluster is not started again", f"{self.cluster.process.poll()} {self.cluster.output(10)}")

    def goes_on(self, deadline: float) -> bool:
        """Whether a cluster that was started again is there to stay; it may say that it runs already."""
        while time.monotonic() < deadline:
            code = self.cluster.process.poll()
            if code is not None:
                return self.in_background and code == 0
            if not self.in_background and self.pids("controller"):
                return True
            time.sleep(0.01)
        return False

    def kill_controller(self, pid: int) -> None:
        self.look_for_controller()
        self.outages.append(Outage(time.monotonic()))
        self.dead.add(pid)
        self.signal(pid, signal.SIGKILL)

    def look_for_controller(self) -> None:
        """Notes when the controller is back, as far as it is not known."""
        if self.outages and self.outages[-1].back == math.inf and set(self.pids("controller")) - self.dead:
            now = time.monotonic()
            for outage in self.outages:
                outage.back = min(outage.back, now)

    # Work and faults

    def submit(self) -> None:
        from journal_tasks import note

        # What a stock client has lost never ends.
        now = time.monotonic()
        self.under_way = [entry for entry in self.under_way if not entry[1].ready() and (entry[0] != "stock" or now - entry[2] < 10)]
        if len(self.under_way) > MOST_UNDER_WAY:
            return
        for name, client in [("own", self.own[0]), ("through the proxy", self.own[1]), ("stock", self.stock)]:
            for _ in range(self.dice.choice([0, 1, 4])):
                self.number += 1
                view = client.load_balanced_view()
                view.retries = self.dice.choice([0, 0, 2])
                seconds = self.dice.choice([0, 0.002, 0.02, 0.2])
                task = view.apply_async(note, str(self.marks / "ran"), self.number, seconds)
                self.tasks.append((name, self.number, task, time.monotonic()))
                self.under_way.append((name, task, time.monotonic()))

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
                self.kill_controller(pid)
            else:
                self.signal(pid, signal.SIGSTOP)
                try:
                    time.sleep(self.dice.uniform(0.05, 1.5))
                finally:
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
        while time.monotonic() < end and not self.faults:
            self.submit()
            self.look_for_controller()
            if time.monotonic() >= next_fault:
                self.fault()
                next_fault = time.monotonic() + self.dice.uniform(0.3, 4)
            time.sleep(self.dice.uniform(0, 0.1))

    # What must be true

    def found(self, kind: str, what: str) -> None:
        """Something is not as it must be."""
        self.kinds[kind] += 1
        self.faults.append(f"{kind}: {what}")

    def views_of_engines(self) -> str:
        """Who sees which of them, and what the launcher says."""
        seen = [sorted(client.ids) for client in (*self.own, self.stock)]
        status = subprocess.run([str(self.prefix / "bin" / "apus"), "status"], env=self.cluster.env, capture_output=True, text=True,
                                timeout=60, check=False)
        return f"clients: {seen}; status: {status.stdout}{status.stderr}"

    def check(self) -> None:
        # A client without a name that only waits is known again by the name that is left: where others have got another one meanwhile, it
        # has to say something.
        if self.happened["connection cut"]:
            self.stock.load_balanced_view().apply_async(pow, 2, 3)
        # All had the same time: what has not ended by then does not end, however many there are.
        end = time.monotonic() + PATIENCE
        for name, number, task, sent in self.tasks:
            # A suspended journal has nothing of what it waits for.
            is_excused = name == "stock" and (
                bool(self.happened["full disk"] and self.outages) or may_be_lost(sent, self.has_run(number), self.outages))
            left = max(0.0, end - time.monotonic())
            before = len(self.faults)
            self.check_task(name, number, task, min(left, 0.05) if is_excused else left, is_excused)
            if len(self.faults) > before:
                self.faults[-1] += f", {self.circumstances(number, sent)}"
                if len(self.faults) <= 3:
                    self.faults[-1] += f"\n{self.explained(task.msg_ids[0])}"
        # Some have run meanwhile.
        ran = Counter(int(line) for line in (self.marks / "ran").read_text().split())
        self.again = sum(ran.values()) - len(ran)
        client = self.own[0]
        try:
            client.wait_for_engines(4, timeout=PATIENCE)
        except TimeoutError as error:
            self.stuck += 1
            self.found("an engine is missing", f"{error} {self.views_of_engines()}")
        answers = {engine: client.load_balanced_view(targets=[engine]).apply_async(pow, 2, 3) for engine in client.ids}
        end = time.monotonic() + PATIENCE
        for engine, answer in answers.items():
            try:
                if answer.get(max(0.0, end - time.monotonic())) != 8:
                    self.found("an engine cannot count", f"{engine}")
            except Exception as error:
                self.stuck += 1
                self.found("an engine is stuck", f"{engine}: {error!r}")

    def check_task(self, name: str, number: int, task, patience: float, is_excused: bool) -> None:
        try:
            result = self.result(name, task, patience)
        except TimeoutError:
            self.ends[f"{name}: none"] += 1
            if not is_excused:
                self.lost += 1
                self.found(f"a task of the client ({name}) did not end", f"{number}: {task.msg_ids}")
            return
        except Exception as error:
            reason = getattr(error, "ename", type(error).__name__)
            self.ends[f"{name}: {reason}"] += 1
            if not any(self.happened[cause] for cause in REASONS.get(reason, ())):
                self.found(f"a task of the client ({name}) ended with {reason}", f"{number}: {error!r}")
            return
        self.ends[f"{name}: result"] += 1
        if result != number * number:
            self.found(f"a task of the client ({name}) gave something else", f"{number}: {result}")

    def has_run(self, number: int) -> bool:
        """Or has begun to."""
        return str(number) in (self.marks / "ran").read_text().split()

    def circumstances(self, number: int, sent: float) -> str:
        """What somebody wants to know of a task that did not end: whether it is the request that was lost, or the result."""
        near = ", ".join(
            f"{outage.killed - sent:+.1f} (back at {outage.back - sent:+.1f})"
            for outage in self.outages if outage.killed - 10 < sent < outage.back + 10)
        return f"{'has run' if self.has_run(number) else 'has not run'}, controllers were killed at {near or 'other times'} s"

    def explained(self, task: str) -> str:
        """What the latest controller knows of it."""
        done = subprocess.run(
            [str(self.prefix / "bin" / "apus"), "explain", task], env=self.cluster.env, capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    def result(self, name: str, task, patience: float):
        if name != "stock":
            return task.get(patience)
        end = time.monotonic() + patience
        while True:
            left = end - time.monotonic()
            try:
                return task.get(max(0.0, min(0.2, left)))
            except TimeoutError:
                if left <= 0.2:
                    raise
                self.stock._io_loop.add_callback(stock.read_on, self.stock, self.read)

    def dropped(self) -> Counter[str]:
        """Messages that the controllers have dropped: `reason (socket)`, and how many. All of this cluster's parties are honest."""
        found: Counter[str] = Counter()
        for log in (self.cluster.ipython_dir / "profile_default" / "log").glob("ipcontroller*.log"):
            for count, reason, socket in DROPPED.findall(log.read_text(errors="replace")):
                found[f"{reason} ({socket})"] += int(count)
        return found

    def keep(self, directory: Path) -> None:
        """Copies the logs, for whoever looks for the cause."""
        shutil.copytree(self.cluster.ipython_dir, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("journal", "security", "*.sock"))

    def unmount(self) -> None:
        if self.small_disk == "disk" and self.disk.is_mount():
            subprocess.run(["umount", str(self.disk)], check=True)

    def stop(self) -> None:
        for client in self.own:
            client.close()
        if self.proxy is not None:
            self.proxy.__exit__()
        if hasattr(self.cluster, "env"):
            if self.in_background:
                subprocess.run([str(self.prefix / "bin" / "apus"), "stop"], env=self.cluster.env, capture_output=True, timeout=60)
            self.cluster.stop(before_removal=self.unmount)
        for engine in self.extra:
            engine.kill()
            engine.wait()
        processes.end(self.cluster.mark)
        shutil.rmtree(self.marks, ignore_errors=True)


def ends_in_order(*_: object) -> None:
    """Of a signal: what was started is stopped on the way out, and nothing comes in between."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, ends_in_order)
    # Stock clients print what surprises them, as stale results do.
    say = partial(print, file=sys.stdout, flush=True)
    sys.stdout = open(os.devnull, "w")
    sys.path[:0] = [str(options.prefix / "lib" / "apus" / "python"), str(TASKS)]
    end = time.monotonic() + 60 * options.minutes
    seed = options.seed
    total: Counter[str] = Counter()
    while True:
        small_disk = SMALL_DISKS[seed // 4 % 3] if seed % 4 == 3 else None
        chaos = Chaos(options.prefix, seed, small_disk, in_background=seed // 12 % 2 == 1)
        say(f"seed {seed}" + (", in the background" if chaos.in_background else "") + (f", small: {small_disk}" if small_disk else ""))
        # Where something waits for ever, where that is.
        faulthandler.dump_traceback_later(LONGEST_ROUND, exit=False)
        try:
            chaos.start()
            chaos.run(min(60, max(10, end - time.monotonic())))
            chaos.check()
            dropped = chaos.dropped()
            if chaos.faults and options.keep is not None:
                chaos.keep(options.keep / str(seed))
        finally:
            chaos.stop()
            faulthandler.cancel_dump_traceback_later()
        say(f"    {sum(chaos.ends.values())} tasks, {chaos.again} runs too many; {dict(chaos.happened)}; {dict(chaos.ends)}; dropped {dict(dropped)}; read late {dict(chaos.read)}")
        total += chaos.happened
        total += Counter({"rounds": 1, "tasks": sum(chaos.ends.values()), "runs too many": chaos.again, "lost": chaos.lost, "stuck": chaos.stuck})
        if chaos.faults:
            say(f"{len(chaos.faults)} faults with seed {seed}: {dict(chaos.kinds)}; until here {dict(total)}")
            say("\n".join(chaos.faults[:20]))
            return 1
        if time.monotonic() >= end:
            say(f"nothing was lost; {dict(total)}")
            return 0
        seed += 1


if __name__ == "__main__":
    sys.exit(main())
