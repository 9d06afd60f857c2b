"""Clusters that grow and shrink: told to, or with their work."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time

import pytest
from launcher_names import PLAYED
from launcher_stands import wait_for
from test_restarts import make, stand_arguments  # noqa: F401


def connect(cluster, engines: int):
    """A client of ours: it asks for more or fewer."""
    sys.path.insert(0, str(cluster.bin_dir.parent / "lib/apus/python"))
    try:
        import apus
    finally:
        sys.path.pop(0)

    client = apus.Client(str(cluster.profile / "security/ipcontroller-client.json"))
    cluster.clients.append(client)
    client.wait_for_engines(engines, timeout=40)
    return client


def waiting(expression: str, seconds: float):
    """A function that engines need not import: they have no copy of this module."""
    return eval(f"lambda number: (__import__('time').sleep({seconds}), {expression})[1]", {"__name__": "__main__"})


def held(gate):
    """A function, as well, that runs until there is such a file."""
    there = f"lambda: __import__('os').path.exists({str(gate)!r})"
    return eval(f"lambda _: [__import__('time').sleep(0.02) for _ in iter({there}, True)] and None", {"__name__": "__main__"})


@pytest.mark.parametrize("name", ["local", *PLAYED, "real slurm", "ssh"])
def test_a_cluster_is_scaled_up_and_down(make_cluster, name):
    cluster = make(make_cluster, name)
    cluster.start(n=2)
    cluster.hears("2 engines ready")
    more = cluster.run("scale", "4")
    assert more.returncode == 0, more.stderr
    client = connect(cluster, 4)
    assert client.load_balanced_view().map_sync(abs, range(-9, 0)) == list(range(9, 0, -1))
    fewer = cluster.run("scale", "1")
    assert fewer.returncode == 0, fewer.stderr
    # This client is told as the command's is, and not before it.
    wait_for(lambda: len(client.ids) == 1)
    wait_for(lambda: cluster.said.count("has ended, as it was asked to") == 3)
    again = cluster.run("scale", "3")
    assert again.returncode == 0, again.stderr
    wait_for(lambda: client.scaling().minimum == 3)
    shown = json.loads(cluster.run("status", "--json").stdout)
    assert shown["scaling"]["min"] == shown["scaling"]["max"] == 3 and shown["ended"] == []
    assert [step["reason"] for step in shown["scaling"]["decisions"]][-1] == "2 more engines: 3 are wanted, 1 are there"
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing()


def test_nobody_goes_who_computes_or_holds_names(make_cluster, tmp_path):
    cluster = make(make_cluster, "local")
    cluster.start(n=3)
    cluster.hears("3 engines ready")
    client = connect(cluster, 3)
    client[client.ids[0]].push({"x": 7}, block=True)
    gate = tmp_path / "gate"
    running = client.load_balanced_view(client.ids[1:]).map_async(held(gate), range(2), chunksize=1)
    wait_for(lambda: sum(client.queue_status(number)["tasks"] for number in client.ids[1:]) == 2)
    refused = cluster.run("scale", "1")
    assert refused.returncode == 1 and "2 more than wanted: 2 compute, 1 were addressed" in refused.stderr, refused.stderr
    assert len(client.ids) == 3
    gate.touch()
    running.get(40)
    # Who has computed is free to go.
    wait_for(lambda: len(client.ids) == 1)
    assert client[client.ids[0]]["x"] == 7
    forced = cluster.run("scale", "0", "--force")
    assert forced.returncode == 0, forced.stderr
    wait_for(lambda: client.ids == [])
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing()


def test_engines_that_must_go_finish_what_they_have(make_cluster):
    cluster = make(make_cluster, "local")
    cluster.start(n=2)
    wait_for((cluster.profile / "security/ipcontroller-client.json").exists)
    client = connect(cluster, 2)
    results = client.load_balanced_view().map_async(waiting("number", 0.2), range(20), chunksize=1)
    # From this moment on: whoever reads it may have a wish at once.
    cluster.hears("2 engines ready")
    client.scale(1, force=True)
    assert results.get(40) == list(range(20))
    wait_for(lambda: len(client.ids) == 1)
    assert cluster.interrupt() == 0, cluster.said


def test_a_cluster_in_the_background_grows_with_its_work_and_shrinks(make_cluster, tmp_path):
    cluster = make(make_cluster, "local")
    started = cluster.run("start", "--min=1", "--max=4", "--idle=1", "--daemonize")
    assert started.returncode == 0, started.stderr
    client = connect(cluster, 1)
    assert len(client.ids) == 1
    # There is work until all have come, however long that takes.
    gate = tmp_path / "gate"
    results = client.load_balanced_view().map_async(held(gate), range(60), chunksize=1)
    wait_for(lambda: len(client.ids) == 4)
    gate.touch()
    results.get(60)
    wait_for(lambda: len(client.ids) == 1)
    # The launcher tells it with its next question.
    wait_for(lambda: "idle for" in client.scaling().decisions[-1][1])
    status = client.scaling()
    assert status.supervised and (status.minimum, status.maximum) == (1, 4)
    reasons = [reason for _, reason in status.decisions]
    assert "tasks wait" in reasons[0] and "idle for" in reasons[-1]
    text = cluster.run("status").stdout
    assert "local, 1 to 4 engines" in text and reasons[0] in text
    # Until it is told to be as large as that.
    client.adapt(2, 3)
    wait_for(lambda: len(client.ids) == 2)
    assert cluster.run("stop").returncode == 0
    cluster.has_left_nothing()


def test_without_a_launcher_that_stays_nobody_scales(make_cluster):
    cluster = make(make_cluster, "local")
    assert cluster.run("start", "-n1", "--daemonize", "--no-journal").returncode == 0
    refused = cluster.run("scale", "--min=1", "--max=2")
    assert refused.returncode == 1 and "no launcher watches over this cluster" in refused.stderr
    assert "no launcher watches over" in cluster.run("scale").stdout
    elsewhere = cluster.run("scale", "2", "--file", str(cluster.profile / "security/ipcontroller-client.json"))
    assert elsewhere.returncode == 1 and "was not started from here" in elsewhere.stderr
    assert cluster.run("stop").returncode == 0


def test_a_number_needs_no_launcher_on_this_machine(make_cluster, tmp_path):
    cluster = make(make_cluster, "local")
    assert cluster.run("start", "-n1", "--daemonize", "--no-journal").returncode == 0
    more = cluster.run("scale", "4")
    assert more.returncode == 0 and "4 engines" in more.stderr, more.stderr
    client = connect(cluster, 4)
    assert sorted(client[:].apply_sync(abs, -3)) == [3, 3, 3, 3]
    # They were addressed, and may hold names.
    kept = cluster.run("scale", "2")
    assert kept.returncode == 1 and "2 more than wanted: 0 compute, 4 were addressed" in kept.stderr, kept.stderr
    gate = tmp_path / "gate"
    running = client.load_balanced_view().map_async(held(gate), range(4), chunksize=1)
    wait_for(lambda: sum(client.queue_status(number)["tasks"] for number in client.ids) == 4)
    over = cluster.run("scale", "1", "--force", "--timeout=0.2")
    assert over.returncode == 124 and "time is over" in over.stderr, over.stderr
    gate.touch()
    fewer = cluster.run("scale", "1", "--force")
    assert fewer.returncode == 0, fewer.stderr
    running.get(40)
    wait_for(lambda: len(client.ids) == 1)
    again = cluster.run("scale", "2")
    assert again.returncode == 0, again.stderr
    wait_for(lambda: len(client.ids) == 2)
    assert cluster.run("stop").returncode == 0
    # The command that had no more time left the logs of those that went after it.
    cluster.has_left_nothing(logs=3)


def test_wishes_that_follow_one_another_are_both_heard(make_cluster):
    cluster = make(make_cluster, "local")
    cluster.start(n=2)
    cluster.hears("2 engines ready")
    client = connect(cluster, 2)
    before = set(client._engines.values())
    client.scale(3)
    client.restart_engines()
    wait_for(lambda: len(client.ids) == 3 and not before & set(client._engines.values()))
    assert cluster.interrupt() == 0, cluster.said


def test_a_scale_that_is_overtaken_or_refused_says_so(make_cluster):
    cluster = make_cluster("slurm")
    cluster.start("--per-job=1", n=1)
    cluster.hears("1 engine ready")
    client = connect(cluster, 1)
    cluster.stand.system.faults(hold=True)
    waits = cluster.popen("scale", "3")
    cluster.hears("a client wants 3 engines")
    wait_for(lambda: "in the queue (Resources)" in waits.words())
    client.scale(2)
    assert waits.wait(40) == 1 and "overtaken: another client wants 2 engines since" in waits.words()
    cluster.stand.system.faults(submit_refusal="your quota is exhausted")
    refused = cluster.run("scale", "5")
    assert refused.returncode == 14 and "your quota is exhausted" in refused.stderr, refused.stderr
    # A launcher that is gone carries out no wish.
    cluster.stand.system.faults(hold=True)
    waits = cluster.popen("scale", "6")
    cluster.hears("a client wants 6 engines")

    def all_are_named():
        # Of a job that was submitted in this very moment nobody knows.
        file = (cluster.profile / "security" / "cluster-.json").read_text()
        jobs = cluster.stand.jobs()
        return len(jobs) == 6 and all(re.search(rf"\b{job}\b", file) for job in jobs)

    wait_for(all_are_named, 30)
    cluster.launcher.kill()
    cluster.launcher.wait(40)
    assert waits.wait(40) == 1 and "the launcher that watched over this cluster has gone" in waits.words(), waits.words()
    # Engines that were refused meanwhile are none that it waits for.
    stopped = cluster.run("stop", "--all")
    assert stopped.returncode == 0 and cluster.stand.jobs() == [], stopped.stderr


@pytest.mark.parametrize("words, said", [
    (["scale", "many"], "takes a number"), (["scale", "3", "--min=1"], "takes a number"), (["scale", "--min=4", "--max=2"], "--min is 4"),
    (["start", "--min=4", "--max=2"], "--min is 4"), (["start", "--min=1", "--engines=mpi"], "MPI ranks"), (["restart", "x"], "no engine's id"),
])
def test_wrong_words(make_cluster, words, said):
    cluster = make(make_cluster, "local")
    done = cluster.run(*words)
    assert done.returncode == 2 and said in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["local", "slurm", "sge", "ssh"])
def test_engines_are_started_anew(make_cluster, name):
    cluster = make(make_cluster, name)
    cluster.start("--keep-ids", n=3)
    cluster.hears("3 engines ready")
    client = connect(cluster, 3)
    ids = list(client.ids)
    before, known = client[:].apply_sync(os.getpid), set(client._engines.values())
    one = cluster.run("restart", str(ids[1]))
    assert one.returncode == 0, one.stderr
    # The client may hear of it after the command.
    wait_for(lambda: len(client.ids) == 3 and len(known & set(client._engines.values())) == 2)
    now = client[:].apply_sync(os.getpid)
    assert client.ids == ids and [a == b for a, b in zip(before, now)] == [True, False, True]
    every = cluster.run("restart")
    assert every.returncode == 0, every.stderr
    wait_for(lambda: len(client.ids) == 3 and len(known & set(client._engines.values())) == 0)
    assert client.ids == ids and not set(now) & set(client[:].apply_sync(os.getpid))
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing(logs=3)


def test_no_task_is_lost_while_engines_die(make_cluster):
    cluster = make(make_cluster, "local")
    cluster.start("--min=1", "--max=4", "--idle=0.5", "--restart=on-failure", "--Cluster.restart_limit=1000", n=1)
    cluster.hears("1 engine ready")
    client = connect(cluster, 1)
    view = client.load_balanced_view()
    view.retries = 20
    for round in range(5):
        results = view.map_async(waiting("number * number", 0.05), range(60), chunksize=1)
        killed = 0
        while not results.ready():
            if killed < 3 and len(client.ids) > 1:
                try:
                    pid = client[client.ids[-1]].apply_async(os.getpid).get(40)
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                except Exception:
                    # It died before it could say its number.
                    pass
            time.sleep(0.05)
        assert results.get(60) == [number * number for number in range(60)]
    assert cluster.interrupt() == 0, cluster.said


@pytest.mark.timeout(180)
def test_engines_that_know_their_end_take_no_more_tasks_before_it(make_cluster):
    cluster = make_cluster("slurm")
    began = time.monotonic()
    cluster.start("--time=16s", "--Cluster.drain_grace=4", "--per-job=1", n=1)
    cluster.hears("1 engine ready")
    client = connect(cluster, 1)
    assert client.load_balanced_view().apply_sync(abs, -1) == 1

    def is_refused():
        """Whether a task waits, and for this reason."""
        nonlocal result
        result = client.load_balanced_view().apply_async(abs, -2)
        return not result.wait(0.5) and "draining" in result.explain().codes

    result = None
    wait_for(is_refused)
    # Its end is 16 s after it began, and it began after its launcher.
    assert time.monotonic() - began > 12 and client.queue_status()["unassigned"] > 0
    # It serves who asks for it by its name, until the end.
    assert client[client.ids[0]].apply_sync(abs, -3) == 3
    # And another engine takes what waits.
    more = cluster.run("scale", "2")
    assert more.returncode == 0, more.stderr
    assert result.get(30) == 2
    assert cluster.interrupt() == 0, cluster.said
