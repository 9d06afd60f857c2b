"""Jobs that Slurm itself starts again: after 'scontrol requeue', and after the loss of a node."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from test_restarts import wait_for

pytestmark = pytest.mark.timeout(400)


def job_of(cluster) -> str:
    [job] = cluster.stand.jobs()
    return job


def hurry(cluster, job: str) -> None:
    """Slurm would wait two minutes before it starts it again."""
    system = cluster.stand.system
    latest = 0.0

    def runs() -> bool:
        nonlocal latest
        state = system.run("squeue", "-h", "-j", job, "-o", "%T|%r", check=False).strip()
        # Asked again and again it would begin anew to wait; asked too early, it forgets it.
        if state == "PENDING|BeginTime" and time.monotonic() - latest > 3:
            latest = time.monotonic()
            system.run("scontrol", "update", f"jobid={job}", "starttime=now", check=False)
        elif state.endswith("held"):
            # It came back to a node that had not ended it yet.
            system.run("scontrol", "release", job, check=False)
        return state.startswith("RUNNING")

    # First it has to have ended there.
    wait_for(lambda: not system.run("squeue", "-h", "-j", job, "-t", "running,completing", "-o", "%i").strip(), 90)
    # Longer than those two minutes: it may not listen.
    wait_for(runs, 150)


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
    cluster.stand.system.run("scontrol", "requeue", job)
    wait_for(lambda: len(client.ids) == 0)
    hurry(cluster, job)
    wait_for(lambda: len(client.ids) == 2, 60)
    assert list(client.ids) == ids and not set(before) & set(client[:].apply_sync(os.getpid))
    # It was in the queue, and is the same job: none of its engines has ended for good.
    assert job_of(cluster) == job and "died" not in cluster.said
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing()


def test_engines_come_back_on_another_node(requeueing):
    cluster = requeueing
    client = cluster.client(2)
    job, node, processes = job_of(cluster), client[0].apply_sync(os.getenv, "SLURMD_NODENAME"), client[:].apply_sync(os.getpid)
    try:
        cluster.stand.system.lose(node)
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(client.ids) == 0)
        hurry(cluster, job)
        wait_for(lambda: len(client.ids) == 2, 60)
        assert client[client.ids[0]].apply_sync(os.getenv, "SLURMD_NODENAME") != node
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
