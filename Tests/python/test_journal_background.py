"""Clusters in the background with a journal: somebody watches over their controllers."""

from __future__ import annotations

import json
import os
import signal
import socket

import processes
import pytest


@pytest.fixture
def supervised(run, tmp_path):
    """A cluster in the background with a journal; ``supervised(n)`` starts it."""

    def start(n: int, *arguments: str):
        started = run("apus", "start", "-n", str(n), "--daemonize", "--journal", *arguments, timeout=60)
        assert started.returncode == 0, started.stdout + started.stderr
        return started

    yield start
    run("apus", "stop")


def listed(run) -> dict:
    return json.loads(run("apus", "list", "--json").stdout)[0]


def test_a_cluster_in_the_background_has_somebody_who_watches(run, supervised, tmp_path, wait_until):
    started = supervised(2)
    assert "2 engines ready" in started.stdout
    before = listed(run)
    pid = before["controller"]["state"]["pid"]
    supervisor = before["supervisor"]["state"]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: listed(run).get("controller", {}).get("state", {}).get("pid", pid) != pid)
    after = listed(run)
    assert after["supervisor"]["state"]["pid"] == supervisor
    assert after["engines"] == before["engines"]
    wait_until(lambda: json.loads(run("apus", "status", "--json").stdout or "{}").get("engines", []) != [])
    assert "True" in run("apus", "list").stdout
    assert run("apus", "start", "--journal", "-n", "1").returncode == 10
    stopped = run("apus", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads(run("apus", "list", "--json").stdout) == []
    for pid in (supervisor, after["controller"]["state"]["pid"]):
        assert not processes.runs(pid)
    profile = tmp_path / "ipython" / "profile_default"
    assert not (profile / "journal").exists()


def test_status_tells_where_the_journal_is(run, tmp_path):
    profile = tmp_path / "ipython" / "profile_default"
    settings = tmp_path / "settings.py"
    settings.write_text("c.Cluster.journal = True\n")
    try:
        for words, has_journal in [(["--journal"], True), ([f"--config={settings}"], True), ([f"--config={settings}", "--no-journal"], False)]:
            done = run("apus", "start", "-n", "1", "--daemonize", *words, timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr
            assert (profile / "journal" / "id").exists() == has_journal
            status = json.loads(run("apus", "status", "--json").stdout)["journal"]
            assert (status is not None) == has_journal == ("\nJournal " in run("apus", "status").stdout)
            if has_journal:
                assert status["directory"] == str(profile / "journal") and status["bytes"] > 0
            assert run("apus", "stop").returncode == 0
            assert not (profile / "journal").exists()
    finally:
        run("apus", "stop")


def test_list_tells_of_a_controller_that_is_about_to_come_back(run, supervised, wait_until):
    supervised(1)

    def status() -> str:
        return run("apus", "list").stdout.splitlines()[1].split()[2]

    # Several times in a row: each time it comes back later, in the end after 13 s.
    seen = set()
    for _ in range(5):
        wait_until(lambda: "controller" in listed(run))
        state = listed(run)["controller"]
        processes.kill(state["state"]["pid"])
        seen.add(status())
        wait_until(lambda: listed(run).get("controller") != state)
    wait_until(lambda: status() == "Restarting")
    # Whoever asked before it was known, or when it was back, has not heard anything else.
    assert seen <= {"Restarting", "True"}
    # It can be stopped in that state as in any other.
    assert run("apus", "stop").returncode == 0
    assert json.loads(run("apus", "list", "--json").stdout) == []


def test_a_start_in_the_background_that_fails_says_why(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        failed = run("apus", "start", "-n", "1", "--daemonize", "--journal", "--", f"--ports={port}", timeout=60)
    assert failed.returncode == 71
    assert "port" in failed.stdout + failed.stderr
    assert json.loads(run("apus", "list", "--json").stdout) == []


def test_a_controller_that_dies_again_and_again_is_given_up(run, supervised, wait_until):
    supervised(1, "--Cluster.controller_restarts=1")
    for _ in range(2):
        wait_until(lambda: "controller" in listed(run))
        pid = listed(run)["controller"]["state"]["pid"]
        os.kill(pid, signal.SIGKILL)
        if _ == 0:
            wait_until(lambda: listed(run).get("controller", {}).get("state", {}).get("pid", pid) != pid)
    wait_until(lambda: json.loads(run("apus", "list", "--json").stdout) == [])
