"""Fixtures for the tests of the Python client: clusters of Apus, and clients of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HERE = str(Path(__file__).resolve().parent)
sys.path.insert(0, str(ROOT / "python"))

from temporary_cluster import TemporaryCluster  # noqa: E402

import apus as ipp  # noqa: E402
from gates import Gate  # noqa: E402


def connect(cluster, n=2, **options):
    """A client of ours that sees so many engines."""
    deadline = time.monotonic() + 60
    while not cluster.connection_file.exists():
        assert cluster.process.poll() is None and time.monotonic() < deadline, cluster.output()
        time.sleep(0.005)
    client = ipp.Client(str(cluster.connection_file), **options)
    client.wait_for_engines(n, timeout=60)
    return client


@pytest.fixture(scope="module")
def cluster(bin_dir):
    """Two engines for all cases of a module that leave them as they were."""
    path = os.pathsep.join([HERE, str(ROOT / "python")])
    with TemporaryCluster(bin_dir, n=2, PYTHONPATH=path) as cluster:
        connect(cluster).close()
        yield cluster


@pytest.fixture
def client(cluster):
    """A client of ours of the module's cluster; nothing of it may be left under way."""
    with connect(cluster) as client:
        yield client
        client.wait(timeout=40)
        assert not client.outstanding


@pytest.fixture
def view(client):
    return client.load_balanced_view()


@pytest.fixture
def connect_client(cluster):
    """`connect_client()` makes further clients, which are closed at the end."""
    clients = []

    def make(**options):
        clients.append(connect(cluster, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def gate(tmp_path):
    """Opened at the end of the case at the latest."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def run_program(cluster):
    """`run_program(code, seconds)` runs a program of its own that has `path`, the connection file, to its end."""

    def run(code, seconds=120):
        head = f"import sys, os, time\npath = {str(cluster.connection_file)!r}\nimport apus as ipp\n"
        environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
        program = [sys.executable, "-c", head + textwrap.dedent(code)]
        return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=seconds)

    return run


@pytest.fixture
def connect_to():
    """`connect_to(cluster, n)` makes a client of a cluster of the case's own."""
    clients = []

    def make(cluster, n):
        clients.append(connect(cluster, n))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
