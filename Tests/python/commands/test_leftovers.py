"""What clusters leave that did not end in order: journals above all, which the next start goes on with, or `stop` and `clean` remove."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import processes
import pytest


@pytest.fixture
def run(parts):
    def run(*words: str, timeout: float = 60) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(parts.places["apus"] / "apus"), *words], env=parts.env, cwd=parts.directory, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout)

    yield run
    run("stop", "--all")


@pytest.fixture
def profile(parts) -> Path:
    return parts.security.parent


@pytest.fixture
def file(parts):
    """The cluster's file, read now."""
    return lambda: json.loads((parts.security / "cluster-.json").read_text())


def controller(file) -> int | None:
    return file().get("controller", {}).get("state", {}).get("pid")


def left(profile: Path) -> list[str]:
    return sorted(path.name for path in profile.iterdir() if path.name.startswith("journal"))


def lose_controller(file, wait_until) -> None:
    """Kills it so often that its launcher waits for 13 s before it starts another, and returns in that moment."""
    for _ in range(5):
        wait_until(lambda: controller(file))
        pid = controller(file)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: controller(file) != pid)
    wait_until(lambda: controller(file) is None)


@pytest.mark.parametrize("how", ["stop", "signal"])
def test_a_cluster_that_ends_while_its_controller_is_dead_leaves_nothing(run, parts, profile, file, wait_until, how):
    if how == "stop":
        assert run("start", "-n", "1", "--daemonize").returncode == 0
    else:
        process = parts.start("apus", "start", "-n", "1", "--journal")
        wait_until(lambda: " ready after " in parts.log(process))
    lose_controller(file, wait_until)
    assert left(profile) == ["journal"] and (parts.security / "ipcontroller-curve.json").exists()
    if how == "stop":
        stopped = run("stop")
        assert stopped.returncode == 0, stopped.stderr
    else:
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
    assert left(profile) == [] and list(parts.security.iterdir()) == []
    assert processes.processes(parts.mark) == []


def test_a_start_that_is_cancelled_keeps_the_tasks_and_a_stop_drops_them(run, parts, profile, file, wait_until):
    """What a controller has left is for the next one that comes to serve."""
    journal = kept_journal(run, parts, profile, file, wait_until, tasks=1)
    # It takes any arguments: one that did not know them would be dead before it is seen.
    silent = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = parts.start("apus", "start", "-n", "1", "--journal", f"--ControllerLauncher.controller_cmd={silent!r}")
    wait_until(lambda: (parts.security / "cluster-.json").exists() and controller(file))
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0, parts.log(process)
    assert (journal / "id").exists()
    resumed = run("start", "-n", "1", "--daemonize")
    assert resumed.returncode == 0 and "resumes 1 task of the controller before" in resumed.stderr, resumed.stderr
    assert run("stop").returncode == 0
    assert left(profile) == []


def size(path: Path) -> int:
    """In bytes; -1 where there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def kept_journal(run, parts, profile, file, wait_until, tasks: int) -> Path:
    """The journal of a controller that was given up, with tasks that wait."""
    process = parts.start("apus", "start", "-n", "0", "--journal", "--Cluster.controller_restarts=0")
    wait_until(lambda: " ready after " in parts.log(process))
    client = parts.client(0)
    view = client.load_balanced_view()
    for number in range(tasks):
        view.apply_async(pow, number, 2)
    wait_until(lambda: client.queue_status()["unassigned"] == tasks)
    # The one that it began with goes when its first snapshot is written: perhaps between two looks.
    wait_until(lambda: [size(path) > 300 * tasks for path in (profile / "journal").glob("*.log")] == [True])
    client.close()
    os.kill(controller(file), signal.SIGKILL)
    assert process.wait(40) == 1
    parts.given_up = parts.log(process)
    return profile / "journal"


def test_one_that_is_given_up_says_what_becomes_of_the_tasks(run, parts, profile, file, wait_until):
    journal = kept_journal(run, parts, profile, file, wait_until, tasks=3)
    words = parts.given_up
    assert f"Its tasks are kept: 0.0 MB in {journal}" in words, words
    for what in ("'apus start --journal' goes on with them", "'apus start --no-journal' starts without", "'apus clean' removes them"):
        assert what in words, words
    # Who goes without is told, and nothing is lost by it.
    without = run("start", "-n", "1", "--daemonize", "--no-journal")
    assert without.returncode == 0 and f"tasks of an earlier controller do not go on: 0.0 MB in {journal}" in without.stderr
    assert run("stop").returncode == 0 and (journal / "id").exists()
    # Who goes on with them is told how many they are.
    resumed = run("start", "-n", "1", "--daemonize")
    assert resumed.returncode == 0 and f"resumes 3 tasks of the controller before (journal {journal}, last written 20" in resumed.stderr, (
        resumed.stderr)
    assert run("stop").returncode == 0
    assert left(profile) == [] and list(parts.security.iterdir()) == []


@pytest.mark.parametrize("end", ["kill", "crash", "stop"])
def test_a_cluster_without_a_journal_leaves_that_of_one_before(run, parts, profile, file, wait_until, end):
    journal = kept_journal(run, parts, profile, file, wait_until, tasks=1)
    if end == "stop":
        assert run("start", "-n", "1", "--no-journal", "--daemonize").returncode == 0
        processes.kill(controller(file))
        assert run("stop").returncode == 0
    else:
        process = parts.start("apus", "start", "-n", "1")
        wait_until(lambda: " ready after " in parts.log(process))
        pid = controller(file)
        if end == "kill":
            # It does not end by SIGTERM, and somebody is impatient.
            os.kill(pid, signal.SIGSTOP)
            for words in ("stopping the cluster", "asked a second time"):
                process.send_signal(signal.SIGINT)
                wait_until(lambda: words in parts.log(process))
        else:
            os.kill(pid, signal.SIGKILL)
        process.wait(40)
        assert "tasks are kept" not in parts.log(process)
    assert (journal / "id").exists() and list(journal.glob("*.log"))
    # Nobody is to look for the dead one.
    assert [path.name for path in parts.security.iterdir()] == ["ipcontroller-curve.json"]
    resumed = run("start", "-n", "1", "--daemonize")
    assert resumed.returncode == 0 and "resumes 1 task of the controller before" in resumed.stderr, resumed.stderr
    assert run("stop").returncode == 0
    assert left(profile) == [] and list(parts.security.iterdir()) == []


def long_journal(profile: Path) -> Path:
    """One that takes a while to be read: two controllers have died of it."""
    damage(profile / "journal", "bytes")
    attempts = profile / "journal" / "attempts"
    attempts.write_text("..")
    for number in range(2, 6):
        with open(profile / "journal" / f"0000000{number}.log", "wb") as segment:
            segment.truncate(1 << 30)
    return attempts


@pytest.mark.parametrize("who", ["own", "launcher"])
def test_who_is_told_to_end_while_it_reads_does_not_count(run, parts, profile, file, wait_until, who):
    assert run("profile", "create", "default").returncode == 0
    attempts = long_journal(profile)
    words = ["ipcontroller", "--journal"] if who == "own" else ["apus", "start", "-n", "1", "--journal"]
    process = parts.start(*words)
    wait_until(lambda: size(attempts) == 3)
    if who == "launcher":
        # As one that is too busy to hear of it. The cluster's file may not name it yet.
        (pid,) = [process.pid for process in processes.processes(parts.mark) if process.role == "controller"]
        os.kill(pid, signal.SIGSTOP)
        assert attempts.exists()
    process.send_signal(signal.SIGTERM)
    code = process.wait(40)
    assert not attempts.exists() and (profile / "journal" / "id").exists()
    assert code == (-signal.SIGTERM if who == "own" else 0), parts.log(process)


def test_clean_leaves_what_may_live_on_another_host(run, parts, profile, file, wait_until):
    kept_journal(run, parts, profile, file, wait_until, tasks=1)
    # Its launcher may be writing.
    writing = [parts.security / "cluster-.json.12-345.new", parts.security / ".cluster-x1"]
    for path in writing:
        path.write_text("{")
    before = sorted(path.name for path in parts.security.iterdir())
    there = parts.security / "cluster-.json"
    state = {"pid": 77, "began": "5"}
    d = {"cluster": {"cluster_id": ""}, "controller": {"class": "local", "state": state}, "apus": {"host": "there", "boot": "1"}}
    there.write_text(json.dumps(d))
    cleaned = run("clean")
    assert cleaned.returncode == 0 and "is that of a cluster on there, and may run there" in cleaned.stderr, cleaned.stderr
    stopped = run("stop")
    assert stopped.returncode == 69 and "is that of a launcher on there" in stopped.stderr, stopped.stderr
    assert run("stop", "--all").returncode == 0
    assert left(profile) == ["journal"]
    assert sorted(path.name for path in parts.security.iterdir()) == sorted([*before, there.name])
    assert run("clean", "--force").returncode == 0
    assert left(profile) == [] and not there.exists() and not any(path.exists() for path in writing)


def test_a_controller_without_a_journal_that_dies_leaves_no_connection_files(parts, file, wait_until):
    process = parts.start("apus", "start", "-n", "1")
    wait_until(lambda: " ready after " in parts.log(process))
    os.kill(controller(file), signal.SIGKILL)
    assert process.wait(40) == 1 and "tasks are kept" not in parts.log(process)
    assert list(parts.security.iterdir()) == []


def damage(journal: Path, what: str) -> None:
    journal.mkdir(mode=0o700)
    (journal / "id").write_text("0123456789abcdef")
    if what == "attempts":
        (journal / "00000001.log").write_bytes(os.urandom(1000))
        (journal / "attempts").write_text("...")
    elif what == "id":
        (journal / "id").unlink()
        (journal / "id").mkdir()
    elif what == "pipe":
        os.mkfifo(journal / "00000001.log")
    elif what == "number":
        (journal / "9223372036854775807.log").write_bytes(b"")
    elif what == "directory":
        (journal / "00000001.log").mkdir()
    else:
        (journal / "00000001.log").write_bytes(os.urandom(1000))


@pytest.mark.parametrize("what", ["attempts", "id", "pipe", "number", "directory", "bytes"])
@pytest.mark.parametrize("mode", [["--daemonize"], ["--journal"]])
def test_a_damaged_journal_keeps_nobody_from_starting(run, parts, profile, wait_until, what, mode):
    assert run("profile", "create", "default").returncode == 0
    damage(profile / "journal", what)
    process = parts.start("apus", "start", "-n", "1", *mode)
    wait_until(lambda: " ready after " in parts.log(process) or process.poll() is not None, 50)
    words = parts.log(process)
    assert " ready after " in words, words
    is_set_aside = what in ("attempts", "id")
    assert left(profile) == (["journal", "journal.aside-1"] if is_set_aside else ["journal"])
    assert ("is set aside, and its tasks do not go on" in words) == is_set_aside, words
    assert parts.client(1).load_balanced_view().apply_async(abs, -7).get(40) == 7
    assert not (profile / "journal" / "attempts").exists()
    assert run("stop").returncode == 0
    assert (profile / "journal.aside-1").exists() == is_set_aside


def test_what_of_a_journal_cannot_be_read_is_told(run, parts, profile, file, wait_until):
    journal = kept_journal(run, parts, profile, file, wait_until, tasks=1)
    (segment,) = journal.glob("*.log")
    segment.write_bytes(os.urandom(100) + segment.read_bytes())
    started = run("start", "-n", "1", "--daemonize")
    assert started.returncode == 0 and "the journal was damaged:" in started.stderr, started.stderr
    assert "100 bytes from 0 on are damaged" in started.stderr and "resumes 1 task of the controller before" in started.stderr, started.stderr
    assert f"damaged segments will be kept as {journal}/*.damaged" in started.stderr
    # Its tasks are written anew, and the next controller finds nothing wrong.
    wait_until(lambda: [path.name for path in journal.glob("*.damaged")] == [segment.stem + ".damaged"] and not segment.exists())
    os.kill(controller(file), signal.SIGKILL)
    wait_until(lambda: json.loads((journal / "beginning.json").read_text())["damages"] == [])
    assert run("stop").returncode == 0
    assert left(profile) == []


def test_clean_removes_journals_and_nobody_elses(run, parts, profile, file, wait_until):
    journal = kept_journal(run, parts, profile, file, wait_until, tasks=1)
    damage(profile / "journal-x", "attempts")
    damage(profile / "journal.aside-1", "attempts")
    (profile / "journal-notes").mkdir()
    (profile / "journal-notes" / "monday.txt").write_text("mine")
    own = parts.start("ipcontroller", "--journal", "--cluster-id=own")
    wait_until(lambda: "ready" in parts.log(own))
    # Of processes that were killed while they wrote: keys are in some. One of those that lives may be at work.
    names = [".cluster-x1", "ipcontroller-client.json.12-345.new", "cluster-.json.12-345.new"]
    unfinished = [*(parts.security / name for name in names), profile / "x_config.py.12-345.new"]
    others = [parts.security / "ipcontroller-own-client.json.12-345.new", profile / "log" / "enginesown.json.12-345.new", profile / "mine.new"]
    for path in unfinished + others:
        path.write_text("{")
    cleaned = run("clean")
    assert cleaned.returncode == 0, cleaned.stderr
    assert [path for path in unfinished + others if path.exists()] == others
    assert f"removing a journal, and the tasks in it: 0.0 MB in {journal}" in cleaned.stderr
    # A controller that was started by hand has no cluster's file, and needs its own all the same.
    assert left(profile) == ["journal-notes", "journal-own"] and (parts.security / "ipcontroller-own-client.json").exists()
    assert (profile / "journal-own" / "id").exists() and "a controller runs in" in cleaned.stderr
    own.terminate()
    assert own.wait(40) == 0
    assert left(profile) == ["journal-notes"]


def test_several_clusters_end_at_the_same_time_and_are_told_of_in_order(run, parts, wait_until):
    names = ["a", "b", "c"]
    # Processes that do not end by SIGTERM take the five seconds that each has. They note when they were asked, on a clock that all have.
    deaf = (
        "import os, signal, time\n"
        "def asked(*_): open(f'asked-{os.getpid()}', 'w').write(str(time.monotonic()))\n"
        "signal.signal(signal.SIGTERM, asked)\nprint('deaf', flush=True)\nwhile True: time.sleep(600)")
    for name in names:
        done = run("start", "-n", "1", "--daemonize", "--no-journal", f"--cluster-id={name}")
        assert done.returncode == 0, done.stderr
    strangers = []
    for name in names:
        path = parts.security / f"cluster-{name}.json"
        contents = json.loads(path.read_text())
        stranger = subprocess.Popen(
            ["python3", "-c", deaf], env=parts.env | {"IPP_PROFILE_DIR": "x"}, cwd=parts.directory, stdout=subprocess.PIPE, text=True,
            start_new_session=True)
        assert stranger.stdout.readline() == "deaf\n"
        strangers.append(stranger)
        (state,) = contents["engines"]["sets"].values()
        state["engines"]["1"] = state["engines"]["0"] | {"pid": stranger.pid}
        state["engines"]["1"].pop("began", None)
        path.write_text(json.dumps(contents))
    stopped = run("stop", "--all")
    assert stopped.returncode == 0, stopped.stderr
    told = [line for line in stopped.stderr.splitlines() if "stopped 3 processes" in line]
    assert [line.split("cluster-")[1][0] for line in told] == names, stopped.stderr
    for stranger in strangers:
        assert stranger.wait(40) == -signal.SIGKILL
    # One after the other, the last would be asked when the others have had their time.
    asked = sorted(float((parts.directory / f"asked-{stranger.pid}").read_text()) for stranger in strangers)
    assert asked[-1] - asked[0] < 5, asked


def test_of_starts_at_the_same_moment_one_has_the_cluster(run, parts, file):
    assert run("profile", "create", "default").returncode == 0
    starts = [parts.start("apus", "start", "-n", "1", "--daemonize", *words) for words in ([], ["--no-journal"]) * 3]
    codes = [start.wait(60) for start in starts]
    assert sorted(codes) == [0] + [10] * 5, [parts.log(start) for start in starts]
    assert controller(file) and len(parts.client(1).ids) == 1
    logs = [path.name for path in (parts.security.parent / "log").glob("ipcontroller-*.log")]
    assert len(logs) == 1, logs
    assert run("stop").returncode == 0
    assert processes.processes(parts.mark) == []
    assert list(parts.security.iterdir()) == []


def test_a_dry_run_of_a_cluster_that_begins_with_no_engine_shows_one(run):
    shown = run("start", "--dry-run", "--min=0", "--max=4")
    assert shown.returncode == 0 and "1 process on this host" in shown.stdout, shown.stdout + shown.stderr
