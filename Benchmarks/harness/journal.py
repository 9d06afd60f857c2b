"""What a journal costs: no-op tasks of a Swift client with two Swift engines, on controllers with one and without, in turn."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import processes
from temporary_cluster import environment

from harness.measurements import processor_seconds
from harness.rounds import run_json
from harness.scale import median

#: Name to the controller's options.
MODES = {"without": [], "interval": ["--journal"], "never": ["--journal", "--journal-sync=never"],
         "always": ["--journal", "--journal-sync=always"]}
#: Rounds that alternate, beside the one that warms up.
ROUNDS = 5
LIMIT = 120.0


def measure(program: Path, controller: Path, options: list[str], tasks: int) -> dict[str, float]:
    """One fresh controller with two engines: tasks a second, and the controller's processor time for each."""
    mark = uuid.uuid4().hex
    before = os.environ.get(processes.MARK)
    with tempfile.TemporaryDirectory(prefix="ab-") as directory:
        file = Path(directory) / "profile_default" / "security" / "ipcontroller-client.json"
        engine_file = file.with_name("ipcontroller-engine.json")
        env = environment(directory, mark)

        def start(*command: str) -> subprocess.Popen:
            return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL, start_new_session=True)

        started = []
        try:
            os.environ[processes.MARK] = mark
            started.append(start(str(controller), "controller", *options))
            deadline = time.monotonic() + 20
            while not (file.exists() and engine_file.exists()):
                if started[0].poll() is not None or time.monotonic() > deadline:
                    return {"error": "the controller did not come up"}
                time.sleep(0.005)
            started += [start(str(program), "engine", f"--file={engine_file}") for _ in range(2)]
            # Its own tenth of the tasks warms up.
            spent = processor_seconds().get("controller", 0.0)
            numbers = run_json(
                ["env", f"IPYTHONDIR={directory}", str(program), "tasks", f"--file={file}", "--tasks", str(tasks)], LIMIT)
            spent = processor_seconds().get("controller", 0.0) - spent
            if "error" in numbers:
                return numbers
            return {"tasks_per_s": numbers["tasks_per_s"], "controller_us": 1e6 * spent / (1.1 * tasks)}
        finally:
            processes.end(mark)
            for process in started:
                process.wait()
            if before is None:
                os.environ.pop(processes.MARK, None)
            else:
                os.environ[processes.MARK] = before


def run(program: Path, controller: Path, quick: bool, modes: tuple[str, ...] = tuple(MODES)) -> dict[str, list[dict]]:
    """Rounds A B C A B C; prints what a task costs in each mode, and its share of the rate without a journal."""
    rounds, tasks = (1, 20_000) if quick else (ROUNDS, 100_000)
    found: dict[str, list[dict]] = {mode: [] for mode in modes}
    for number in range(rounds):
        # Who goes first changes, so that nobody always finds the machine warmer.
        for mode in modes if number % 2 == 0 else modes[::-1]:
            found[mode].append(measure(program, controller, MODES[mode], tasks))
    print("\nA journal's price: no-op Swift tasks, two Swift engines (median, least–greatest of the rounds)")
    base = rates(found, "without")
    for mode in modes:
        for failure in [one["error"] for one in found[mode] if "error" in one]:
            print(f"  {mode}: {failure}")
        if own := rates(found, mode):
            share = f"{100 * median(own) / median(base):.0f} %" if base else ""
            spent = median([one["controller_us"] for one in found[mode] if "error" not in one])
            print(f"  {mode:<10} {median(own):>8.0f} /s ({min(own):.0f}–{max(own):.0f}) {share:>6}   controller {spent:.1f} µs a task",
                  flush=True)
    return found


def rates(found: dict[str, list[dict]], mode: str) -> list[float]:
    return [one["tasks_per_s"] for one in found.get(mode, []) if "error" not in one]
