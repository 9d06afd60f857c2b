"""A cluster in a temporary IPYTHONDIR, started as a user starts one: ``ipcluster start -n 2``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import processes


def stock_client():
    import ipyparallel

    return ipyparallel.Client


class ClusterFailed(Exception):
    """The cluster did not come up, or did not come down; the message holds the end of its log."""


def environment(ipython_dir: str | Path, mark: str, **more: str) -> dict[str, str]:
    """The environment of a run: its own profile directory, this interpreter for Python engines, its mark."""
    # APUS_PYTHON made this interpreter's environment; the engines run in the environment.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IPP_") and name != "APUS_PYTHON"}
    bin_dir = str(Path(sys.executable).parent)
    return inherited | {
        "IPYTHONDIR": str(ipython_dir),
        "VIRTUAL_ENV": sys.prefix,
        "PATH": bin_dir + os.pathsep + inherited.get("PATH", ""),
        "PYTHONUNBUFFERED": "1",
        processes.MARK: mark,
        **more,
    }


STOCK_NAME = ("ipcluster", "start")


class TemporaryCluster:
    """``with TemporaryCluster(bin_dir, n=2) as cluster: cluster.client()``.

    ``bin_dir`` holds ``ipcluster`` and its companions: those of an installation of Apus, or stock ipyparallel's. ``client_class`` is by default
    the stock client's.
    """

    def __init__(self, bin_dir: str | Path, n: int = 2, arguments: list[str] | None = None, timeout: float = 60,
                 command: tuple[str, ...] = STOCK_NAME, client_class=None, **more: str):
        self.bin_dir = Path(bin_dir)
        self.n = n
        self.arguments = arguments or []
        self.timeout = timeout
        self.command = command
        self.client_class = client_class
        self.more = more
        self.mark = uuid.uuid4().hex
        self.process: subprocess.Popen | None = None
        self.started = 0.0
        self._clients = []

    # Life

    def start(self, before: Callable[[], None] | None = None) -> TemporaryCluster:
        """Starts the cluster and returns at once: a client's wait is part of what is measured. ``before`` is called when its directory is there."""
        self.ipython_dir = Path(tempfile.mkdtemp(prefix="apus-"))
        self.log = self.ipython_dir / "ipcluster.log"
        self.env = environment(self.ipython_dir, self.mark, **self.more)
        if before is not None:
            before()
        self.start_again()
        return self

    def start_again(self) -> None:
        """Once more in the same directory, after its launcher has died."""
        command = [str(self.bin_dir / self.command[0]), *self.command[1:], "-n", str(self.n), *self.arguments]
        with self.log.open("ab") as log:
            self.started = time.perf_counter()
            self.process = subprocess.Popen(
                command, env=self.env, cwd=self.ipython_dir, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True)

    def stop(self, before_removal: Callable[[], None] | None = None) -> None:
        """Interrupts the cluster as Ctrl-C does, sees to it that nothing of it is left, removes its files; before that it calls."""
        for client in self._clients:
            client.close()
        try:
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    pass
            deadline = time.monotonic() + 2
            while self.processes() and time.monotonic() < deadline:
                time.sleep(0.02)
            self.left_over = processes.end(self.mark)
            if self.process is not None:
                self.process.wait(5)
        finally:
            if before_removal is not None:
                before_removal()
            shutil.rmtree(self.ipython_dir, ignore_errors=True)

    def __enter__(self) -> TemporaryCluster:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Use

    @property
    def connection_file(self) -> Path:
        return self.ipython_dir / "profile_default" / "security" / "ipcontroller-client.json"

    def client(self, wait: bool = True, **options):
        """A client, by default one that sees all engines."""
        client_class = self.client_class or stock_client()
        deadline = time.monotonic() + self.timeout
        # The file is written whole before it gets its name, or it would be read half; a stock controller does not
        # promise that, so an unreadable file is tried again.
        while True:
            try:
                client = client_class(str(self.connection_file), **options)
                break
            except (OSError, ValueError) as error:
                self._check(deadline, f"no client could connect: {error}")
                time.sleep(0.005)
        self._clients.append(client)
        while wait and len(client.ids) < self.n:
            self._check(deadline, f"{len(client.ids)} of {self.n} engines came")
            time.sleep(0.002)
        return client

    def processes(self) -> list[processes.Process]:
        return processes.processes(self.mark)

    def output(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _check(self, deadline: float, what: str) -> None:
        code = self.process.poll() if self.process else None
        if code is not None:
            raise ClusterFailed(f"{self.command[0]} ended with exit code {code}; its last words:\n{self.output()}")
        if time.monotonic() > deadline:
            raise ClusterFailed(f"after {self.timeout:g} s {what}; the cluster's last words:\n{self.output()}")
