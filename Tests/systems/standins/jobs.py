"""Jobs of the stand-ins: real processes, their state in files, and the faults that a case asks for.

``STANDIN_DIR`` is the folder of one system. ``calls`` in it has every command that was called, a line of JSON each; ``faults.json`` says what is
to go wrong: ``{"submit_delay": 2}``, ``{"submit_refusal": "words"}``, ``{"status_failures": 3}`` (so many calls), ``{"hold": true}`` (jobs stay in
the queue), ``{"version_waits": true}`` (until there is a file ``version_goes_on``).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(os.environ["STANDIN_DIR"])
JOBS = HERE / "jobs"


def record() -> None:
    # In one write: others append and read meanwhile.
    line = json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\n"
    file = os.open(HERE / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)


def faults() -> dict:
    try:
        return json.loads((HERE / "faults.json").read_text())
    except OSError:
        return {}


def leave(words: str, code: int) -> None:
    print(words, file=sys.stderr)
    sys.exit(code)


def meet_submit_faults() -> None:
    wanted = faults()
    # A submission that is slow because its system is: what is asked of the launcher is that it goes on hearing its user meanwhile.
    time.sleep(wanted.get("submit_delay", 0))
    if "submit_refusal" in wanted:
        leave(wanted["submit_refusal"], 1)


def meet_version_fault() -> None:
    """Says nothing until it is told to."""
    if faults().get("version_waits"):
        (HERE / "version_waits").touch()
        while not (HERE / "version_goes_on").exists():
            time.sleep(0.01)


def meet_status_faults() -> None:
    wanted = faults()
    left = wanted.get("status_failures", 0)
    if left > 0:
        # Whole or not at all.
        new = HERE / f"faults.json.{os.getpid()}"
        new.write_text(json.dumps(wanted | {"status_failures": left - 1}))
        new.rename(HERE / "faults.json")
        leave("the daemon does not answer: Connection timed out", 1)


def began(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class Element:
    """One element of a job: a process, or none yet."""

    def __init__(self, job: str, index: int):
        self.job, self.index = job, index
        self.path = JOBS / job / str(index)

    def told(self, name: str) -> str | None:
        try:
            return self.path.with_suffix(f".{name}").read_text()
        except OSError:
            return None

    def tell(self, name: str, text: str) -> None:
        rest = self.path.with_suffix(f".{name}-{os.getpid()}")
        rest.write_text(text)
        rest.rename(self.path.with_suffix(f".{name}"))

    @property
    def exit_code(self) -> int | None:
        """As Python has it: negative for a signal."""
        text = self.told("exit")
        return None if text is None else int(text)

    @property
    def reason(self) -> str:
        """``time``, ``memory``, ``node``, ``cancelled``, or nothing."""
        return self.told("reason") or ""

    @property
    def is_waiting(self) -> bool:
        return self.told("pid") is None and self.exit_code is None

    def kill(self, number: int) -> None:
        text = self.told("pid")
        if text is None:
            self.tell("exit", "0")
        elif self.exit_code is None:
            try:
                os.killpg(int(text), number)
            except ProcessLookupError:
                pass

    def end(self, reason: str, number: int = signal.SIGKILL) -> None:
        if self.exit_code is None:
            self.tell("reason", reason)
            self.kill(number)

    def run(self, command: list[str], output: str, variables: dict[str, str]) -> None:
        """Starts it, and something that waits for it, and returns."""
        reading, writing = os.pipe()
        if os.fork():
            os.close(writing)
            os.read(reading, 1)
            os.close(reading)
            return
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        with open(output, "ab") as file:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, env={**os.environ, **variables})
        self.tell("pid", str(child.pid))
        os.write(writing, b"x")
        os.close(writing)
        self.tell("exit", str(child.wait()))
        os._exit(0)


def submit(script: str, indices: list[int], output, variables, command=None) -> str:
    """A new job. ``output(job, index)`` names the file, ``variables(job, index)`` the environment, ``command(job, index)`` what
    runs, if not the script. Returns its number."""
    JOBS.mkdir(exist_ok=True)
    number = 1
    while True:
        try:
            (JOBS / str(number)).mkdir()
            break
        except FileExistsError:
            number += 1
    job = str(number)
    path = JOBS / job / "script"
    path.write_text(script)
    path.chmod(0o700)
    new = JOBS / job / "indices.new"
    new.write_text(json.dumps(indices))
    # Others look at jobs meanwhile: it has all of its elements, or is none yet.
    new.rename(JOBS / job / "indices")
    if not faults().get("hold"):
        for index in indices:
            Element(job, index).run(command(job, index) if command else ["/bin/sh", str(path)], output(job, index), variables(job, index))
    return job


def elements(job: str) -> list[Element] | None:
    try:
        indices = json.loads((JOBS / job / "indices").read_text())
    except OSError:
        return None
    return [Element(job, index) for index in indices]


def option(script: str, mark: str, *names: str) -> str | None:
    """The value of an option in the lines of a script: ``#SBATCH --ntasks=4``, ``#PBS -q long``."""
    for name in names:
        found = re.search(rf"^{re.escape(mark)}\s+{re.escape(name)}[ =]?(\S+)", script, re.MULTILINE)
        if found:
            return found.group(1)
    return None


def range_of(text: str | None) -> list[int]:
    """``1-4`` as four numbers."""
    if text is None:
        return [1]
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def signal_number(text: str) -> int:
    return int(text) if text.isdigit() else getattr(signal, text if text.startswith("SIG") else "SIG" + text)
