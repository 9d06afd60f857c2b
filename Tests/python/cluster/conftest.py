"""Fixtures for the tests of `apus.cluster`: the Python package of the installation under test, and a profile of each case's own."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
INSTALLED = Path(os.environ.get("APUS_PREFIX", ROOT / ".build" / "prefix")) / "lib" / "apus" / "python"
#: The package as it is installed; that of the checkout where somebody tries it without an installation of the newest.
PACKAGE = Path(os.environ.get("APUS_PACKAGE", INSTALLED))
sys.path.insert(0, str(PACKAGE))
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

import processes  # noqa: E402


@pytest.fixture
def profile(tmp_path, bin_dir, monkeypatch):
    """The path of the default profile, which is this case's own; what the case started is ended with it."""
    mark = uuid.uuid4().hex
    for name in [name for name in os.environ if name.startswith("IPP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("APUS_BIN", str(bin_dir))
    monkeypatch.setenv(processes.MARK, mark)
    yield tmp_path / "ipython" / "profile_default"
    processes.end(mark)


@pytest.fixture
def mark(profile):
    """What the processes of this case have in their environment."""
    return os.environ[processes.MARK]


@pytest.fixture
def make(profile, request):
    """``make(n=2)`` is a `Cluster` that is stopped when the case ends."""
    from apus.cluster import Cluster

    def make(**kwargs):
        cluster = Cluster(**kwargs)
        request.addfinalizer(cluster.stop_cluster_sync)
        return cluster

    return make


@pytest.fixture
def python(profile, tmp_path):
    """``python("code")`` runs a program in an interpreter of its own, with the same profile; it has begun when it returns."""
    begun = []

    def python(code: str, **environment: str) -> subprocess.Popen:
        program = tmp_path / f"program{len(begun)}.py"
        program.write_text(code)
        path = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, str(program)], env={**os.environ, "PYTHONPATH": path, **environment}, cwd=tmp_path, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        begun.append(process)
        return process

    yield python
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def apus(bin_dir, profile):
    """``apus("list")`` runs a command of the installation to its end, in the same profile."""

    def apus(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(bin_dir / "apus"), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
            env={**os.environ, "APUS_PYTHON": sys.executable})

    return apus
