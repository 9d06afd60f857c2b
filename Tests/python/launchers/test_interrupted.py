"""Launchers that are killed in the middle of a start: whatever they had begun, `apus stop` finds and ends."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest
from launcher_names import PLAYED
from launcher_stands import wait_for

_SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "sge": "qsub", "lsf": "bsub", "htcondor": "condor_submit"}


def kill(cluster) -> None:
    cluster.launcher.kill()
    cluster.launcher.wait(40)


def stops(cluster) -> None:
    stopped = cluster.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    cluster.has_left_nothing()


@pytest.fixture
def bare(make_cluster):
    """A cluster without the options that start engines on its system; the system is shared, and gets them back."""
    changed = []

    def get(name: str):
        cluster = make_cluster(name)
        changed.append((cluster.stand, cluster.stand.arguments))
        cluster.stand.arguments = []
        return cluster

    yield get
    for stand, arguments in reversed(changed):
        stand.arguments = arguments


@pytest.mark.parametrize("name", PLAYED)
@pytest.mark.parametrize("part", [1, 2])
def test_a_submission_that_its_launcher_did_not_live_to_see(make_cluster, name, part):
    """The submit command goes on; what it says is kept where `stop` looks for it."""
    cluster = make_cluster(name)
    system = cluster.stand.system
    before = len(system.calls(_SUBMIT[name]))
    system.faults(submit_delay=1)
    cluster.start("--per-job=1", n=2)
    wait_for(lambda: len(system.calls(_SUBMIT[name])) == before + part)
    kill(cluster)
    stops(cluster)
    # It has not begun when it was found.
    assert not cluster.stand.jobs()


@pytest.mark.parametrize("name", PLAYED)
def test_a_controllers_submission(make_cluster, name):
    cluster = make_cluster(name)
    before = len(cluster.stand.system.calls(_SUBMIT[name]))
    cluster.stand.system.faults(submit_delay=1)
    cluster.start(f"--controller={name}", "--engines=local", n=1)
    wait_for(lambda: len(cluster.stand.system.calls(_SUBMIT[name])) > before)
    kill(cluster)
    stops(cluster)


@pytest.mark.parametrize("part", ["engines", "controller"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_before_anything_was_handed_over(make_cluster, part, number):
    """The launcher asks the system for its version before it says how its jobs are found."""
    cluster = make_cluster("pbs")
    system = cluster.stand.system
    for name in ("version_waits", "version_goes_on"):
        (system.folder / name).unlink(missing_ok=True)
    system.faults(version_waits=True)
    cluster.start(*(["--controller=pbs", "--engines=local"] if part == "controller" else []), n=1)
    wait_for((system.folder / "version_waits").exists)
    cluster.launcher.send_signal(number)
    cluster.hears("stopping the cluster")
    (system.folder / "version_goes_on").touch()
    assert cluster.launcher.wait(40) == 0, cluster.said
    assert "did not end" not in cluster.said and "SIGKILL" not in cluster.said, cluster.said
    assert not [call for call in system.calls("qsub") if str(cluster.profile) in " ".join(call)]
    cluster.has_left_nothing()


@pytest.fixture
def slow_python(tmp_path):
    """An interpreter of hosts that waits: for ``go``, before or after it has done what it was called for; only the first that is called."""

    def make_it(when: str):
        program = tmp_path / "slow-python"
        wait = f'while ! [ -e "{tmp_path}/go" ]; do sleep 0.01; done'
        first = f'mkdir "{tmp_path}/first" 2>/dev/null || exec {sys.executable} "$@"'
        run = f'{sys.executable} "$@"\ntouch "{tmp_path}/here"'
        steps = [f'touch "{tmp_path}/here"', wait, f'exec {sys.executable} "$@"'] if when == "before" else [run, wait]
        program.write_text("\n".join(["#!/bin/sh", first, *steps, ""]))
        program.chmod(0o755)
        return program, tmp_path / "here", tmp_path / "go"

    return make_it


@pytest.mark.parametrize("part", ["engines", "controller"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_start_over_ssh_whose_answer_nobody_heard(bare, slow_python, when, part):
    """Before the host has begun it does not begin; afterwards its processes are found there."""
    cluster = bare("ssh")
    python, here, go = slow_python(when)
    hosts = cluster.folder / "hosts"
    hosts.write_text("host1 2\n")
    words = ["--engines=local", "--controller=ssh", "--controller-host=host1"] if part == "controller" else ["--engines=ssh", f"--hosts={hosts}"]
    cluster.start(*words, f"--SSHLauncher.remote_python={python}", n=2)
    wait_for(here.exists)
    kill(cluster)
    stopping = cluster.popen("stop")
    if when == "after":
        assert stopping.wait(40) == 0, stopping.words()
        assert not [pid for pid in cluster.stand.system.processes("host1") if b"apus" in command(pid)]
        go.touch()
    else:
        assert stopping.wait(40) == 0, stopping.words()
        go.touch()
    cluster.has_left_nothing()


def test_connections_that_a_killed_launcher_had_kept_end_with_the_stop(bare):
    """Each is a process of this host, which has put other words into the place of its environment."""
    cluster = bare("ssh")
    hosts = cluster.folder / "hosts"
    hosts.write_text("host1 1\nhost2 1\n")
    others = kept_connections()
    cluster.start("--engines=ssh", f"--hosts={hosts}", n=2)
    cluster.hears("2 engines ready")
    own = kept_connections() - others
    assert len(own) == 2
    kill(cluster)
    stops(cluster)
    wait_for(lambda: not kept_connections() & own)


def kept_connections() -> set[int]:
    """Their processes, and not those that only use them for a moment."""
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit() and command(int(entry)).startswith(b"ssh: /tmp/apus-ssh-")}


def command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_local_engines_that_were_started_one_by_one(bare):
    """The file names them when all are there; those that are there before have the cluster's mark."""
    cluster = bare("slurm")
    cluster.start("--LocalEngineSetLauncher.delay=600", n=2)
    wait_for(lambda: list((cluster.profile / "log").glob("ipengine-*-0.log")))
    kill(cluster)
    assert len(json.loads(cluster.run("list", "--json").stdout)) == 1
    again = cluster.run("start", "-n1")
    assert again.returncode == 10, again.stderr
    stopped = cluster.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    cluster.has_left_nothing(logs=2)


def test_engines_that_were_added_one_by_one(bare):
    cluster = bare("slurm")
    assert cluster.run("start", "-n1", "--daemonize").returncode == 0
    adding = cluster.popen("engines", "-n2", "--LocalEngineSetLauncher.delay=600")
    wait_for(lambda: len(list((cluster.profile / "log").glob("ipengine-*-0.log"))) == 2)
    adding.kill()
    adding.wait(40)
    stopped = cluster.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    cluster.has_left_nothing(logs=1)


def test_a_launcher_in_the_foreground_stands_in_the_file_from_the_beginning(make_cluster):
    """Whoever looks for it before the controller has heard of it finds it: `apus scale`, and `apus stop`."""
    cluster = make_cluster("slurm")
    cluster.start(n=1)
    path = cluster.profile / "security/cluster-.json"
    wait_for(path.exists)
    supervisor = json.loads(path.read_text())["supervisor"]["state"]
    assert supervisor["pid"] == cluster.launcher.pid
    cluster.hears("1 engine ready")
    scaled = cluster.run("scale", "2")
    assert scaled.returncode == 0, scaled.stderr
    kill(cluster)
    # It is no launcher any more, whoever has its number.
    assert "supervisor" not in json.loads(cluster.run("list", "--json").stdout)[0]
    stops(cluster)


def test_launchers_that_write_the_file_at_the_same_time(bare):
    cluster = bare("slurm")
    assert cluster.run("start", "-n1", "--daemonize").returncode == 0
    others = [cluster.popen("engines", "-n1", "--daemonize") for _ in range(4)]
    for other in others:
        assert other.wait(40) == 0, other.words()
    listed = json.loads(cluster.run("list", "--json").stdout)
    assert sum(len(found["engines"]) for found in listed[0]["engines"]["sets"].values()) == 5
    stops(cluster)


@pytest.fixture
def breakable_python(tmp_path):
    """An interpreter that can be taken away, or made to end at once."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("how", ["gone", "ends"])
def test_a_restart_of_what_cannot_start_again_ends(bare, breakable_python, how):
    cluster = bare("slurm")
    cluster.start(f"--python={breakable_python}", n=2)
    cluster.hears("2 engines ready")
    if how == "gone":
        breakable_python.unlink()
    else:
        breakable_python.write_text("#!/bin/sh\nexit 3\n")
    restarted = cluster.run("restart")
    assert restarted.returncode == 14, restarted.stderr
    assert ("No such file" if how == "gone" else "exit code 3") in restarted.stderr, restarted.stderr
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing(logs=2)


@pytest.mark.parametrize("words", [[], ["--daemonize"]])
def test_as_many_ranks_as_there_are_is_no_error(make_cluster, words):
    cluster = make_cluster("openmpi")
    if words:
        started = cluster.run("start", "-n2", *cluster.stand.arguments, *words)
        assert started.returncode == 0, started.stderr
    else:
        cluster.start(n=2)
        cluster.hears("2 engines ready")
    scaled = cluster.run("scale", "2")
    assert scaled.returncode == 0 and "2 engines" in scaled.stderr, scaled.stderr
    assert cluster.run("scale", "3").returncode != 0
    stops(cluster)
