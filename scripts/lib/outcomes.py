"""Runs pytest in a process of its own and tells the outcome of each case, also when that process dies or hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

SHIM = Path(__file__).resolve().parent / "shim"


@dataclass
class Outcome:
    case: str
    outcome: str  # passed, failed or skipped; an expected failure counts as skipped, as pytest's XML has it
    seconds: float = 0.0
    text: str = ""


@dataclass
class Outcomes:
    cases: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0

    def count(self, outcome: str) -> int:
        return sum(case.outcome == outcome for case in self.cases.values())

    @property
    def failed(self) -> list[Outcome]:
        return [case for case in self.cases.values() if case.outcome == "failed"]

    @property
    def summary(self) -> str:
        return f"{self.count('passed')} passed, {self.count('failed')} failed, {self.count('skipped')} skipped"

    def add(self, other: Outcomes, prefix: str = "") -> None:
        for case in other.cases.values():
            self.cases[prefix + case.case] = Outcome(prefix + case.case, case.outcome, case.seconds, case.text)
        self.seconds += other.seconds


def run_pytest(
    arguments: list[str], *, env: dict[str, str], cwd: Path, root: Path, log: Path, case_limit: float,
    run_limit: float, progress=lambda outcomes, total: None, plugins: list[str] | tuple[str, ...] = (),
) -> Outcomes:
    """Runs the cases; the one that was running when pytest died or took too long has failed, and the rest still run.

    Cases are named relative to ``root``. Limits are in seconds: of one case, and of the whole run.
    """
    began = time.monotonic()
    outcomes = Outcomes()
    remaining: list[str] | None = None
    for attempt in range(6):
        lines = log.with_suffix(f".{attempt}.jsonl")
        lines.touch()
        chosen = arguments if remaining is None else remaining
        code = _run_once(chosen, lines, env, cwd, root, log, case_limit, began + run_limit, outcomes, progress, plugins)
        collected, running = _read(lines, outcomes)
        left = [case for case in collected if case not in outcomes.cases and case != running]
        if running:
            outcomes.cases[running] = Outcome(
                running, "failed", text=f"pytest ended during this case, with exit code {code}: see {log}")
        elif code not in (0, 1, 5):
            outcomes.cases["pytest"] = Outcome("pytest", "failed", text=f"pytest ended with exit code {code}: see {log}")
        if not left:
            break
        if time.monotonic() > began + run_limit or not running:
            for case in left:
                outcomes.cases[case] = Outcome(case, "failed", text="there was no time left for this case")
            break
        remaining = [str(root / case) for case in left]
    outcomes.seconds = time.monotonic() - began
    return outcomes


def _run_once(arguments, lines, env, cwd, root, log, case_limit, deadline, outcomes, progress, plugins) -> int:
    search = os.pathsep.join(part for part in (str(SHIM), env.get("PYTHONPATH", "")) if part)
    command = [
        sys.executable, "-m", "pytest", "-p", "apus_outcomes", *(part for plugin in plugins for part in ("-p", plugin)), "-p", "no:cacheprovider", "-o", "asyncio_mode=auto",
        # A module that cannot be collected has failed; it does not take the others with it.
        "-c", os.devnull, "--rootdir", str(root), "--continue-on-collection-errors", f"--timeout={case_limit:g}", "--timeout-method=signal", "-v", *arguments,
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=env | {"PYTHONPATH": search, "APUS_OUTCOMES": str(lines)}, cwd=cwd, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        seen, quiet_since, limit = -1, time.monotonic(), case_limit
        while process.poll() is None:
            size = lines.stat().st_size
            if size != seen:
                seen, quiet_since = size, time.monotonic()
                progress(*_progress(lines, outcomes))
                limit = max(case_limit, _limit(lines))
            # The case's own limit comes first. This one catches an interpreter that no signal reaches any more.
            if time.monotonic() > deadline or time.monotonic() > quiet_since + limit + 30:
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.05)
    progress(*_progress(lines, outcomes))
    return process.returncode


def _events(lines: Path):
    for line in lines.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            pass  # the last line of an interpreter that was killed while it wrote


def _limit(lines: Path) -> float:
    """The seconds that the case which runs may take, where it says so itself; else 0."""
    limits, running = {}, None
    for event in _events(lines):
        if event["event"] == "collected":
            limits[event["case"]] = event.get("limit")
        else:
            running = event["case"] if event["event"] == "began" else None
    return limits.get(running) or 0


def _progress(lines: Path, before: Outcomes) -> tuple[int, int, int]:
    """Cases ended, failed and collected so far."""
    events = list(_events(lines))
    ended = [event for event in events if event["event"] == "ended"]
    failed = sum(event["outcome"] == "failed" for event in ended) + before.count("failed")
    collected = sum(event["event"] == "collected" for event in events)
    return len(ended) + len(before.cases), failed, collected + len(before.cases)


def _read(lines: Path, outcomes: Outcomes) -> tuple[list[str], str | None]:
    collected, running = [], None
    for event in _events(lines):
        match event["event"]:
            case "collected":
                collected.append(event["case"])
            case "began":
                running = event["case"]
            case "ended":
                running = None
                outcomes.cases[event["case"]] = Outcome(event["case"], event["outcome"], event["seconds"], event["text"])
    return collected, running
