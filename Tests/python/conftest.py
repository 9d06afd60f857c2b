"""Fixtures for the tests that run the installed executables with real Python peers.

``APUS_PREFIX`` names the installation under test; without it, it is the one that ``scripts/test`` makes in the checkout.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A function travels as its code and the name of its module, which the engine must find.
HERE = str(Path(__file__).resolve().parent)
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

import processes  # noqa: E402
from temporary_cluster import TemporaryCluster, environment  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "timeout: the seconds a case may take")
    # Whoever runs the tests may ignore them, as nohup does and a shell for what it has in the background, and processes inherit that: then no
    # case could send them.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def bin_dir() -> Path:
    directory = Path(os.environ.get("APUS_PREFIX", ROOT / ".build" / "prefix")) / "bin"
    if not (directory / "ipcluster").exists():
        pytest.exit(f"there is no ipcluster in {directory}: scripts/test installs one, APUS_PREFIX names another", 2)
    return directory


@pytest.fixture
def start_cluster(bin_dir):
    """``start_cluster(n=2, arguments=[…])`` starts a cluster that is stopped when the case ends."""
    clusters = []

    def start(n: int = 2, arguments: list[str] | None = None, **more: str) -> TemporaryCluster:
        cluster = TemporaryCluster(bin_dir, n=n, arguments=arguments, PYTHONPATH=HERE, **more).start()
        clusters.append(cluster)
        return cluster

    yield start
    for cluster in clusters:
        cluster.stop()


@pytest.fixture(scope="module")
def cluster(bin_dir):
    """Two engines for all cases of a module that leave them as they were."""
    with TemporaryCluster(bin_dir, n=2, PYTHONPATH=HERE) as cluster:
        cluster.client()
        yield cluster


@pytest.fixture
def client(cluster):
    """A stock client of the module's cluster."""
    with cluster.client() as client:
        yield client


@pytest.fixture
def run(bin_dir, tmp_path):
    """``run('ipcluster', 'list')`` runs an installed command to its end, in a profile directory of the case's own."""
    mark = uuid.uuid4().hex

    def run(command: str, *arguments: str, timeout: float = 60, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(bin_dir / command), *arguments], env=environment(tmp_path / "ipython", mark, **more), cwd=tmp_path,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)

    yield run
    processes.end(mark)


class Parts:
    """A cluster put together by hand, of our parts and of stock's, in one temporary profile directory."""

    def __init__(self, bin_dir: Path, directory: Path):
        self.places = {"apus": bin_dir, "stock": Path(sys.executable).parent}
        self.mark = uuid.uuid4().hex
        self.env = environment(directory / "ipython", self.mark, PYTHONPATH=HERE)
        self.directory = directory
        self.security = directory / "ipython" / "profile_default" / "security"
        self.clients = []
        self.logs = {}

    def start(self, command: str, *arguments: str, of: str = "apus", **more: str) -> subprocess.Popen:
        log = self.directory / f"{command}-{len(self.logs)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [str(self.places[of] / command), *arguments], env=self.env | more, cwd=self.directory,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        self.logs[process.pid] = log
        return process

    def log(self, process: subprocess.Popen) -> str:
        return self.logs[process.pid].read_text(errors="replace")

    def client(self, engines: int, seconds: float = 60, **options):
        """A stock client that sees so many engines."""
        import ipyparallel

        deadline = time.monotonic() + seconds
        while True:
            try:
                client = ipyparallel.Client(str(self.security / "ipcontroller-client.json"), **options)
                break
            except (OSError, ValueError):
                assert time.monotonic() < deadline, self.all_logs()
                time.sleep(0.01)
        self.clients.append(client)
        while len(client.ids) < engines:
            assert time.monotonic() < deadline, self.all_logs()
            time.sleep(0.01)
        return client

    def all_logs(self) -> str:
        return "".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}\n" for log in self.logs.values())

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        processes.end(self.mark)


@pytest.fixture
def parts(bin_dir, tmp_path):
    """Single commands, started and stopped by the case: see ``Parts``."""
    parts = Parts(bin_dir, tmp_path)
    yield parts
    parts.stop()


@pytest.fixture
def wait_until():
    """``wait_until(condition, seconds)`` gives the seconds it took; fails when they pass and it still does not hold.

    It has as long as a process takes to start or to end on a machine with much else to do: a case that fails because of that says nothing.
    """

    def wait(condition, seconds: float = 40) -> float:
        began = time.perf_counter()
        while not condition():
            took = time.perf_counter() - began
            assert took < seconds, f"not within {seconds:g} s"
            time.sleep(0.002)
        return time.perf_counter() - began

    return wait
