"""Engines that end are started again, whatever runs them."""

from __future__ import annotations

import json
import os
import signal

import pytest
from launcher_names import PLAYED
from launcher_stands import wait_for
from test_conformance import kill_engine

#: Those whose engines end one by one.
SINGLE = ["local", *PLAYED, "real slurm", "ssh"]


def make(make_cluster, name: str):
    if name != "local":
        return make_cluster(name)
    cluster = make_cluster("slurm")
    cluster.stand.arguments, cluster.kept = [], cluster.stand.arguments
    return cluster


@pytest.fixture(autouse=True)
def stand_arguments(stands):
    """A stand is shared by the session: what a case changes of it is put back."""
    yield
    stands("slurm").arguments = ["--engines=slurm"]


@pytest.mark.parametrize("name", SINGLE)
def test_an_engine_that_died_comes_back_with_its_id(make_cluster, name):
    cluster = make(make_cluster, name)
    cluster.start("--restart=on-failure", "--keep-ids")
    cluster.hears("3 engines ready")
    client = cluster.client()
    ids = list(client.ids)
    before = dict(zip(ids, client[:].apply_sync(os.getpid)))
    first = client.ids[0]
    former = client._engines[first]
    kill_engine(cluster, client)
    wait_for(lambda: len(client.ids) == 3 and former not in client._engines.values())
    assert list(client.ids) == ids
    after = dict(zip(client.ids, client[:].apply_sync(os.getpid)))
    assert sum(after.get(number) != pid for number, pid in before.items()) == 1
    ended = json.loads(cluster.run("status", "--json").stdout)["ended"]
    assert [engine["signal"] for engine in ended] == [9] and ended[0]["consequence"].startswith("started again after")
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing(logs=3)


@pytest.mark.parametrize("name", ["openmpi", "mpich"])
def test_ranks_are_started_again_together(make_cluster, name):
    cluster = make_cluster(name)
    cluster.start("--restart=on-failure", "--keep-ids")
    cluster.hears("3 engines ready")
    client = cluster.client()
    before = set(client[:].apply_sync(os.getpid))
    kill_engine(cluster, client)
    wait_for(lambda: "is started again" in cluster.said)

    def are_new():
        if len(client.ids) != 3:
            return False
        return before.isdisjoint(client[:].apply_sync(os.getpid))

    wait_for(are_new)
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing(logs=1)


def test_what_ends_again_and_again_is_given_up(make_cluster):
    cluster = make(make_cluster, "local")
    cluster.configure({"LocalEngineSetLauncher": {"engine_cmd": ["/bin/sh", "-c", "exit 3"]}})
    cluster.start("--restart=always", "--Cluster.restart_limit=2", n=1)
    cluster.launcher.wait(40)
    assert cluster.launcher.returncode == 1
    assert "has ended 3 times in a row" in cluster.said and cluster.said.count("died with exit code 3") == 3, cluster.said


def test_by_default_nothing_is_started_again(make_cluster):
    cluster = make(make_cluster, "local")
    cluster.start("--IPClusterStart.early_shutdown=0", n=1)
    cluster.hears("1 engine ready")
    kill_engine(cluster, cluster.client(1))
    cluster.hears("all engines have ended")
    assert "started again" not in cluster.said
    assert cluster.interrupt() == 0


@pytest.mark.parametrize("name", ["slurm", "sge"])
def test_jobs_in_the_background_are_started_again_and_stopped(make_cluster, name):
    cluster = make_cluster(name)
    started = cluster.run("start", "-n4", "--per-job=2", "--restart=on-failure", "--daemonize", *cluster.stand.arguments)
    assert started.returncode == 0, started.stderr
    jobs = set(cluster.stand.jobs())
    assert len(jobs) == 2
    # A node with all of a job.
    lost = sorted(jobs)[0]
    for element in cluster.stand.system.elements():
        if element.job == lost:
            element.end("node")
    wait_for(lambda: len(set(cluster.stand.jobs()) - jobs) == 1)
    client = cluster.client(4)
    assert len(set(client[:].apply_sync(os.getpid))) == 4
    assert cluster.run("stop").returncode == 0
    # Whatever its engines ended with.
    cluster.has_left_nothing(logs=9)


def test_a_job_that_somebody_cancelled_stays_away(make_cluster):
    cluster = make_cluster("slurm")
    cluster.start("--restart=on-failure", "--IPClusterStart.early_shutdown=0")
    cluster.hears("3 engines ready")
    for job in cluster.stand.jobs():
        cluster.stand.system.cancel(job)
    cluster.hears("all engines have ended")
    assert "started again" not in cluster.said
    assert cluster.interrupt() == 0, cluster.said


@pytest.mark.parametrize("name", ["local", *PLAYED, "real slurm", "ssh", "openmpi"])
def test_engines_run_in_the_environment_of_a_script(make_cluster, name):
    cluster = make(make_cluster, name)
    script = cluster.folder / "set up.sh"
    script.write_text("export FROM_SCRIPT='two words'\n")
    cluster.start(f"--environment-script={script}", n=2)
    cluster.hears("2 engines ready")
    assert cluster.client(2)[:].apply_sync(os.getenv, "FROM_SCRIPT") == ["two words"] * 2
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing()


def test_a_script_that_fails_starts_no_engine(make_cluster):
    cluster = make(make_cluster, "local")
    script = cluster.folder / "script"
    script.write_text("echo there is no such module >&2\nfalse\n")
    cluster.start(f"--environment-script={script}", n=1)
    cluster.launcher.wait(40)
    assert cluster.launcher.returncode == 1 and "there is no such module" in cluster.said


def test_a_controller_that_had_to_be_killed_leaves_no_journal(make_cluster):
    cluster = make(make_cluster, "local")
    cluster.start("--journal", n=1)
    cluster.hears("1 engine ready")
    client = cluster.client(1)
    client.load_balanced_view().apply_sync(abs, -1)
    client.close()
    assert (cluster.profile / "journal").exists()
    controller = json.loads(cluster.run("list", "--json").stdout)[0]["controller"]["state"]["pid"]
    os.kill(controller, signal.SIGSTOP)
    cluster.launcher.send_signal(signal.SIGINT)
    cluster.hears("stopping the cluster")
    cluster.launcher.send_signal(signal.SIGINT)
    cluster.launcher.wait(40)
    cluster.has_left_nothing(logs=2)
    assert not (cluster.profile / "journal").exists()


def test_a_controller_that_dies_while_engines_wait_is_started_again(make_cluster):
    cluster = make_cluster("slurm")
    cluster.stand.system.faults(hold=True)
    cluster.start("--journal", n=1)
    cluster.hears("waits in the queue")
    controller = json.loads(cluster.run("list", "--json").stdout)[0]["controller"]["state"]["pid"]
    os.kill(controller, signal.SIGKILL)
    cluster.hears("the controller is started again")
    # Engines that come find it.
    cluster.stand.system.faults()
    assert cluster.run("engines", "-n1", "--daemonize").returncode == 0
    assert cluster.client(1).load_balanced_view().apply_sync(abs, -2) == 2
    assert cluster.interrupt() == 0, cluster.said
    assert cluster.run("stop").returncode in (0, 11)
