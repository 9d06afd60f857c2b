"""The controller of a cluster with a journal is killed again and again, while three kinds of clients wait: see scripts/kills."""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from functools import partial
from pathlib import Path

import processes
from temporary_cluster import environment

ROOT = Path(__file__).resolve().parents[2]
TASKS = ROOT / "Tests" / "python"
ENGINES = 4
#: Tasks of each client that are under way when the controller is killed.
OWN, SWIFT, STOCK = 100, 100, 40
#: What a stock client sent so many seconds before the controller's death has arrived and is written.
ARRIVAL = 0.5


class Kills:
    """One cluster and its clients."""

    def __init__(self, prefix: Path, sync: str, seed: int, program: Path | None):
        self.dice = random.Random(seed)
        self.program = program
        self.ends: Counter[str] = Counter()
        self.faults: list[str] = []
        #: When the controller was killed.
        self.killed: list[float] = []
        self.number = 0
        self.sync = sync
        self.bin = prefix / "bin"
        self.directory = Path(tempfile.mkdtemp(prefix="apus-kills-"))
        self.mark = uuid.uuid4().hex
        self.env = environment(self.directory, self.mark, PYTHONPATH=str(TASKS))
        self.connection_file = self.directory / "profile_default" / "security" / "ipcontroller-client.json"
        self.processes: list[subprocess.Popen] = []
        self.clients: list = []
        self.swift: subprocess.Popen | None = None

    # The parties

    def launch(self, name: str, *arguments: str) -> subprocess.Popen:
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(self.bin / name), *arguments], env=self.env, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        self.processes.append(process)
        return process

    def launch_controller(self) -> None:
        """A launcher would take its time after the third death within a minute."""
        self.controller = self.launch("ipcontroller", "--journal", f"--journal-sync={self.sync}")

    def start(self) -> None:
        import apus
        import ipyparallel

        self.launch_controller()
        deadline = time.monotonic() + 20
        while not self.connection_file.exists():
            if self.controller.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the controller did not come up: {self.log()}")
            time.sleep(0.005)
        for _ in range(ENGINES):
            self.launch("ipengine")
        self.own = apus.Client(str(self.connection_file))
        self.own.wait_for_engines(ENGINES, timeout=60)
        self.stock = ipyparallel.Client(str(self.connection_file))
        self.clients = [self.own, self.stock]
        if self.program is not None:
            self.swift = subprocess.Popen(
                [str(self.program), "waves", str(self.directory), str(SWIFT), f"--file={self.connection_file}"],
                env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if not self.swift.stdout.readline():
                raise SystemExit(f"the Swift client did not come up: {self.swift.communicate()[1]}")

    def log(self) -> str:
        return "\n".join((self.directory / "ipcontroller.log").read_text(errors="replace").splitlines()[-40:])

    # Rounds

    def submit(self, client, count: int, durations: list[float]) -> list[tuple[int, object, float]]:
        """Number, answer and moment of each."""
        from journal_tasks import note

        view = client.load_balanced_view()
        tasks = []
        for _ in range(count):
            self.number += 1
            task = view.apply_async(note, str(self.directory / "ran"), self.number, self.dice.choice(durations))
            tasks.append((self.number, task, time.monotonic()))
        return tasks

    def kill(self) -> None:
        if self.controller.poll() is not None:
            self.faults.append(f"the controller ended by itself: {self.log()}")
        self.controller.kill()
        self.killed.append(time.monotonic())
        self.controller.wait()
        self.processes.remove(self.controller)
        self.launch_controller()

    def settle(self) -> None:
        """Until the stock client's tasks reach the controller. What is on its way to one that is only starting is not in a journal yet."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.stock.load_balanced_view().apply_async(pow, 2, 3).get(1)
                return
            except TimeoutError:
                continue
        self.faults.append("the stock client gets no answer from a controller that was started again")

    def round(self) -> None:
        self.settle()
        stock = self.submit(self.stock, STOCK, [0, 0.02, 0.2])
        own = self.submit(self.own, OWN, [0, 0.002, 0.02])
        time.sleep(self.dice.uniform(0, 1))
        self.kill()
        if self.dice.random() < 0.2:
            time.sleep(self.dice.uniform(0, 1))
            self.kill()
        self.check("own", own)
        self.check_stock(stock)

    def check(self, name: str, tasks: list[tuple[int, object, float]], patience: float = 60) -> None:
        for number, task, _ in tasks:
            try:
                result = task.get(patience)
            except Exception as error:
                self.ends[f"{name}: {getattr(error, 'ename', type(error).__name__)}"] += 1
                self.faults.append(f"task {number} of the client ({name}, {task.msg_ids}) ended with {error!r}")
                # The rest is told of without waiting as long for each.
                patience = 1
                continue
            self.note(name, number, result)

    def note(self, name: str, number: int, result: object) -> None:
        self.ends[f"{name}: result"] += 1
        if result != number * number:
            self.faults.append(f"task {number} of the client ({name}) gave {result}")

    def check_stock(self, tasks: list[tuple[int, object, float]]) -> None:
        """What was on its way when the controller died may be lost, and nothing else."""
        patience = 3.0
        for number, task, sent in tasks:
            may_be_lost = any(sent < moment < sent + ARRIVAL for moment in self.killed)
            end = time.monotonic() + (patience if may_be_lost else 60)
            while True:
                try:
                    self.note("stock", number, task.get(min(1, patience)))
                except TimeoutError:
                    if time.monotonic() < end:
                        # One that was sent a result which it has raises an error where it reads, and reads no more until something comes.
                        self.stock.load_balanced_view().apply_async(pow, 2, 3)
                        continue
                    self.ends["stock: none"] += 1
                    # The others have had that time as well.
                    patience = 0.1
                    if not may_be_lost:
                        self.faults.append(f"task {number} of the stock client ({task.msg_ids}) did not end")
                break

    def finish(self) -> None:
        if self.swift is not None:
            (self.directory / "stop").touch()
            output, errors = self.swift.communicate(timeout=120)
            lines = [json.loads(line) for line in output.splitlines()]
            found = {line["step"]: line for line in lines}
            self.faults += [f"Swift: {line}" for line in lines if line["step"].startswith("task ")]
            if self.swift.returncode != 0 or "tasks" not in found:
                self.faults.append(f"the Swift client ended with {self.swift.returncode}: {errors}")
            else:
                wrong = int(found["wrong"]["value"])
                self.ends["swift: result"] = int(found["tasks"]["value"]) - wrong
                self.ends["swift: wrong"] = wrong
        ran = Counter(int(line) for line in (self.directory / "ran").read_text().split())
        self.again = sum(ran.values()) - len(ran)

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        processes.end(self.mark)
        for process in self.processes + ([self.swift] if self.swift else []):
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def swift_program() -> Path | None:
    built = [ROOT / ".build" / kind / "Faults" for kind in ("release", "debug")]
    return max((path for path in built if path.exists()), key=lambda path: path.stat().st_mtime, default=None)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/kills")
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--sync", choices=["interval", "never", "always"], default="interval")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--program", type=Path, default=swift_program())
    options = parser.parse_args()
    # Stock clients print what surprises them, as stale results do, and log what they raise when they are sent a result twice.
    say = partial(print, file=sys.stdout, flush=True)
    sys.stdout = open(os.devnull, "w")
    logging.disable()
    sys.path[:0] = [str(options.prefix / "lib" / "apus" / "python"), str(TASKS)]
    say(f"seed {options.seed}, journal-sync {options.sync}" + ("" if options.program else ", no Swift client"))
    kills = Kills(options.prefix, options.sync, options.seed, options.program)
    try:
        kills.start()
        while len(kills.killed) < options.kills and not kills.faults:
            kills.round()
        kills.finish()
    finally:
        kills.stop()
    say(f"{len(kills.killed)} kills, {sum(kills.ends.values())} tasks: {dict(sorted(kills.ends.items()))}; {kills.again} runs too many")
    if kills.faults:
        say("\n".join(kills.faults[:20]))
        say(f"{len(kills.faults)} faults with seed {options.seed}")
        return 1
    say("every task ended once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
