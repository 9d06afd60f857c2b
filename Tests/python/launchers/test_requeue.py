"""Jobs that Slurm itself starts again: after 'scontrol requeue', and after the loss of a node."""

from __future__ import annotations

import os
import subprocess

import processes
import pytest
from launcher_stands import wait_for

pytestmark = pytest.mark.timeout(400)


def job_of(cluster) -> str:
    [job] = cluster.stand.jobs()
    return job


def await_engines(cluster, client, job: str) -> None:
    """Of a job that Slurm starts again; first it waits a while (AuthInfo in Tests/systems/slurm.py)."""

    def are_back() -> bool:
        if len(client.ids) == 2:
            return True
        state = cluster.stand.system.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T %r").strip()
        assert state.split()[:1] in (["COMPLETING"], ["PENDING"], ["CONFIGURING"], ["RUNNING"]) and "held" not in state, f"{state}\n{cluster.said}"
        return False

    wait_for(are_back, 90)


@pytest.fixture
def requeueing(make_cluster):
    cluster = make_cluster("real slurm")
    cluster.configure({"SlurmEngineSetLauncher": {"options": "--requeue"}, "IPClusterStart": {"early_shutdown": 0}})
    cluster.start("--keep-ids", n=2)
    cluster.hears("2 engines ready")
    return cluster


def test_a_job_that_is_requeued_brings_its_engines_back(requeueing):
    cluster = requeueing
    client = cluster.client(2)
    ids, before = list(client.ids), client[:].apply_sync(os.getpid)
    job = job_of(cluster)
    # One of them has to be killed, which srun tells; it has not ended for good either.
    client[0].execute("import ctypes, signal; ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(1))", block=True)
    cluster.stand.system.run("scontrol", "requeue", job)
    wait_for(lambda: len(client.ids) == 0)
    await_engines(cluster, client, job)
    assert list(client.ids) == ids and not set(before) & set(client[:].apply_sync(os.getpid))
    # It was in the queue, and is the same job: none of its engines has ended for good.
    assert job_of(cluster) == job and "died" not in cluster.said, cluster.said
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing()


def test_an_engine_that_had_died_is_back_with_its_job(requeueing):
    cluster = requeueing
    client = cluster.client(2)
    job, first = job_of(cluster), client[0].apply_sync(os.getpid)
    processes.kill(first)
    cluster.hears("died with")
    wait_for(lambda: len(client.ids) == 1)
    cluster.stand.system.run("scontrol", "requeue", job)
    wait_for(lambda: len(client.ids) == 0)
    await_engines(cluster, client, job)
    cluster.hears("is there again")
    # Which is looked after as the other one is.
    pids = client[:].apply_sync(os.getpid)
    assert cluster.interrupt() == 0, cluster.said
    assert not any(processes.runs(pid) for pid in pids), cluster.said
    cluster.has_left_nothing()


def test_engines_come_back_on_another_node(requeueing):
    cluster = requeueing
    client = cluster.client(2)
    job, node, pids = job_of(cluster), client[0].apply_sync(os.getenv, "SLURMD_NODENAME"), client[:].apply_sync(os.getpid)
    try:
        cluster.stand.system.lose(node)
        for pid in pids:
            # Or it has ended with its srun.
            processes.kill(pid)
        wait_for(lambda: len(client.ids) == 0)
        await_engines(cluster, client, job)
        assert client[client.ids[0]].apply_sync(os.getenv, "SLURMD_NODENAME") != node
        assert "died" not in cluster.said, cluster.said
        assert cluster.interrupt() == 0, cluster.said
    finally:
        cluster.stand.system.repair(node)


def test_without_that_wish_a_job_is_not_requeued(make_cluster):
    cluster = make_cluster("real slurm")
    cluster.start("--restart=on-failure", n=2)
    cluster.hears("2 engines ready")
    client = cluster.client(2)
    job, node = job_of(cluster), client[0].apply_sync(os.getenv, "SLURMD_NODENAME")
    system = cluster.stand.system
    refused = subprocess.run(["scontrol", "requeue", job], env=system.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert refused.returncode and cluster.stand.jobs() == [job], refused.stderr
    assert "Restarts=0" in system.run("scontrol", "show", "job", job).split()
    try:
        cluster.stand.system.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        cluster.hears(f"the loss of its node {node}")
        # Another job comes at once.
        wait_for(lambda: len(client.ids) == 2 and cluster.stand.jobs() not in ([], [job]), 60)
        assert cluster.interrupt() == 0, cluster.said
    finally:
        cluster.stand.system.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
