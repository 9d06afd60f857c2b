"""A Swift program whose engines are started by the launchers: ``MyProgram --engines=slurm -n 3``."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from pathlib import Path

import processes
import pytest
from launcher_stands import wait_for

ROOT = Path(__file__).resolve().parents[3]


def program(name: str) -> str:
    found = [ROOT / ".build" / kind / name for kind in ("debug", "release")]
    found = [path for path in found if path.exists()]
    if not found:
        pytest.skip("no Swift programs were built: swift build")
    return str(max(found, key=lambda path: path.stat().st_mtime))


def named(running: subprocess.Popen) -> str:
    """Its cluster: hosts that share a profile number their processes each for itself."""
    return f"program-{running.pid}-{re.sub('[^a-zA-Z0-9-]', '', socket.gethostname().partition('.')[0])}"


def options(cluster) -> list[str]:
    return [*cluster.stand.arguments, f"--profile-dir={cluster.profile}"]


@pytest.mark.parametrize("name", ["slurm", "sge", "lsf", "real slurm", "ssh", "openmpi", "mpich"])
def test_a_program_has_its_engines_elsewhere(make_cluster, name):
    cluster = make_cluster(name)
    done = subprocess.run(
        [program("MonteCarloPi"), "640000", *options(cluster), "-n", "3"], env=cluster.env, cwd=cluster.folder, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert re.search(r"640000 darts in .* on 3 engines", done.stdout), done.stdout
    cluster.has_left_nothing()


def test_an_interrupted_program_leaves_no_job(make_cluster):
    cluster = make_cluster("slurm")
    cluster.stand.system.faults(hold=True)
    running = subprocess.Popen(
        [program("MonteCarloPi"), "640000", *options(cluster), "-n", "3"], env=cluster.env, cwd=cluster.folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: cluster.stand.jobs() or running.poll() is not None)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    assert running.wait(40) == 130
    cluster.has_left_nothing()


@pytest.mark.parametrize("number", ["2", "2-3"])
@pytest.mark.parametrize("command", [["stop"], ["stop", "--all"], ["clean"]])
@pytest.mark.parametrize("name", ["slurm", "real slurm", "ssh"])
def test_what_a_killed_program_has_left_ends_with_the_next_stop(make_cluster, name, command, number):
    if (name, command) not in [("slurm", ["stop"]), ("slurm", ["clean"]), ("real slurm", ["stop"]), ("ssh", ["stop", "--all"])]:
        pytest.skip("one of each is enough")
    cluster = make_cluster(name)
    running = subprocess.Popen(
        [program("MonteCarloPi"), "64000000000000", *options(cluster), "-n", number], env=cluster.env, cwd=cluster.folder,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        def there() -> bool:
            assert running.poll() is None
            listed = json.loads(cluster.run("list", "--json").stdout)
            return len(cluster.stand.left_over()) >= (1 if cluster.stand.is_batch else 2) and bool(listed and listed[0]["engines"]["sets"])

        wait_for(there)
        [listed] = json.loads(cluster.run("list", "--json").stdout)
        assert listed["supervisor"]["state"]["pid"] == running.pid and listed["apus"]["program"].endswith("MonteCarloPi")
        row = cluster.run("list").stdout.splitlines()[1].split()
        assert row[1] == named(running) and row[2] == "True", row
        # One that lives is not meant.
        assert cluster.run("stop").returncode == 11 and running.poll() is None
    finally:
        running.kill()
        running.wait(40)
    # It was killed while it wrote its file, too.
    [file] = (cluster.profile / "security").glob("cluster-program-*.json")
    file.with_name(f"{file.name}.{running.pid}-7.new").write_text("{")
    assert cluster.run("list").stdout.splitlines()[1].split()[2] == "False"
    stopped = cluster.run(*command)
    assert stopped.returncode == 0, stopped.stderr
    assert cluster.run("list").stdout.splitlines()[1:] == []
    cluster.has_left_nothing()


def test_a_program_is_stopped_by_its_name(make_cluster):
    cluster = make_cluster("slurm")
    running = subprocess.Popen(
        [program("MonteCarloPi"), "64000000000000", *options(cluster), "-n", "2"], env=cluster.env, cwd=cluster.folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: cluster.stand.jobs())
    stopped = cluster.run("stop", named(running))
    assert stopped.returncode == 0, stopped.stderr
    assert running.wait(40) == 130
    cluster.has_left_nothing()


@pytest.mark.parametrize("words, said", [
    (["--engines=slurm", "--partition=nosuch"], "nosuch"), (["--engines=slrum"], "number of engines"),
    (["--engines=slurm", "--cluster-id=x"], "One or the other"), (["--engines=slurm", "--hosts=nowhere"], "--hosts is for"),
])
def test_wrong_words_are_told(make_cluster, words, said):
    cluster = make_cluster("slurm")
    done = subprocess.run(
        [program("MonteCarloPi"), "640", *words, "-n", "2", f"--profile-dir={cluster.profile}"], env=cluster.env, cwd=cluster.folder,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and said in done.stderr, done.stderr
    assert not cluster.stand.jobs() and not [process for process in processes.processes(cluster.mark) if "MonteCarlo" in process.command[0]]
