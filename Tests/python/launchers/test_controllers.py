"""Controllers elsewhere: on another host, as a job, under mpiexec. Their files come here, and all of it ends together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import processes
import pytest
from launcher_names import PLAYED
from launcher_stands import wait_for
from test_restarts import make

SYSTEMS = ["ssh", "real slurm", "real sge", "openmpi", *PLAYED]


def arguments(cluster) -> list[str]:
    """What starts the controller where this system starts engines."""
    if cluster.stand.kind == "ssh":
        return ["--controller=ssh", "--controller-host=host1"]
    return [f"--controller={cluster.stand.kind}"]


def controller(cluster) -> dict:
    """What the cluster's file says of it."""
    return json.loads((cluster.profile / "security/cluster-.json").read_text())["controller"]


def files(cluster) -> list:
    return sorted((cluster.profile / "security").glob("ipcontroller-*.json"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_all_of_it_is_elsewhere(make_cluster, name):
    cluster = make(make_cluster, name)
    cluster.start(*arguments(cluster), n=2)
    cluster.hears("2 engines ready")
    assert controller(cluster)["class"] == cluster.stand.kind
    assert [path.stat().st_mode & 0o777 for path in files(cluster)] == [0o600, 0o600]
    client = cluster.client(2)
    assert client[:].apply_sync(abs, -3) == [3, 3]
    assert client.load_balanced_view().map_sync(abs, range(-9, 0)) == list(range(9, 0, -1))
    listed = json.loads(cluster.run("list", "--json").stdout)
    assert [entry["controller"]["class"] for entry in listed] == [cluster.stand.kind]
    # The launcher follows what there is to do, wherever the controller is.
    if cluster.stand.kind != "mpi":
        assert cluster.run("scale", "3").returncode == 0
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", ["ssh", "real slurm", "slurm", "openmpi"])
def test_in_the_background_with_engines_here(make_cluster, name):
    cluster = make(make_cluster, name)
    started = cluster.run("start", "-n2", *arguments(cluster), "--engines=local", "--daemonize")
    assert started.returncode == 0, started.stderr
    assert cluster.run("px", "6 * 7").stdout.count("42") == 2
    assert "True" in cluster.run("list").stdout
    assert cluster.run("status").stdout.count("  python  ") == 2
    # Another launcher's engines find it, too.
    assert cluster.run("engines", "-n1", "--daemonize").returncode == 0
    assert len(cluster.client(3).ids) == 3
    again = cluster.run("start", "-n1")
    assert again.returncode == 10, again.stderr
    stopped = cluster.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", ["ssh", "real slurm", "openmpi"])
def test_its_end_is_the_clusters_and_is_told(make_cluster, name):
    cluster = make(make_cluster, name)
    cluster.start(*arguments(cluster), *([] if name == "ssh" else ["--engines=local"]), n=1)
    cluster.hears("1 engine ready")
    state = controller(cluster)["state"]
    if name == "ssh":
        [[pid, _]] = state["apus"]["hosts"][0]["engines"].values()
        os.kill(pid, signal.SIGKILL)
        words = "died, with signal 9 (SIGKILL)"
    elif name == "real slurm":
        cluster.stand.system.cancel(state["apus"]["jobs"][0]["id"])
        words = "was cancelled"
    else:
        os.kill(state["pid"], signal.SIGKILL)
        words = "died, with signal 9 (SIGKILL)"
    assert cluster.launcher.wait(60) == 1
    assert words in cluster.said, cluster.said
    cluster.has_left_nothing(logs=4)


def test_a_launcher_that_is_killed_leaves_what_stop_ends(make_cluster):
    cluster = make(make_cluster, "ssh")
    cluster.start(*arguments(cluster), n=2)
    cluster.hears("2 engines ready")
    cluster.launcher.kill()
    cluster.launcher.wait(40)
    assert "True" in cluster.run("list").stdout
    assert cluster.run("px", "6 * 7").stdout.count("42") == 2
    stopped = cluster.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    cluster.has_left_nothing()


def test_time_in_a_queue_does_not_count(make_cluster):
    cluster = make(make_cluster, "slurm")
    cluster.stand.system.faults(hold=True)
    cluster.start(*arguments(cluster), "--SlurmControllerLauncher.connection_info_timeout=1", "--engines=local", n=1)
    cluster.hears("the controller waits in the queue (Resources): job")
    # Longer than it would have had.
    with pytest.raises(subprocess.TimeoutExpired):
        cluster.launcher.wait(3)
    assert "no connection files" not in cluster.said
    assert cluster.interrupt() == 0, cluster.said
    wait_for(lambda: not cluster.stand.jobs())
    cluster.has_left_nothing()


@pytest.mark.parametrize(("words", "code", "says"), [
    (["--controller=slrum"], 2, "did you mean 'slurm'?"), (["--controller=winhpc"], 69, "the controller"),
    (["--controller=ssh"], 2, "--controller=ssh needs a host"),
    (["--controller=ssh", "--controller-host=nosuch.invalid"], 14, "nosuch.invalid"),
    (["--controller=slurm", "--partition=nosuch"], 14, "Invalid partition name specified"),
    (["--controller=slurm", "--journal"], 2, "a journal is kept by a controller of this host"),
    (["--controller=slurm", "--", "--nonsense"], 2, "--nonsense"),
    (["--controller=mpi", "--MPILauncher.mpi_cmd=nosuch-mpiexec"], 127, "nosuch-mpiexec"),
])
def test_what_cannot_be(make_cluster, words, code, says):
    cluster = make(make_cluster, "slurm")
    done = cluster.run("start", "-n1", "--engines=local", *words)
    assert done.returncode == code and says in done.stderr, done.stderr
    assert done.stderr.count("error: ") - done.stderr.count("sbatch: error: ") == 1, done.stderr
    cluster.has_left_nothing(logs=1)


def test_a_controller_that_cannot_begin_says_why(make_cluster):
    cluster = make(make_cluster, "ssh")
    done = cluster.run("start", "-n1", "--engines=local", *arguments(cluster), "--ip=203.0.113.7")
    assert done.returncode == 71 and "203.0.113.7" in done.stderr, done.stderr
    cluster.has_left_nothing()


def test_what_would_be_started(make_cluster):
    cluster = make(make_cluster, "slurm")
    shown = cluster.run("start", "-n2", "--controller=slurm", "--engines=slurm", "--dry-run").stdout
    assert "job-name=ipcontroller-" in shown and "job-name=ipengine-" in shown and " controller '--ip=*'" in shown, shown


def test_what_the_profile_says_of_its_address_holds(make_cluster):
    cluster = make(make_cluster, "slurm")
    (cluster.profile / "ipcontroller_config.json").write_text(json.dumps({"IPController": {"ip": "127.0.0.1"}}))
    shown = cluster.run("start", "-n2", "--controller=slurm", "--engines=slurm", "--dry-run").stdout
    assert "job-name=ipcontroller-" in shown and "--ip" not in shown, shown


@pytest.mark.parametrize("name", ["ssh", "ssh with that profile", "slurm", "openmpi"])
def test_a_controller_that_lives_keeps_its_files(make_cluster, name):
    """Another one is refused in its profile, and leaves the files of the first as they are."""
    cluster = make(make_cluster, name.partition(" ")[0])
    first = cluster.popen("controller")
    try:
        wait_for(lambda: len(files(cluster)) == 2)
        before = {path: (path.stat().st_ino, path.read_bytes()) for path in files(cluster)}
        there = [f"--SSHLauncher.remote_profile_dir={cluster.profile}"] if name == "ssh with that profile" else []
        done = cluster.run("start", "-n1", "--engines=local", *arguments(cluster), *there)
        assert done.returncode == 10 and "a controller runs already" in done.stderr, done.stderr
        assert {path: (path.stat().st_ino, path.read_bytes()) for path in files(cluster)} == before, done.stderr
        assert first.poll() is None and cluster.client(0).ids == []
    finally:
        first.terminate()
        first.wait(40)
    assert not files(cluster)


@pytest.mark.parametrize("name", ["ssh", "slurm"])
def test_files_that_are_used_again_stay(make_cluster, name):
    cluster = make(make_cluster, name)
    cluster.start(*arguments(cluster), *([] if name == "ssh" else ["--engines=local"]), "--", "--reuse", n=1)
    cluster.hears("1 engine ready")
    assert cluster.interrupt() == 0, cluster.said
    assert {"ipcontroller-client.json", "ipcontroller-engine.json"} <= {path.name for path in files(cluster)}


@pytest.mark.parametrize("name", ["local", "ssh"])
def test_a_controller_that_was_started_by_hand_meanwhile_keeps_its_files(make_cluster, name):
    """That of the cluster has died; what is stopped is what it has left."""
    cluster = make(make_cluster, "slurm" if name == "local" else name)
    started = cluster.run("start", "-n1", *(arguments(cluster) if name == "ssh" else []), "--engines=local", "--no-journal", "--daemonize")
    assert started.returncode == 0, started.stderr
    state = controller(cluster)["state"]
    if name == "ssh":
        [[pid, _]] = state["apus"]["hosts"][0]["engines"].values()
    else:
        pid = state["pid"]
    former = {path: path.stat().st_ino for path in files(cluster)}
    processes.kill(pid)
    first = cluster.popen("controller")
    try:
        wait_for(lambda: all(path.stat().st_ino != inode for path, inode in former.items()))
        before = {path: (path.stat().st_ino, path.read_bytes()) for path in files(cluster)}
        cluster.client(0)
        stopped = cluster.run("stop")
        assert stopped.returncode == 0, stopped.stderr
        assert {path: (path.stat().st_ino, path.read_bytes()) for path in files(cluster)} == before, stopped.stderr
        assert first.poll() is None and cluster.run("status").returncode == 0
    finally:
        first.terminate()
        first.wait(40)
    assert not files(cluster)


def test_a_controller_that_comes_while_another_starts_keeps_its_files(make_cluster, tmp_path):
    cluster = make(make_cluster, "ssh")
    python = tmp_path / "slow-python"
    # Connection files that its host is asked for once, when a controller here has written others.
    python.write_text(f'#!/bin/sh\n{sys.executable} "$@" > "{tmp_path}/answer"\nif mkdir "{tmp_path}/first"; then\n'
                      f'  while ! [ -e "{tmp_path}/go" ]; do sleep 0.01; done\nfi\ncat "{tmp_path}/answer"\n')
    python.chmod(0o755)
    cluster.start(*arguments(cluster), f"--SSHLauncher.remote_python={python}", n=1)
    wait_for((tmp_path / "first").exists)
    first = cluster.popen("controller")
    try:
        wait_for(lambda: len(files(cluster)) == 2)
        before = {path: (path.stat().st_ino, path.read_bytes()) for path in files(cluster)}
        # Its launcher looks every half second, and must not take these files for those of its own.
        time.sleep(1.5)
        (tmp_path / "go").touch()
        assert cluster.launcher.wait(40) == 10, cluster.said
        assert "engine" not in first.words(), first.words()
        assert "another controller has written its connection files" in cluster.said, cluster.said
        assert {path: (path.stat().st_ino, path.read_bytes()) for path in files(cluster)} == before, cluster.said
        assert first.poll() is None
    finally:
        first.terminate()
        first.wait(40)
