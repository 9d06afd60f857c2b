"""A cluster with a journal: its controller is killed, and everybody goes on."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(os.environ.get("APUS_PREFIX", ROOT / ".build" / "prefix")) / "lib" / "apus" / "python"
sys.path.insert(0, str(PACKAGE))

import processes  # noqa: E402
import stock  # noqa: E402

import apus as ipp  # noqa: E402
from journal_tasks import busy, fail_slowly, hold, note  # noqa: E402

#: Moments at which the controller is killed; more of them for a long look.
ROUNDS = int(os.environ.get("APUS_JOURNAL_ROUNDS", "4"))


def connect(cluster, n: int, **options) -> ipp.Client:
    """A client of ours that sees so many engines."""
    deadline = time.monotonic() + 60
    while not cluster.connection_file.exists():
        assert cluster.process.poll() is None and time.monotonic() < deadline, cluster.output()
        time.sleep(0.005)
    client = ipp.Client(str(cluster.connection_file), **options)
    client.wait_for_engines(n, timeout=60)
    return client


def connect_to(file: Path) -> ipp.Client:
    client = ipp.Client(str(file))
    client.wait_for_engines(1, timeout=60)
    return client


def controllers(cluster) -> list[int]:
    return [process.pid for process in cluster.processes() if process.role == "controller"]


def kill_controller(cluster) -> int:
    """Kills it as nothing can be killed harder, and gives its number."""
    deadline = time.monotonic() + 40
    while not (found := controllers(cluster)):
        assert time.monotonic() < deadline, cluster.output()
        time.sleep(0.005)
    os.kill(found[0], signal.SIGKILL)
    return found[0]


def are_written(cluster, tasks) -> bool:
    """Whether the controller's successor will know of these tasks."""
    written = b""
    for path in (cluster.ipython_dir / "profile_default" / "journal").glob("*.log"):
        try:
            written += path.read_bytes()
        except FileNotFoundError:
            # Another one is in its place.
            return False
    return all(message.encode() in written for task in tasks for message in task.msg_ids)


@pytest.fixture
def journaled(start_cluster):
    """``journaled(4)`` starts a cluster with a journal, and gives it with a client of ours."""
    clients = []

    def start(n: int, *arguments: str):
        cluster = start_cluster(n, ["--journal", *arguments])
        client = connect(cluster, n)
        clients.append(client)
        return cluster, client

    yield start
    for client in clients:
        client.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("sync", ["interval", "always"])
def test_whenever_the_controller_is_killed_every_task_ends_once(journaled, tmp_path, wait_until, record_property, sync):
    seed = int(os.environ.get("APUS_SEED", random.randrange(1 << 32)))
    print(f"APUS_SEED={seed}")
    dice = random.Random(seed)
    cluster, client = journaled(4, f"--journal-sync={sync}", "--Cluster.controller_restarts=1000")
    ids = client.ids
    view = client.load_balanced_view()
    again = 0
    for round in range(ROUNDS):
        marks = tmp_path / f"marks{round}"
        tasks = [view.apply_async(note, str(marks), number, dice.choice([0, 0.002, 0.02])) for number in range(200)]
        time.sleep(dice.uniform(0, 0.6))
        former = kill_controller(cluster)
        results = [task.get(60) for task in tasks]
        assert results == [number * number for number in range(200)], f"APUS_SEED={seed}, round {round}"
        ran = [int(line) for line in marks.read_text().split()]
        assert set(ran) == set(range(200))
        again += len(ran) - 200
        client.wait_for_engines(4, timeout=30)
        assert client.ids == ids
        # All may have ended before, and a process takes a moment to die.
        wait_until(lambda: former not in controllers(cluster))
    record_property("run_twice", again)
    print(f"{again} of {200 * ROUNDS} tasks ran twice")
    # Nobody promises that none does, but it takes a crash within milliseconds of a task's first steps.
    assert again <= 2 * ROUNDS


@pytest.mark.timeout(180)
def test_killed_again_and_again_while_many_tasks_wait(parts, wait_until):
    """Its client asks each of the controllers what became of them, and the next one is given the question as well that the last did not read."""
    controller = parts.start("ipcontroller", "--journal")
    client_file = parts.security / "ipcontroller-client.json"
    wait_until(client_file.exists)
    for _ in range(2):
        parts.start("ipengine", "--timeout=60")
    client = connect_to(client_file)
    client.wait_for_engines(2, timeout=60)
    view = client.load_balanced_view()
    tasks = [view.apply_async(busy, number) for number in range(40_000)]
    ended = 0
    for _ in range(4):
        # While results come, and again before all that was under way has settled.
        wait_until(lambda: sum(task.ready() for task in tasks[::100]) > ended or all(task.ready() for task in tasks[::100]), 60)
        ended = sum(task.ready() for task in tasks[::100])
        controller.kill()
        controller.wait()
        controller = parts.start("ipcontroller", "--journal")
    assert [task.get(120) for task in tasks] == [number * number for number in range(40_000)]
    client.close()


def test_what_is_tried_again_after_a_restart_is_no_replay(journaled, tmp_path, wait_until):
    """One engine: it has had the task from the controller before, and takes no message twice."""
    cluster, client = journaled(1)
    mark = tmp_path / "tries"
    view = client.load_balanced_view()
    view.retries = 3
    task = view.apply_async(fail_slowly, str(mark), 0.7)
    wait_until(lambda: mark.exists() and mark.stat().st_size == 2)
    kill_controller(cluster)
    with pytest.raises(ipp.RemoteError, match="as ever"):
        task.get(60)
    # The tries that the controller before had counted may not all be known.
    assert 3 <= mark.stat().st_size <= 5
    view.retries = 0
    assert view.apply_async(pow, 2, 3).get(40) == 8


def test_engines_come_back_with_their_names_and_their_memory(journaled, wait_until):
    cluster, client = journaled(2)
    client[:].push({"kept": 17}, block=True)
    pids = client[:].apply_sync(os.getpid)
    former = kill_controller(cluster)
    # A task ends only when everybody is back.
    assert client.load_balanced_view().apply_sync(pow, 2, 3) == 8
    assert controllers(cluster) != [former]
    client.wait_for_engines(2, timeout=40)
    assert client.ids == [0, 1]
    assert client[:].apply_sync(os.getpid) == pids
    assert client[:]["kept"] == [17, 17]


def test_a_task_that_runs_is_not_run_again(journaled, tmp_path, wait_until):
    cluster, client = journaled(1)
    marks = tmp_path / "marks"
    task = client.load_balanced_view().apply_async(note, str(marks), 3, 3)
    wait_until(marks.exists)
    kill_controller(cluster)
    assert task.get(30) == 9
    assert marks.read_text() == "3\n"


def test_a_task_whose_engine_dies_with_the_controller(start_cluster, tmp_path, wait_until):
    cluster = start_cluster(2, ["--journal", "--", "--IPController.journal_engine_timeout=2"])
    client = connect(cluster, 2)
    engine = client[0].apply_sync(os.getpid)
    lost = client.load_balanced_view(targets=[0]).apply_async(note, str(tmp_path / "marks"), 1, 120)
    wait_until((tmp_path / "marks").exists)
    # That it was given to this engine is written some milliseconds later.
    time.sleep(0.5)
    kill_controller(cluster)
    os.kill(engine, signal.SIGKILL)
    with pytest.raises(ipp.error.RemoteError) as caught:
        lost.get(40)
    assert caught.value.ename == "EngineError"
    assert "did not come back" in str(caught.value.evalue) or "its connection was lost" in str(caught.value.evalue)
    # The other one goes on.
    assert client.load_balanced_view().apply_sync(pow, 2, 3) == 8
    client.close()


def test_what_was_sent_to_certain_engines_ends_with_the_reason(journaled, tmp_path, wait_until):
    cluster, client = journaled(2)
    marks, gate = tmp_path / "marks", tmp_path / "gate"
    direct = client[0].apply_async(hold, str(marks), str(gate))
    both = client.broadcast_view().apply_async(hold, str(marks), str(gate))
    balanced = client.load_balanced_view(targets=[1]).apply_async(pow, 2, 3)
    # One has begun on each engine.
    wait_until(lambda: marks.exists() and len(marks.read_text().split()) == 2)
    kill_controller(cluster)
    with pytest.raises(ipp.error.RemoteError) as caught:
        direct.get(40)
    assert "restarted" in str(caught.value.evalue)
    with pytest.raises(ipp.error.CompositeError):
        both.get(40)
    gate.touch()
    assert balanced.get(40) == 8
    assert not client.outstanding


def test_what_is_sent_to_an_engine_that_is_not_back_yet_waits_for_it(journaled, wait_until):
    cluster, client = journaled(2)
    pids = client[:].apply_sync(os.getpid)
    view = client[1]
    os.kill(pids[1], signal.SIGSTOP)
    try:
        kill_controller(cluster)
        wait_until(lambda: client.ids == [0], 60)
        tasks = [view.apply_async(os.getpid), client[1].apply_async(os.getpid), view.execute("import os; x = os.getpid()", block=False)]
        both = client.direct_view([0, 1]).apply_async(os.getpid)
        wide = client.broadcast_view([0, 1]).apply_async(os.getpid)
        assert client[:].apply_async(os.getpid).get(30) == pids[:1]
        assert not any(task.done() for task in [*tasks, both, wide])
        # What names nobody, or is no task, is for who is there.
        calls = [client.clear, client.shutdown, client.queue_status, client.drain, client.restart_engines]
        for call in [*calls, lambda engine: client.purge_hub_results(targets=[engine])]:
            with pytest.raises(IndexError, match="No such engine: 1"):
                call(1)
        with pytest.raises(IndexError, match="No such engine: 2"):
            client[2]
    finally:
        os.kill(pids[1], signal.SIGCONT)
    assert [task.get(60) for task in tasks[:2]] == [pids[1]] * 2
    assert tasks[2].get(60).status == "ok" and both.get(60) == pids and wide.get(60) == pids and view["x"] == pids[1]


def test_a_stock_client_gets_what_it_waits_for(start_cluster, wait_until):
    cluster = start_cluster(2, ["--journal"])
    client = cluster.client()
    tasks = [client.load_balanced_view().apply_async(pow, number, 2) for number in range(3)]
    slow = [client.load_balanced_view().apply_async(time.sleep, 1.5) for _ in range(2)]
    queued = [client.load_balanced_view().apply_async(pow, number, 3) for number in range(20)]
    assert [task.get(40) for task in tasks] == [0, 1, 4]
    # What has not arrived, or is not written yet, is lost with it: nobody sends it again.
    def arrived() -> int:
        status = client.queue_status()
        return status["unassigned"] + sum(status[engine]["tasks"] + status[engine]["completed"] for engine in client.ids)

    wait_until(lambda: arrived() == 25 and are_written(cluster, slow + queued))
    kill_controller(cluster)
    # That the first results have left may not be written, and then they come once more.
    assert stock.results(client, slow) == [None, None]
    assert stock.results(client, queued) == [number**3 for number in range(20)]


def test_a_stock_client_gets_nothing_twice(start_cluster, wait_until, capfd):
    cluster = start_cluster(2, ["--journal"])
    client = cluster.client()
    view = client.load_balanced_view()
    for _ in range(2):
        assert view.map_sync(abs, range(-20, 0)) == list(range(20, 0, -1))
        # The last results: that they have left is written some milliseconds later.
        time.sleep(0.5)
        former = kill_controller(cluster)
        wait_until(lambda former=former: controllers(cluster) not in ([], [former]))
        assert view.apply_async(pow, 2, 3).get(30) == 8
        # What is sent unasked comes within a second, before this.
        time.sleep(1.5)
        assert view.apply_async(pow, 2, 3).get(30) == 8
    assert "stale result" not in capfd.readouterr().out


def test_a_stock_client_gets_what_ended_for_a_controller_that_died_before_it_knew_it(start_cluster, wait_until):
    """The client only waits: for a second nobody knows its name, and what ends in that time waits with the controller, and dies with it."""
    cluster = start_cluster(2, ["--journal"])
    client, own = cluster.client(), connect(cluster, 2)
    tasks = [client.load_balanced_view().apply_async(time.sleep, seconds) for seconds in [0.6] * 2 + [0.25] * 8]

    def tasks_of(*states: str) -> int:
        # Of the engines that the controller had when it answered: they come back one by one.
        status = own.queue_status()
        return sum(status[engine][state] for engine in status if engine != "unassigned" for state in states) + (
            status["unassigned"] * ("tasks" in states))

    wait_until(lambda: tasks_of("tasks", "completed") == 10 and are_written(cluster, tasks))
    for _ in range(2):
        former = kill_controller(cluster)
        wait_until(lambda former=former: controllers(cluster) not in ([], [former]))
        wait_until(lambda: tasks_of("completed") >= 3)
    assert stock.results(client, tasks) == [None] * 10
    own.close()


def test_a_full_disk_suspends_the_journal_and_nothing_else(start_cluster, wait_until):
    cluster = start_cluster(2, ["--journal", "--", "--IPController.journal_limit=20000"])
    client = connect(cluster, 2)
    view = client.load_balanced_view()
    assert [task.get(40) for task in [view.apply_async(pow, number, 2) for number in range(200)]] == [n * n for n in range(200)]
    journal = cluster.ipython_dir / "profile_default" / "journal"
    wait_until(lambda: list(journal.glob("*.log")) == [])
    # Our own client has its tasks and sends them again.
    tasks = [view.apply_async(time.sleep, 0.01) for _ in range(100)]
    kill_controller(cluster)
    assert [task.get(30) for task in tasks] == [None] * 100
    client.close()
    logs = "".join(path.read_text() for path in (cluster.ipython_dir / "profile_default" / "log").glob("ipcontroller*.log"))
    assert "the journal is suspended" in logs


def test_nothing_is_known_and_the_engine_has_had_it(parts, wait_until, tmp_path):
    """The journal was suspended, and the list of engines not written yet: the engine takes no message twice, and the task ends."""
    first = parts.start("ipcontroller", "--journal")
    client_file = parts.security / "ipcontroller-client.json"
    wait_until(client_file.exists)
    parts.start("ipengine")
    client = connect_to(client_file)
    mark = tmp_path / "marks"
    tasks = [client.load_balanced_view().apply_async(note, str(mark), number, 1.0) for number in range(2)]
    wait_until(mark.exists)
    first.kill()
    first.wait()
    for path in [*(parts.security.parent / "journal").glob("*.log"), *(parts.security.parent / "log").glob("engines*.json")]:
        path.unlink()
    parts.start("ipcontroller", "--journal")
    assert [task.get(30) for task in tasks] == [0, 1]
    client.close()


def test_files_that_may_not_grow_are_a_full_disk(start_cluster, wait_until):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        cluster = start_cluster(2, ["--journal"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    client = connect(cluster, 2)
    former = controllers(cluster)
    view = client.load_balanced_view()
    assert [task.get(30) for task in [view.apply_async(pow, n, 2) for n in range(1000)]] == [n * n for n in range(1000)]
    logs = cluster.ipython_dir / "profile_default" / "log"
    wait_until(lambda: any("the journal is suspended" in path.read_text() for path in logs.glob("ipcontroller*.log")))
    assert controllers(cluster) == former
    client.close()


def test_an_end_in_order_leaves_nothing(start_cluster, wait_until):
    cluster = start_cluster(1, ["--journal"])
    client = connect(cluster, 1)
    profile = cluster.ipython_dir / "profile_default"
    assert (profile / "journal" / "id").exists()
    tasks = [client.load_balanced_view().apply_async(time.sleep, 60) for _ in range(3)]
    cluster.process.send_signal(signal.SIGINT)
    assert cluster.process.wait(40) == 0
    for task in tasks:
        with pytest.raises(ipp.error.ControllerLost if hasattr(ipp.error, "ControllerLost") else Exception):
            task.get(40)
    client.close()
    assert not (profile / "journal").exists()
    assert [path.name for path in (profile / "security").iterdir()] == []


def test_each_client_without_a_name_gets_its_own_results(start_cluster, wait_until):
    """Stock clients come back to another controller in any order, and libzmq names them in that order."""
    cluster = start_cluster(n=2, arguments=["--journal"])
    clients = [cluster.client() for _ in range(3)]
    for _ in range(2):
        views = [client.load_balanced_view() for client in clients]
        tasks = [[view.apply_async(time.sleep, 0.02) for _ in range(40)] for view in views]
        # They have arrived, and are written; some have ended.
        wait_until(lambda: any(task.ready() for of_one in tasks for task in of_one))
        time.sleep(0.5)
        former = kill_controller(cluster)
        wait_until(lambda: controllers(cluster) not in ([], [former]))
        # One that is sent what it has reads on with the next message only, and says by it who it is.
        deadline = time.monotonic() + 60
        while not all(task.ready() for of_one in tasks for task in of_one):
            assert time.monotonic() < deadline, [sum(not task.ready() for task in of_one) for of_one in tasks]
            for view in views:
                view.apply_async(abs, -1)
            time.sleep(0.1)


def test_ten_thousand_queued_tasks_are_back_soon(parts, wait_until, record_property):
    parts.start("ipcontroller", "--journal")
    client_file = parts.security / "ipcontroller-client.json"
    wait_until(client_file.exists)
    client = ipp.Client(str(client_file))
    view = client.load_balanced_view()
    tasks = [view.apply_async(pow, number, 2) for number in range(10_000)]
    wait_until(lambda: client.queue_status()["unassigned"] == 10_000)
    # Their facts are on the way to the file for milliseconds.
    time.sleep(0.2)
    controller = next(process for process in processes.processes(parts.mark) if process.role == "controller")
    os.kill(controller.pid, signal.SIGKILL)
    engine = parts.start("ipengine")
    began = time.perf_counter()
    again = parts.start("ipcontroller", "--journal")
    wait_until(lambda: "the journal is read" in parts.log(again))
    record_property("seconds_until_read", time.perf_counter() - began)
    tasks[0].wait(30)
    took = time.perf_counter() - began
    record_property("seconds_until_first_result", took)
    print(f"first result {took:.2f} s after the restart")
    assert [task.get(120) for task in tasks] == [number * number for number in range(10_000)]
    assert engine.poll() is None
    client.close()
