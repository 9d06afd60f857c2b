"""Runs the rings of tests one after another and adds them up: see scripts/test."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path

import processes
from outcomes import run_pytest

ROOT = Path(__file__).resolve().parents[2]
RINGS = ["swift", "simulation", "python", "conformance"]
#: Seconds of the simulation, with seeds that nobody has seen.
SIMULATION = 45
QUICK_MODULES = ["test_executor", "test_remotefunction", "test_dependency", "test_asyncresult", "test_lbview"]
#: Of our own Python client.
QUICK_CLIENT_MODULES = ["test_view", "test_lbview", "test_asyncresult", "test_magics"]
BUILD_LIMIT = 2400.0
RING_LIMIT = 1800.0
#: How much more time the unit tests give things than they need on a machine that has nothing else to do: see Tests/Support/Patience.swift.
PATIENCE = "4"
#: Of the ring of Python, which takes a quarter of it where the machine has nothing else to do.
PYTHON_LIMIT = 3600.0
#: Of one of its cases, which hangs then: what it waits for has 40 s, several times over on a machine that has much to do.
CASE_LIMIT = 180.0


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def command(words: list[str], log: Path, limit: float, show=lambda line: True, silence: float | None = None) -> int:
    """Runs a command with its output in the log, and on the screen as far as ``show`` wants.

    It is ended, with everything it started, when it takes longer than ``limit`` or says nothing for ``silence`` seconds.
    """
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        words, cwd=ROOT, env=os.environ | {processes.MARK: mark}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    began = heard = time.monotonic()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            now = time.monotonic()
            if now > began + limit or (silence is not None and now > heard + silence):
                print(f"    no end after {now - began:.0f} s, the last sign of life {now - heard:.0f} s ago: ended", flush=True)
                process.kill()
                processes.end(mark)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        with log.open("w") as file:
            for line in process.stdout:
                heard = time.monotonic()
                file.write(line)
                if show(line):
                    print("    " + line.rstrip(), flush=True)
        return process.wait()
    finally:
        done.set()
        process.kill()
        processes.end(mark)


def swift_ring(logs: Path) -> Count:
    say("Building the unit tests")
    shown = lambda line: line.startswith("Build")  # noqa: E731
    if command(["swift", "build", "--build-tests"], logs / "swift-build.log", BUILD_LIMIT, shown):
        complaints(logs / "swift-build.log")
        print("    the unit tests could not be built")
        return Count(failed=1)
    say("Running the unit tests")
    reports = [logs / "swift.xml", logs / "swift-swift-testing.xml"]
    for report in reports:
        report.unlink(missing_ok=True)
    os.environ.setdefault("APUS_TEST_PATIENCE", PATIENCE)
    telling = ("✘", "error:", "Test run with", "Fatal error", "Assertion failed", "Precondition failed")
    shown = lambda line: any(word in line for word in telling)  # noqa: E731
    code = command(
        ["swift", "test", "--skip-build", "--parallel", "--xunit-output", str(reports[0])], logs / "swift-test.log",
        RING_LIMIT, shown, silence=600)
    count = sum(map(xunit, reports), Count())
    if code and not count.failed:
        # It crashed or was ended, and wrote no whole report: the log tells how far it came.
        count = told(logs / "swift-test.log")
        print(f"    swift test ended with exit code {code}")
        count.failed = max(count.failed, 1)
    return count


def simulation_ring(logs: Path) -> Count:
    say("Simulating clusters in which everything goes wrong")
    log = logs / "simulation.log"
    code = command(
        [str(ROOT / "scripts" / "simulate"), "--debug", "--seconds", str(SIMULATION)], log, BUILD_LIMIT,
        lambda line: line.startswith(("seed", "after", "error")) or " simulated seconds" in line)
    return Count(passed=1) if code == 0 else Count(failed=1)


def told(log: Path) -> Count:
    """The outcome of each case by what the log tells; a case that began and did not end has failed."""
    state: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        found = re.match(r"\S+ Test (?!run |case )(.+?)(?: with \d+ test cases)? (started|passed|failed|skipped)\b", line)
        if found:
            state[found[1]] = found[2]
    for name in sorted(name for name, how in state.items() if how == "started"):
        print(f"    did not end: {name}")
    ends = list(state.values())
    return Count(ends.count("passed"), ends.count("failed") + ends.count("started"), ends.count("skipped"))


def xunit(file: Path) -> Count:
    """Counts the cases themselves: the totals in the file's head leave out what was skipped."""
    count = Count()
    try:
        root = xml.parse(file).getroot()
    except (FileNotFoundError, xml.ParseError):
        # A process that crashed leaves none, or half of one.
        return count
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed += 1
        elif case.find("skipped") is not None:
            count.skipped += 1
        else:
            count.passed += 1
    return count


def complaints(log: Path) -> None:
    """The places a compiler complains about, or the end of the log when there are none."""
    lines = log.read_text(errors="replace").splitlines()
    found = list(dict.fromkeys(line for line in lines if line.startswith("/") and ": error: " in line))
    for line in found[:30] or lines[-60:]:
        print("    " + line)


def install(prefix: Path, logs: Path) -> bool:
    if os.environ.get("APUS_PREFIX"):
        return True
    say("Building in release mode and installing")
    shown = lambda line: line.startswith("==>")  # noqa: E731
    if command([str(ROOT / "scripts" / "install"), str(prefix)], logs / "install.log", BUILD_LIMIT, shown) == 0:
        return True
    complaints(logs / "install.log")
    print("    the installation failed")
    return False


def build_wheel(logs: Path) -> Path | None:
    """The wheel that the tests install: linked once more from what the installation has compiled."""
    if os.environ.get("APUS_WHEEL"):
        return Path(os.environ["APUS_WHEEL"])
    say("Building the wheel")
    log = logs / "wheel.log"
    if command([str(ROOT / "scripts" / "wheel"), str(logs / "dist")], log, BUILD_LIMIT, lambda line: line.startswith("==> Wheel")) == 0:
        return Path(log.read_text().splitlines()[-1])
    complaints(log)
    print("    the wheel could not be built")
    return None


def python_ring(prefix: Path, logs: Path) -> Count:
    wheel = build_wheel(logs)
    if wheel is None:
        return Count(failed=1)
    say("Running the executables with Python peers")
    live = sys.stdout.isatty()

    def show(ended: int, failed: int, collected: int) -> None:
        if live:
            print(f"\r    {ended}/{collected}, {failed} failed \033[K", end="", flush=True)

    mark = uuid.uuid4().hex
    env = os.environ | {"APUS_PREFIX": str(prefix), "APUS_VENV": sys.prefix, "APUS_WHEEL": str(wheel), processes.MARK: mark}
    try:
        outcomes = run_pytest(
            [str(ROOT / "Tests" / "python")], env=env, cwd=ROOT, root=ROOT, log=logs / "python.log", case_limit=CASE_LIMIT,
            run_limit=PYTHON_LIMIT, progress=show)
    finally:
        processes.end(mark)
    print("\r\033[K" if live else "", end="")
    for case in outcomes.failed:
        print(f"    failed: {case.case}")
        for line in case.text.strip().splitlines()[-12:]:
            print(f"            {line}")
    count = Count(outcomes.count("passed"), outcomes.count("failed"), outcomes.count("skipped"))
    if not outcomes.cases:
        print("    no case was collected")
        count.failed += 1
    return count


def conformance_ring(prefix: Path, logs: Path, full: bool) -> Count:
    say("Running ipyparallel's own suite" + ("" if full else ", the quick part"))
    stock = ["--engines", "both"] if full else ["--engines", "apus", *QUICK_MODULES]
    own = ["--client", "apus", *(["--engines", "both"] if full else ["--engines", "apus", *QUICK_CLIENT_MODULES])]
    return conformance(prefix, logs / "conformance", stock) + conformance(prefix, logs / "conformance-client", own)


def conformance(prefix: Path, logs: Path, chosen: list[str]) -> Count:
    report = logs.with_suffix(".json")
    code = command(
        [sys.executable, str(Path(__file__).with_name("conformance.py")), "--bin", str(prefix / "bin"), "--json",
         str(report), "--logs", str(logs), *chosen],
        logs.with_suffix(".log"), 3 * RING_LIMIT)
    count = Count()
    if report.exists():
        for modules in json.loads(report.read_text()).values():
            for module in modules.values():
                count += Count(module["passed"], module["failed"], module["skipped"])
    if code == 0:
        # What failed is named in the list of expected failures, each with its reason.
        count = Count(count.passed, 0, count.skipped + count.failed)
    elif not count.failed:
        count.failed += 1
    return count


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/test", add_help=False)
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", type=lambda text: text.split(","), default=RINGS)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    for ring in arguments.only:
        if ring not in RINGS:
            parser.error(f"there is no ring {ring}; the rings are {', '.join(RINGS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logs = arguments.keep or Path(tempfile.mkdtemp(prefix="apus-test-logs-"))
    logs.mkdir(parents=True, exist_ok=True)

    counts: dict[str, Count] = {}
    began = time.monotonic()
    if "swift" in arguments.only:
        counts["swift"] = swift_ring(logs)
    if "simulation" in arguments.only:
        counts["simulation"] = simulation_ring(logs)
    if {"python", "conformance"} & set(arguments.only):
        if not install(arguments.prefix, logs):
            counts["installation"] = Count(failed=1)
        else:
            if "python" in arguments.only:
                counts["python"] = python_ring(arguments.prefix, logs)
            if "conformance" in arguments.only:
                counts["conformance"] = conformance_ring(arguments.prefix, logs, arguments.full)

    total = sum(counts.values(), Count())
    print()
    for ring, count in counts.items():
        print(f"    {ring:<12} {count}")
    if total.failed:
        print(f"    The logs are in {logs}.")
    elif not arguments.keep:
        shutil.rmtree(logs, ignore_errors=True)
    print(f"    {time.monotonic() - began:.0f} s\n")
    print(total, flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
