"""Clusters in the background: the journal that they have as it comes, and the engines that others add to them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import processes
import pytest


@pytest.fixture
def run(parts):
    def run(*words: str, timeout: float = 60) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(parts.places["apus"] / words[0]), *words[1:]], env=parts.env, cwd=parts.directory, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout)

    yield run
    run("apus", "stop", "--all")


@pytest.fixture
def profile(parts) -> Path:
    return parts.security.parent


@pytest.fixture
def file(parts):
    """The cluster's file, read now."""
    return lambda: json.loads((parts.security / "cluster-.json").read_text())


def controller(file) -> int | None:
    return file().get("controller", {}).get("state", {}).get("pid")


@pytest.mark.parametrize("command", [("apus", "start"), ("ipcluster", "start")])
def test_tasks_survive_the_controller(run, parts, profile, file, wait_until, command):
    done = run(*command, "-n", "1", "--daemonize")
    assert done.returncode == 0, done.stderr
    assert (profile / "journal" / "id").exists()
    client = parts.client(1)
    task = client.load_balanced_view().apply_async(abs, -7)
    assert task.get(40) == 7
    before = controller(file)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: controller(file) not in (None, before))
    # A stock client asks again: what was under way to the dead one is lost.
    client.close()
    assert parts.client(1).load_balanced_view().apply_async(abs, -8).get(40) == 8
    assert run("apus", "stop").returncode == 0
    assert processes.processes(parts.mark) == []
    assert not (profile / "journal").exists() and list(parts.security.iterdir()) == []


@pytest.mark.parametrize("said", ["option", "cluster's file", "controller's file", "controller's argument", "a controller of one's own"])
def test_whoever_wants_none_has_none_and_no_launcher_stays(run, parts, profile, file, said):
    assert run("apus", "profile", "create", "default").returncode == 0
    words = ["apus", "start", "-n", "1", "--daemonize"]
    if said == "option":
        words.append("--no-journal")
    elif said == "cluster's file":
        (profile / "ipcluster_config.py").write_text("c.Cluster.journal = False\n")
    elif said == "controller's file":
        (profile / "ipcontroller_config.py").write_text("c.IPController.journal = False\n")
    elif said == "controller's argument":
        words += ["--", "--IPController.journal=False"]
    else:
        words.append(f"--ControllerLauncher.controller_cmd={[sys.executable, '-m', 'ipyparallel.controller']!r}")
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert not (profile / "journal").exists() and "supervisor" not in file()
    assert run("apus", "stop").returncode == 0
    assert processes.processes(parts.mark) == []


def test_a_start_that_fails_says_why_where_errors_belong(run, parts):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        failed = run("apus", "start", "-n", "1", "--daemonize", "--", f"--ports={taken.getsockname()[1]}")
    assert failed.returncode == 71 and failed.stdout == "" and "port" in failed.stderr, failed.stdout + failed.stderr
    assert list(parts.security.iterdir()) == []


def test_what_a_start_has_to_say_is_said_while_it_goes_on(parts, wait_until):
    """Not only when it has ended, which may take long in a queue."""
    idle = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = parts.start("apus", "start", "-n", "1", "--daemonize", "--debug", f"--EngineLauncher.engine_cmd={idle!r}")
    wait_until(lambda: "engine 0 started" in parts.log(process))
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 143


def test_in_the_foreground_there_is_none(parts, profile, wait_until):
    process = parts.start("apus", "start", "-n", "1")
    wait_until(lambda: " ready after " in parts.log(process))
    assert not (profile / "journal").exists()


@pytest.mark.parametrize("words", [["--journal"], ["--no-journal"]])
def test_sets_that_were_added_end_with_the_cluster(run, parts, words):
    assert run("apus", "start", "-n", "1", "--daemonize", *words).returncode == 0
    added = run("apus", "engines", "-n", "2", "--daemonize")
    assert added.returncode == 0, added.stderr
    assert len(parts.client(3).ids) == 3
    stopped = run("apus", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert processes.processes(parts.mark) == []
    assert list(parts.security.iterdir()) == []
    assert [path.name for path in (parts.security.parent / "log").iterdir() if path.suffix == ".log"] == []


def test_sets_that_were_added_are_still_found_when_the_cluster_has_ended(run, parts, file, wait_until):
    """They wait for another controller; whoever stops the cluster, or starts it again, knows of them."""
    process = parts.start("apus", "start", "-n", "1")
    wait_until(lambda: " ready after " in parts.log(process))
    assert run("apus", "engines", "-n", "2", "--daemonize").returncode == 0
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 0
    (left,) = file()["engines"]["sets"].values()
    assert left["n"] == 2 and "supervisor" not in file() and "controller" not in file()
    assert len(processes.processes(parts.mark)) == 2
    again = run("apus", "start", "-n", "1", "--daemonize")
    assert again.returncode == 0, again.stderr
    assert sorted(state["n"] for state in file()["engines"]["sets"].values()) == [1, 2]
    assert len(parts.client(3).ids) == 3
    assert run("apus", "stop").returncode == 0
    assert processes.processes(parts.mark) == []


def test_what_others_have_put_into_the_file_stays(run, parts, file, wait_until):
    path = parts.security / "cluster-.json"
    assert run("apus", "start", "-n", "1", "--daemonize").returncode == 0
    contents = file()
    contents["theirs"] = {"a": [1]}
    contents["cluster"]["theirs"] = "b"
    contents["engines"]["theirs"] = 3
    contents.setdefault("apus", {})["theirs"] = True
    (state,) = contents["engines"]["sets"].values()
    state["theirs"] = 4
    # As a reader of ipyparallel may rewrite it.
    path.with_suffix(".new").write_text(json.dumps(contents))
    path.with_suffix(".new").rename(path)

    def is_kept() -> bool:
        found = file()
        return (
            found["theirs"] == {"a": [1]} and found["cluster"]["theirs"] == "b" and found["engines"]["theirs"] == 3 and found["apus"]["theirs"])

    # Another launcher writes it.
    assert run("apus", "engines", "-n", "1", "--daemonize").returncode == 0
    assert is_kept()
    assert [state["theirs"] for state in file()["engines"]["sets"].values() if "theirs" in state] == [4]
    # The cluster's own does.
    before = controller(file)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: controller(file) not in (None, before))
    assert is_kept() and len(file()["engines"]["sets"]) == 2


def test_a_controller_that_was_started_by_hand_is_left_its_engines(run, parts, file, wait_until):
    """Controller and launcher have died, and somebody has put another controller in their place."""
    assert run("apus", "start", "-n", "1", "--daemonize").returncode == 0
    before = file()
    for part in ("supervisor", "controller"):
        processes.kill(before[part]["state"]["pid"])
    own = parts.start("apus", "controller")
    parts.client(1)
    again = run("apus", "start", "-n", "1", "--daemonize")
    assert again.returncode == 10 and "a controller that the cluster's file does not name answers" in again.stderr
    assert file() == before and own.poll() is None
    assert parts.client(1).load_balanced_view().apply_async(abs, -7).get(40) == 7


@pytest.mark.parametrize("words", [["there", "nowhere"], ["nowhere", "there"], ["--cluster-id=nowhere"]])
def test_a_name_that_is_none_is_told_when_the_others_have_ended(run, parts, words):
    """A cluster, and what a program has left that was killed."""
    assert run("apus", "start", "-n", "1", "--daemonize", "--cluster-id=there").returncode == 0
    left = program_file(parts.security, "program-1", socket.gethostname(), dead_process())
    stopped = run("apus", "stop", *words)
    assert stopped.returncode == 11 and "there is no cluster 'nowhere' to stop" in stopped.stderr
    assert not left.exists() and (parts.security / "cluster-there.json").exists() == ("there" not in words)
    assert run("apus", "stop", "--all").returncode == 0


def test_what_a_program_has_left_is_stopped_without_a_name(run, parts):
    assert run("apus", "profile", "create", "default").returncode == 0
    left = program_file(parts.security, "program-1", None, dead_process())
    assert run("apus", "stop").returncode == 0 and not left.exists()
    assert run("apus", "stop").returncode == 11


def test_a_program_of_another_host_is_left_alone(run, parts):
    """A home that several hosts share: the number of its process says nothing here."""
    assert run("apus", "profile", "create", "default").returncode == 0
    stranger = parts.start("apus", "controller")
    theirs = program_file(parts.security, "program-1", "another-host", stranger.pid)
    contents = theirs.read_text()
    assert run("apus", "stop", "--cluster-id=nowhere").returncode == 11
    by_name = run("apus", "stop", "program-1")
    assert by_name.returncode == 69 and "a program on another-host" in by_name.stderr
    every = run("apus", "stop", "--all")
    assert every.returncode == 0 and "a program on another-host" in every.stderr
    cleaned = run("apus", "clean")
    assert cleaned.returncode == 1 and "still running" in cleaned.stderr
    listed = run("apus", "list")
    assert "program-1" in listed.stdout and "a program on another-host" in listed.stderr
    assert theirs.read_text() == contents and stranger.poll() is None


def program_file(security: Path, name: str, host: str | None, pid: int) -> Path:
    """As a Swift program writes it that has engines of a launcher."""
    state = {"cluster_id": name, "output_file": "", "pid": pid, "began": "1", "profile_dir": str(security.parent), "state": "running"}
    path = security / f"cluster-{name}.json"
    path.write_text(json.dumps({
        "cluster": {"cluster_id": name, "profile_dir": str(security.parent)}, "controller": {"class": "local", "state": state},
        "supervisor": {"class": "local", "state": state}, "engines": {"class": "slurm", "sets": {}},
        "apus": {"program": "/somewhere/program"} | ({} if host is None else {"host": host})}))
    return path


def dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_journal_that_nobody_asked_for_refuses_no_start(run, parts, profile, file):
    assert run("apus", "profile", "create", "default").returncode == 0
    (profile / "journal").write_text("notes")
    done = run("apus", "start", "-n", "1", "--daemonize")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("keeps no journal") == 1 and "journal is not a directory" in done.stderr and "--journal" in done.stderr
    assert "supervisor" not in file() and (profile / "journal").read_text() == "notes"
    assert run("apus", "stop").returncode == 0
    asked = run("apus", "start", "-n", "1", "--daemonize", "--journal")
    assert asked.returncode != 0 and "journal" in asked.stderr
    unwanted = run("apus", "start", "-n", "1", "--daemonize", "--no-journal")
    assert unwanted.returncode == 0 and "keeps no journal" not in unwanted.stderr
    assert run("apus", "stop").returncode == 0
    assert processes.processes(parts.mark) == []


@pytest.mark.parametrize("has_own", [True, False])
def test_a_new_launcher_keeps_what_others_have_in_the_file(run, parts, file, has_own):
    """Controller and launcher have died, and perhaps all of its engines; another launcher is still there with its own."""
    assert run("apus", "start", "-n", "1", "--daemonize").returncode == 0
    (own,) = file()["engines"]["sets"].values()
    others = parts.start("apus", "engines", "-n", "1")
    parts.client(2)
    contents = file()
    contents["theirs"] = {"a": [1]}
    (parts.security / "cluster-.new").write_text(json.dumps(contents))
    (parts.security / "cluster-.new").rename(parts.security / "cluster-.json")
    ended = [contents[part]["state"]["pid"] for part in ("supervisor", "controller")]
    for pid in ended + ([] if has_own else [engine["pid"] for engine in own["engines"].values()]):
        processes.kill(pid)
    again = run("apus", "start", "-n", "1", "--daemonize")
    assert again.returncode == 0, again.stderr
    after = file()
    assert after["apus"]["launchers"] == contents["apus"]["launchers"] and after["theirs"] == contents["theirs"]
    sets = contents["engines"]["sets"]
    (added,) = [name for name in sets if sets[name] != own]
    assert after["engines"]["sets"][added] == sets[added] and len(after["engines"]["sets"]) == 2
    assert len(parts.client(2).ids) == 2
    assert run("apus", "stop").returncode == 0
    others.wait(40)
    assert processes.processes(parts.mark) == []
