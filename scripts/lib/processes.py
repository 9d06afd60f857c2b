"""Finds, measures and ends the processes that belong to one run.

Every run puts a value of its own in the environment variable ``APUS_RUN``. Children inherit it, whatever session or
process group they move to, so the processes of a run can be told from all others without guessing by name.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

MARK = "APUS_RUN"


@dataclass(frozen=True)
class Process:
    pid: int
    command: list[str]

    @property
    def role(self) -> str:
        """``controller``, ``engine``, ``cluster`` or ``other``, from the command line alone."""
        words = [os.path.basename(word) for word in self.command[:5]]
        if any("nanny" in word for word in self.command[:6]):
            return "engine nanny"
        for word in words:
            for role in ("controller", "engine", "cluster"):
                if word in (f"ip{role}", role, f"ipyparallel.{role}", f"apus.{role}"):
                    return role
        if any(word == "start" for word in words):
            return "cluster"
        # The stock controller's schedulers and heart monitor are forked from it and keep its words.
        return "other"


def state(pid: int) -> str | None:
    """The letter that the system has for it: ``R``, ``S``, ``T``, ``Z``…; None where it is gone, as it may be between any two looks at it."""
    try:
        return _state(Path(f"/proc/{pid}"))
    except OSError:
        return None


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended: one that nobody has collected yet has."""
    return state(pid) not in (None, "Z", "X")


def kill(pid: int, patience: float = 40) -> None:
    """Ends it at once, and returns when it has ended: until then it answers, and has its sockets, locks and children."""
    _signal(pid, signal.SIGKILL)
    deadline = time.monotonic() + patience
    while runs(pid):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} is still there {patience:g} s after SIGKILL")
        time.sleep(0.005)


def processes(mark: str) -> list[Process]:
    """The living processes that carry this mark, this one excepted."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted not in entry.joinpath("environ").read_bytes().split(b"\0"):
                continue
            command = entry.joinpath("cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            state = _state(entry)
        except OSError:
            continue
        if state not in "ZX":
            found.append(Process(int(entry.name), [word.decode(errors="replace") for word in command]))
    return sorted(found, key=lambda process: process.pid)


def memory(pid: int) -> dict[str, int]:
    """Proportional and resident size in bytes: pages shared with other processes count in part, and in full."""
    sizes = {"pss": 0, "rss": 0}
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return sizes
    for line in lines:
        name, _, rest = line.partition(":")
        if name.lower() in sizes:
            sizes[name.lower()] = int(rest.split()[0]) * 1024
    return sizes


def end(mark: str, patience: float = 3.0) -> list[Process]:
    """Ends what is left of a run, politely first; returns what had to be ended."""
    left = processes(mark)
    for process in left:
        _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while processes(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in processes(mark):
        _signal(process.pid, signal.SIGKILL)
    return left


def _state(entry: Path) -> str:
    return entry.joinpath("stat").read_text().rpartition(")")[2].split()[0]


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
