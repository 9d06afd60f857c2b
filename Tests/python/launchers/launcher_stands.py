"""What the launchers' tests start, and where: a system with its options, and the commands of a cluster on it.

Not in conftest.py: several directories have one, and who imports "conftest" gets the one that was collected first.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path


ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Tests"))

import processes  # noqa: E402
from temporary_cluster import environment  # noqa: E402


def wait_for(what, seconds: float = 40):
    """Until it is true, or something: which is what it gives."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)


class Stand:
    """A system with the options that start engines on it."""

    def __init__(self, name: str, system, kind: str, arguments: list[str], configuration: dict):
        self.name, self.system, self.kind = name, system, kind
        self.arguments = [f"--engines={kind}", *arguments]
        self.configuration = configuration

    #: What commands begin with, where they run on another machine.
    prefix: list[str] = []

    @property
    def is_batch(self) -> bool:
        return self.kind not in ("ssh", "mpi")

    def jobs(self) -> list[str]:
        return self.system.jobs() if self.is_batch else []

    def left_over(self) -> list:
        """What a stopped cluster must not leave: jobs, processes of hosts."""
        left = list(self.jobs())
        if self.kind == "ssh":
            left += [pid for host in self.system.hosts for pid in self.system.processes(host)]
        return left


class Cluster:
    """One profile, and the commands of a user in it."""

    def __init__(self, bin_dir: Path, folder: Path, stand: Stand):
        self.bin_dir, self.folder, self.stand = bin_dir, folder, stand
        self.mark = uuid.uuid4().hex
        self.ipython_dir = folder / "ipython"
        self.profile = self.ipython_dir / "profile_default"
        self.profile.mkdir(parents=True)
        self.configure(stand.configuration)
        self.launcher = None
        self.clients = []

    def configure(self, configuration: dict) -> None:
        (self.profile / "ipcluster_config.json").write_text(json.dumps(configuration))

    @property
    def env(self) -> dict[str, str]:
        # Its own interpreter's directory stays first on PATH, and the system's programs before the rest.
        variables = environment(self.ipython_dir, self.mark)
        more = dict(self.stand.system.variables)
        if "PATH" in more:
            more["PATH"] = more["PATH"].split(":")[0] + ":" + variables["PATH"]
        return {**variables, **more}

    def run(self, *words: str, timeout: float = 60, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*self.stand.prefix, str(self.bin_dir / "apus"), *words], env={**self.env, **more}, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=timeout)

    def popen(self, *words: str) -> subprocess.Popen:
        """A command that goes on; `words()` is what it has said."""
        log = self.folder / f"command-{time.monotonic_ns()}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*self.stand.prefix, str(self.bin_dir / "apus"), *words], env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        process.words = lambda: log.read_text(errors="replace")
        return process

    def start(self, *words: str, n: int = 3) -> subprocess.Popen:
        """In the foreground."""
        self.log = self.folder / f"start-{time.monotonic_ns()}.log"
        with self.log.open("wb") as file:
            self.launcher = subprocess.Popen(
                [*self.stand.prefix, str(self.bin_dir / "apus"), "start", f"-n{n}", *self.stand.arguments, *words], env=self.env, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        return self.launcher

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def hears(self, words: str, seconds: float = 40) -> None:
        """Waits until the launcher in the foreground says that."""
        deadline = time.monotonic() + seconds
        while words not in self.said:
            assert time.monotonic() < deadline, f"never said {words!r}:\n{self.said}\n{self.state()}"
            assert self.launcher.poll() is None or words in self.said, f"ended with {self.launcher.returncode}:\n{self.said}"
            time.sleep(0.01)

    def state(self) -> str:
        logs = "".join(f"--- {path}\n{path.read_text(errors='replace')[-1500:]}\n" for path in self.profile.glob("log/*") if path.is_file())
        return logs

    def client(self, engines: int = 3):
        import ipyparallel

        client = ipyparallel.Client(str(self.profile / "security/ipcontroller-client.json"), timeout=40)
        self.clients.append(client)
        deadline = time.monotonic() + 40
        while len(client.ids) < engines:
            assert time.monotonic() < deadline, f"{len(client.ids)} of {engines} engines came"
            time.sleep(0.01)
        return client

    def interrupt(self, seconds: float = 40) -> int:
        self.launcher.send_signal(signal.SIGINT)
        return self.launcher.wait(seconds)

    def has_left_nothing(self, seconds: float = 40, logs: int = 0) -> None:
        """No job, no process on any host, no file of its making but logs of engines that died, one each."""
        deadline = time.monotonic() + seconds
        while True:
            left = [process for process in processes.processes(self.mark) if "sshd" not in process.command[0]]
            left += self.stand.left_over()
            if not left:
                break
            assert time.monotonic() < deadline, left
            time.sleep(0.02)
        assert not list((self.profile / "security").iterdir())
        left = [path.name for path in (self.profile / "log").iterdir() if path.name != "engines.json"]
        assert len(left) <= logs, left

    def end(self) -> None:
        for client in self.clients:
            client.close()
        if self.launcher is not None and self.launcher.poll() is None:
            self.launcher.send_signal(signal.SIGTERM)
            try:
                self.launcher.wait(30)
            except subprocess.TimeoutExpired:
                self.launcher.kill()
                self.launcher.wait(40)
        self.run("stop", "--all")
        processes.end(self.mark)
