"""What tasks may ask for beyond ipyparallel's flags: priority, resources, when they are tried again, how long they may run."""

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import ipyparallel
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(os.environ.get("APUS_PREFIX", ROOT / ".build" / "prefix")) / "lib" / "apus" / "python"))

import apus  # noqa: E402
from flag_tasks import note, stubborn, waits  # noqa: E402


@contextmanager
def own_client(parts, engines):
    deadline = time.monotonic() + 60
    while not (parts.security / "ipcontroller-client.json").exists():
        assert time.monotonic() < deadline, parts.all_logs()
        time.sleep(0.01)
    with apus.Client(str(parts.security / "ipcontroller-client.json")) as client:
        client.wait_for_engines(engines, timeout=30)
        yield client


@pytest.fixture
def one(parts):
    """A client of one engine."""
    parts.start("ipcontroller", "--ping=250")
    parts.start("ipengine")
    with own_client(parts, 1) as client:
        yield client


def test_a_higher_priority_goes_first(one, tmp_path, wait_until):
    path = tmp_path / "order"
    view = one.load_balanced_view()
    gate = tmp_path / "gate"

    def hold(gate):
        while not os.path.exists(gate):
            time.sleep(0.01)

    first = view.apply_async(hold, str(gate))
    results = []
    for word, priority in [("a", 0), ("low", -5), ("b", 0), ("high", 7), ("highest", 10_000)]:
        with view.temp_flags(priority=priority):
            results.append(view.apply_async(note, str(path), word))
    wait_until(lambda: one.queue_status()["unassigned"] >= 5)
    gate.touch()
    first.get(30)
    for result in results:
        result.get(30)
    assert path.read_text().split() == ["highest", "high", "a", "b", "low"]
    for nonsense in ({"priority": 1.5}, {"priority": 10_001}, {"resources": ["gpu"]}, {"resources": {"gpu": -1}}, {"retry_delay": -1}):
        with pytest.raises(ValueError):
            view.set_flags(**nonsense)
    with pytest.raises(TypeError):
        view.set_flags(retry_on=[5])


def test_resources_are_where_engines_say(parts, tmp_path, wait_until):
    parts.start("ipcontroller", "--ping=250")
    parts.start("ipengine", "--resources=memory=8")
    with own_client(parts, 1) as client:
        view = client.load_balanced_view()
        view.resources = {"gpu": 2}
        results = [view.apply_async(os.getpid) for _ in range(4)]
        mapped = view.map_async(lambda x: (x, os.getpid()), range(4))
        wait_until(lambda: client.queue_status()["unassigned"] >= 8)
        view.resources = None
        other = view.apply_sync(os.getpid)
        (config := tmp_path / "engine_config.py").write_text("c.IPEngine.resources = {'gpu': 2, 'memory': 1}\n")
        engine = parts.start("ipengine", f"--config={config}")
        assert {result.get(30) for result in results} == {engine.pid}
        assert mapped.get(30) == [(x, engine.pid) for x in range(4)]
        assert other != engine.pid
    wrong = parts.start("ipengine", "--resources=gpu=many")
    assert wrong.wait(30) == 2 and "--resources should be names with amounts" in parts.log(wrong)


def test_trying_again_takes_its_time_and_minds_the_exception(one, tmp_path):
    view = one.load_balanced_view()
    view.set_flags(retries=3, retry_delay=0.2, retry_on=[OSError, "TimeoutError"])
    path = tmp_path / "tries"
    began = time.monotonic()
    with pytest.raises(apus.RemoteError, match="OSError"):
        view.apply_sync(note, str(path), "x", 0, OSError("again and again"))
    assert len(path.read_text().split()) == 4
    # 0.2, 0.4 and 0.8 seconds are the least.
    assert time.monotonic() - began >= 1.4
    with pytest.raises(apus.RemoteError, match="ValueError"):
        view.apply_sync(note, str(path), "y", 0, ValueError("once"))
    assert path.read_text().split().count("y") == 1


def test_a_task_that_runs_too_long_is_interrupted(one, tmp_path):
    view = one.load_balanced_view()
    # What a first task imports takes its time.
    view.apply_sync(waits, 0)
    view.time_limit = 0.3
    with pytest.raises(apus.RemoteError, match="TaskTimeout.*time limit of 0.3 s") as failure:
        view.apply_sync(waits, 60)
    assert "waits" in "".join(failure.value.render_traceback())
    # The limit is each task's, and the engine goes on.
    view.time_limit = 20
    assert view.map_sync(lambda x: x + 1, range(100)) == list(range(1, 101))
    direct = one[:]
    pid = direct.apply_sync(os.getpid)
    direct.time_limit = 0.3
    with pytest.raises(apus.CompositeError, match="TaskTimeout"):
        direct.apply_sync(waits, 60)
    with pytest.raises(apus.CompositeError, match="TaskTimeout"):
        direct.execute("import time\nfor _ in range(3000): time.sleep(0.02)", block=True)
    broadcast = one.broadcast_view()
    broadcast.time_limit = 0.3
    with pytest.raises(apus.CompositeError, match="TaskTimeout"):
        broadcast.apply_sync(waits, 60)
    direct.time_limit = 0
    assert direct.apply_sync(os.getpid) == pid


@pytest.mark.parametrize("local", [True, False], ids=["local", "over TCP"])
def test_what_does_not_end_then_ends_with_its_engine(parts, tmp_path, wait_until, local):
    parts.start("ipcontroller", "--ping=250", f"--IPController.enable_curve={not local}", *([] if local else ["--ip=127.0.0.1"]))
    engine = parts.start("ipengine")
    with own_client(parts, 1) as client:
        pid, uuid = client[0].apply_sync(os.getpid), client.ids[0]
        assert pid == engine.pid
        view = client.load_balanced_view()
        path = tmp_path / "stubborn"
        with view.temp_flags(time_limit=0.3, kill_after=0.3):
            result = view.apply_async(stubborn, str(path))
        wait_until(path.exists)
        # They are behind it, and lose nothing but time; no try of theirs is spent.
        others = [view.apply_async(waits, 0.02) for _ in range(20)]
        with pytest.raises(apus.RemoteError, match="TaskTimeout: the task did not end within 0.3 s after its time limit of 0.3 s, and its engine was ended"):
            result.get(60)
        # The engine is there again, as the same process.
        assert {other.get(60) for other in others} == {pid}
        assert client.ids != [uuid] and len(client.ids) == 1
        assert engine.poll() is None
        # The next one, by its client.
        result = view.apply_async(stubborn, str(path))
        count = len(path.read_text().split())
        wait_until(lambda: len(path.read_text().split()) > count)
        assert result.cancel(kill_after=0.3)
        assert view.apply_sync(os.getpid) == pid
        with pytest.raises(ValueError):
            result.cancel(kill_after=-1)


def test_the_stock_client_says_it_by_metadata(parts):
    parts.start("ipcontroller", "--ping=250")
    parts.start("ipengine")
    client = parts.client(1)
    view = client.load_balanced_view()
    result = client.send_apply_request(view._socket, waits, (60,), {}, metadata={"time_limit": 0.3})
    with pytest.raises(ipyparallel.RemoteError, match="TaskTimeout"):
        ipyparallel.AsyncResult(client, [result] if isinstance(result, str) else result, fname="waits").get(30)
    client.close()
