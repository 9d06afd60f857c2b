"""Runs the peers in turn, A B C A B C, each measurement of one in a fresh process and a directory of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import processes

HERE = Path(__file__).resolve().parents[1]
LIBRARY = HERE.parent / "scripts" / "lib"
#: Seconds for one peer in one round.
LIMIT, QUICK_LIMIT = 1200.0, 240.0


@dataclass
class Measured:
    """What the rounds found out about one peer."""

    title: str
    version: str = ""
    how: str = ""
    absent: str | None = None
    rounds: list[dict[str, float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def environment(work: Path, mark: str, prefix: Path) -> dict[str, str]:
    """Nothing of a user's cluster, everything temporary in one directory, this interpreter's environment first."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("IPP_", "DASK_", "RAY_"))}
    package = os.environ.get("APUS_BENCH_PYTHON", str(prefix / "lib" / "apus" / "python"))
    return inherited | {
        processes.MARK: mark,
        "PYTHONPATH": os.pathsep.join((str(HERE), str(LIBRARY), package)),
        "IPYTHONDIR": str(work / "ipython"),
        "TMPDIR": str(work),
        "RAY_TMPDIR": str(work),
        "VIRTUAL_ENV": sys.prefix,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
        "APUS_BENCH_BIN": str(prefix / "bin"),
    }


def measure(name: str, prefix: Path, quick: bool, log: Path, tell: Callable[[dict], None]) -> None:
    """One round of one peer; `tell` gets each line as it comes, and what went wrong at last."""
    # Short: names of Unix domain sockets under it have a limit of 107 bytes.
    work = Path(tempfile.mkdtemp(prefix="ab-"))
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "harness.measure", name, *(["--quick"] if quick else [])]
    limit = QUICK_LIMIT if quick else LIMIT
    over = threading.Event()
    try:
        with log.open("wb") as errors:
            process = subprocess.Popen(
                command, env=environment(work, mark, prefix), cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=errors, text=True, start_new_session=True)

            def end() -> None:
                over.set()
                processes.end(mark)

            timer = threading.Timer(limit, end)
            timer.start()
            try:
                for line in process.stdout:
                    tell(json.loads(line))
                code = process.wait()
            finally:
                timer.cancel()
        if over.is_set():
            tell({"of": "the run", "error": f"not done within {limit:g} s"})
        elif code != 0:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
            tell({"of": "the run", "error": f"exit code {code}: {last[0]}"})
    finally:
        processes.end(mark)
        shutil.rmtree(work, ignore_errors=True)


def run(names: list[str], prefix: Path, rounds: int, quick: bool, logs: Path) -> dict[str, Measured]:
    """All rounds of all peers."""
    logs.mkdir(parents=True, exist_ok=True)
    found = {name: Measured(title=name) for name in names}
    live = sys.stdout.isatty()
    for number in range(rounds):
        # Who goes first changes, so that nobody always finds the machine warmer.
        for name in names if number % 2 == 0 else names[::-1]:
            peer = found[name]
            if peer.absent:
                continue
            numbers: dict[str, float] = {}

            def tell(line: dict) -> None:
                numbers.update(line.get("numbers", {}))
                for key, value in line.get("peer", {}).items():
                    setattr(peer, key, value)
                peer.absent = line.get("absent", peer.absent)
                if "error" in line:
                    peer.errors.append(f"{line['of']}: {line['error']}")

            began = time.monotonic()
            print(f"round {number + 1} of {rounds}: {name} …", end="" if live else "\n", flush=True)
            measure(name, prefix, quick, logs / f"{name}-{number + 1}.log", tell)
            if numbers:
                peer.rounds.append(numbers)
            what = f"absent: {peer.absent}" if peer.absent else f"{time.monotonic() - began:.0f} s, {len(numbers)} numbers"
            print(("\r\033[K" if live else "") + f"round {number + 1} of {rounds}: {name}: {what}", flush=True)
    return found


def interrupted(process: subprocess.Popen) -> None:
    """Asks a program that has a cluster to stop to do so."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def run_json(command: list[str], limit: float) -> dict:
    """A program's output as JSON, or its last line; an ``error`` instead of numbers when it fails."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        interrupted(process)
        return {"error": f"not done within {limit:g} s"}
    try:
        return json.loads(output) if output.lstrip().startswith("{\n") else json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = (errors or output).strip().splitlines()[-1:] or ["no output"]
        return {"error": f"exit code {process.returncode}: {last[0]}"}
