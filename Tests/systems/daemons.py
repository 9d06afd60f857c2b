"""Daemons of a test: children in the foreground, awaited, ended, and cleaned up after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "lib"))

from ports import free_ports  # noqa: E402

__all__ = ["System", "SystemFailed", "end", "free_ports"]


class SystemFailed(Exception):
    """A system did not come up; the message has its daemons' last words."""


class System:
    """A system in a folder of its own. Subclasses start daemons in ``bring_up`` and say in ``variables`` how its commands find it."""

    #: What must be on this machine: programs, by name or path.
    needs: tuple[str, ...] = ()
    #: Debian's packages with them.
    packages: tuple[str, ...] = ()
    needs_root = False

    def __init__(self, folder: Path):
        self.folder = folder
        self.variables: dict[str, str] = {}
        self.daemons: list[subprocess.Popen] = []

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot run here; None where it can."""
        import shutil

        absent = [name for name in cls.needs if shutil.which(name) is None]
        if absent:
            return f"needs {', '.join(absent)} (packages {' '.join(cls.packages)})"
        if cls.needs_root and os.geteuid() != 0:
            return "needs root"
        return None

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def daemon(self, *command: str, **variables: str) -> subprocess.Popen:
        """In the foreground: one that detaches itself would be nobody's to end."""
        log = self.folder / f"{Path(command[0]).name}-{len(self.daemons)}.out"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env={**self.environment, **variables},
                start_new_session=True)
        self.daemons.append(process)
        return process

    def run(self, *command: str, check: bool = True, text: str | None = None) -> str:
        done = subprocess.run(
            command, env=self.environment, input=text, stdin=None if text is not None else subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            raise SystemFailed(f"{' '.join(command)}: {done.stderr}{done.stdout}")
        return done.stdout

    def wait(self, condition, what: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = "".join(f"--- {path}\n{path.read_text(errors='replace')[-2000:]}\n" for path in self.folder.glob("*.out"))
                raise SystemFailed(f"{what}\n{logs}")
            time.sleep(0.05)

    def bring_up(self) -> None:
        raise NotImplementedError

    def drain(self) -> None:
        """End the jobs, which would outlive their daemons."""

    def start(self):
        try:
            self.bring_up()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        self.drain()
        for process in reversed(self.daemons):
            end(process)


def end(process: subprocess.Popen, seconds: float = 8) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
