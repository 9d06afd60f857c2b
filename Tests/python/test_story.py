"""What has happened in a cluster, and why: ``story``, ``explain`` and ``trace``, of the commands and of our Python client."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

import apus  # noqa: E402


def gate(path, seconds=60.0):
    """Runs until the file is there."""
    import os
    import time

    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise TimeoutError(path)
        time.sleep(0.005)
    return os.getpid()


def fail():
    raise ValueError("no")


class Commands:
    def __init__(self, cluster):
        self.cluster = cluster

    def start(self, *arguments):
        return subprocess.Popen(
            [str(self.cluster.bin_dir / "apus"), *arguments], env=self.cluster.env, cwd=self.cluster.ipython_dir,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __call__(self, *arguments, code=0):
        process = self.start(*arguments)
        try:
            out, errors = process.communicate(timeout=40)
        finally:
            process.kill()
        assert process.returncode == code, (out, errors)
        return out

    def json(self, *arguments, code=0):
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture
def commands(start_cluster):
    cluster = start_cluster(n=2)
    with own_client(cluster) as client:
        client.wait_for_engines(2, timeout=60)
        yield Commands(cluster), client


def own_client(cluster):
    deadline = time.monotonic() + 60
    while True:
        try:
            return apus.Client(str(cluster.connection_file))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def statuses(explanations):
    return [explanation.status for explanation in explanations]


def test_explanations(commands, tmp_path, wait_until):
    """One task runs on each engine, others wait for different reasons; then the gate opens, and all is told of the past."""
    run, client = commands
    door = str(tmp_path / "door")
    view = client.load_balanced_view()
    running = [view.apply_async(gate, door) for _ in range(2)]
    wait_until(lambda: statuses([result.explain() for result in running]) == ["running", "running"])
    queued = view.apply_async(gate, door)
    with view.temp_flags(after=[queued]):
        waiting = view.apply_async(gate, door)
    direct = client[0].apply_async(os.getpid)
    wait_until(lambda: direct.explain().status == "placed")
    explained = queued.explain()
    assert explained.status == "queued" and explained.codes == ["busy", "busy"]
    assert str(explained).splitlines()[0] == explained["summary"]
    assert "engine 0 is busy: it has 1 task, and may have 1" in str(explained)
    assert waiting.explain().codes == ["dependency"] and queued.msg_ids[0] in str(waiting.explain())
    assert direct.explain().codes == ["behind", "engine_runs"]
    # The commands know what others have submitted.
    told = run.json("explain", queued.msg_ids[0])
    assert told["status"] == "queued" and [reason["code"] for reason in told["reasons"]] == ["busy", "busy"]
    assert "waits for an engine" in run("explain", queued.msg_ids[0])
    engine = client.explain(engine=0)
    assert engine.status == "registered" and engine["facts"]["open"] == 2
    assert {"runs", "queued", "heartbeat", "registered"} <= set(engine.codes)
    assert run.json("explain", "0")["facts"]["open"] == 2

    client.abort(waiting)
    with pytest.raises(apus.TaskAborted):
        waiting.get(30)
    assert waiting.explain().codes == ["aborted"] and "its own client asked for its end" in str(waiting.explain())
    Path(door).touch()
    assert len({result.get(30) for result in [*running, queued]}) <= 2 and direct.get(30)
    ended = queued.explain()
    assert ended.status == "ended" and ended["facts"]["outcome"] == "ok"
    phases = {phase["name"]: phase["duration_s"] for phase in ended["phases"]}
    assert {"waiting for an engine", "running", "on the way back"} <= set(phases)
    failed = view.apply_async(fail)
    with pytest.raises(apus.RemoteError):
        failed.get(30)
    assert [reason["sentence"] for reason in failed.explain()["reasons"]] == ["ValueError: no"]
    assert client.explain("nobody").status == "unknown"
    assert "is not known" in run("explain", "nobody", code=13)
    assert client.explain(engine=77).status == "unknown"
    # An AsyncResult of several tasks, and the last of the history.
    assert statuses(client[:].apply_async(os.getpid).explain()) and client.explain(-1).status
    many = view.map_async(abs, range(3))
    many.get(30)
    explained = many.explain()
    assert isinstance(explained, list) and set(statuses(explained)) == {"ended"}


def test_a_killed_engine_is_explained(commands, tmp_path):
    run, client = commands
    door = str(tmp_path / "door")
    view = client.load_balanced_view(targets=[0])
    uuid = client._engines[0]
    pid = client[0].apply_sync(os.getpid)
    result = view.apply_async(gate, door)
    next(event for event in client.story(task=result, kind="placed", follow=True, since=600))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(apus.RemoteError, match="died while running"):
        result.get(30)
    assert result.explain().codes == ["engine_lost"]
    assert "its process was killed or crashed" in str(result.explain())
    lost = client.explain(engine=0)
    assert lost.status == "lost" and lost.codes == ["disconnected", "registered"]
    told = run.json("explain", uuid)
    assert told["status"] == "lost" and told["reasons"][0]["code"] == "disconnected"
    [event] = client.story(engine=0, kind="engine_lost")
    assert event["reason"] == "disconnected" and event["engine_uuid"] == uuid
    trace = json.loads(run("trace", "--out=-"))
    assert any(entry["ph"] == "i" and entry["name"].startswith("engine lost") for entry in trace["traceEvents"])


def test_story(commands):
    run, client = commands
    start = datetime.now(timezone.utc)
    view = client.load_balanced_view()
    result = view.apply_async(os.getpid)
    result.get(30)
    direct = client[1].apply_async(fail)
    with pytest.raises(apus.RemoteError):
        direct.get(30)
    events = client.story(task=result)
    assert [event["kind"] for event in events] == ["submitted", "placed", "finished"]
    own = client.story(client=client.session.session)
    assert [event for event in own if event.get("task") == result.msg_ids[0]] == events
    assert events[0]["client"] == client.session.session
    assert own[0]["kind"] == "client_connected"
    assert all(event["task"].startswith(client.session.session) for event in own[1:])
    assert start <= events[0]["time"] <= events[-1]["time"] <= datetime.now(timezone.utc)
    assert events[0]["sent"] <= events[-1]["began"] <= events[-1]["ended"]
    assert str(events[-1]).endswith(events[-1]["ended"].isoformat()) is False and "ended well on engine" in str(events[-1])
    assert [event["kind"] for event in client.story(task=direct, engine=1)] == ["submitted", "finished"]
    assert client.story(task=direct, engine=0) == []
    assert client.story(task=direct)[-1]["error"] == "ValueError: no"
    whole = client.story()
    assert [event["number"] for event in whole] == list(range(len(whole)))
    assert {"controller_started", "engine_registered", "client_connected"} <= {event["kind"] for event in whole}
    assert all(event["time"] >= start for event in client.story(since=start))
    assert {event["kind"] for event in client.story(kind="engine")} == {"engine_registered"}
    assert [event["number"] for event in client.story(last=3)] == list(range(len(whole) - 3, len(whole)))
    with pytest.raises(apus.RemoteError, match="no kind of event"):
        client.story(kind="nothing")
    # The command says the same.
    assert [event["kind"] for event in run.json("story", f"--task={result.msg_ids[0]}")] == ["submitted", "placed", "finished"]
    text = run("story", f"--task={result.msg_ids[0]}").splitlines()
    assert len(text) == 3 and "placed on engine" in text[1] and " after " in text[2] and ", ran " in text[2]
    assert len(run("story", "--limit=2").splitlines()) == 2
    assert run("story", "--kind=finished", "--since=1h", "--engine=1").count("failed on engine 1") == 1
    assert "did you mean 'finished'" in run.start("story", "--kind=finishd").communicate(timeout=40)[1]


def test_story_follows(commands):
    run, client = commands
    view = client.load_balanced_view()
    process = run.start("story", "--follow", "--json", "--kind=finished", "--limit=1")
    try:
        events, began = [], threading.Event()

        def read():
            for event in client.story(kind="finished", follow=True, since=0):
                events.append(event)
                began.set()
                if len(events) == 3:
                    return

        reader = threading.Thread(target=read)
        reader.start()
        seen = []
        while len(seen) < 2:
            # The command may begin to read after the first of them.
            view.apply_sync(os.getpid)
            seen.append(json.loads(process.stdout.readline()))
        assert [event["kind"] for event in seen] == ["finished", "finished"]
        assert seen[0]["number"] < seen[1]["number"]
        while reader.is_alive():
            view.apply_sync(os.getpid)
            reader.join(0.2)
        assert len(events) == 3 and all(event["outcome"] == "ok" for event in events)
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.communicate()
    # For so long, and no longer.
    assert list(client.story(kind="engine_lost", follow=True, timeout=0.2)) == []


def test_trace(commands, tmp_path):
    run, client = commands
    view = client.load_balanced_view()
    view.map_sync(time.sleep, [0.01] * 6, chunksize=1)
    path = tmp_path / "trace.json"
    assert client.trace(str(path)) == len(client.story())
    out = tmp_path / "command.json"
    run("trace", f"--out={out}")
    for file in (path, out):
        entries = json.loads(file.read_text())["traceEvents"]
        rows = {entry["tid"]: entry["args"]["name"] for entry in entries if entry["name"] == "thread_name"}
        assert rows == {0: "engine 0", 1: "engine 1"}
        runs = [entry for entry in entries if entry["ph"] == "X"]
        assert len(runs) >= 6 and all(entry["dur"] >= 10_000 and entry["tid"] in rows for entry in runs[-6:])
        for row in rows:
            # An engine runs one after the other.
            own = sorted((entry["ts"], entry["ts"] + entry["dur"]) for entry in runs if entry["tid"] == row)
            assert all(end <= begin for (_, end), (begin, _) in zip(own, own[1:], strict=False))
        begun = [entry["id"] for entry in entries if entry["ph"] == "b"]
        assert sorted(begun) == sorted(entry["id"] for entry in entries if entry["ph"] == "e") and begun


@pytest.mark.parametrize("former", [None, "mine"])
def test_a_trace_that_is_cut_short_leaves_what_was_there(commands, tmp_path, former):
    run, _ = commands
    folder = tmp_path / "traces"
    folder.mkdir()
    out = folder / "trace.json"
    if former:
        out.write_text(former)
    script = """
import resource, signal, sys
# What writes more than so much into a file gets an error in the midst of it, as Ctrl-C would be one.
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import apus
apus.Client(sys.argv[1]).trace(sys.argv[2])
"""
    environment = run.cluster.env | {"PYTHONPATH": str(Path(apus.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script, str(run.cluster.connection_file), str(out)], env=environment, cwd=run.cluster.ipython_dir,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "File too large" in done.stderr, done.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == ({out.name: former} if former else {})


@pytest.mark.parametrize("writer", ["command", "client"])
def test_a_trace_goes_through_links_and_pipes(commands, tmp_path, writer):
    run, client = commands
    write = client.trace if writer == "client" else lambda path: run("trace", f"--out={path}")
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    file.write_text("old")
    link.symlink_to(file)
    write(str(link))
    assert link.is_symlink() and json.loads(file.read_text())["traceEvents"]
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reading:
        write(str(pipe))
        assert json.loads(reading.communicate(timeout=40)[0])["traceEvents"]
    assert pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "pipe"]


def test_a_trace_into_what_is_open_already_leaves_the_rest(commands, tmp_path):
    run, client = commands
    log = tmp_path / "job.log"
    with log.open("a") as file:
        print("before", file=file, flush=True)
        client.trace(f"/dev/fd/{file.fileno()}")
        print("after", file=file, flush=True)
    text = log.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "traceEvents" in text


def test_a_trace_is_written_where_no_file_may_be_made_beside_it(commands, tmp_path):
    run, client = commands
    # With more at its end the name is too long.
    out = tmp_path / ("n" * 250)
    out.write_text("old")
    client.trace(str(out))
    assert json.loads(out.read_text())["traceEvents"]
    run("trace", f"--out={out}")
    assert json.loads(out.read_text())["traceEvents"] and [path.name for path in tmp_path.iterdir()] == [out.name]


def test_controllers_of_others_have_no_log(parts, tmp_path):
    parts.start("ipcontroller", of="stock")
    parts.client(0)
    with apus.Client(str(parts.security / "ipcontroller-client.json")) as client:
        with pytest.raises(apus.RemoteError):
            client.story()
        with pytest.raises(apus.RemoteError):
            client.explain("x")
    for command in (["story"], ["explain", "x"], ["trace", "--out=-"]):
        done = subprocess.run(
            [str(parts.places["apus"] / "apus"), *command], env=parts.env, cwd=tmp_path, capture_output=True, text=True, timeout=40)
        assert (done.returncode, done.stdout) == (69, "") and "no log of events" in done.stderr


def test_no_log_at_all(start_cluster):
    cluster = start_cluster(n=1, arguments=["--Cluster.controller_args=--IPController.history_limit=0"])
    with own_client(cluster) as client:
        client.wait_for_engines(1, timeout=60)
        run = Commands(cluster)
        result = client[0].apply_async(os.getpid)
        result.get(30)
        with pytest.raises(apus.RemoteError, match="history_limit"):
            client.story()
        # The task database still knows it.
        assert result.explain().codes == ["database"]
        run("story", code=1)
        # It is looked again without being told.
        watch = run.start("status", "--watch=0.05", "--json")
        try:
            assert all(json.loads(watch.stdout.readline()) for _ in range(6))
        finally:
            watch.kill()
            watch.communicate()


@pytest.mark.timeout(180)
def test_who_follows_hears_of_a_controller_that_is_started_again(run, tmp_path):
    started = run("apus", "start", "-n", "1", "--daemonize", "--journal", timeout=60)
    assert started.returncode == 0, started.stderr
    try:
        pid = json.loads(run("apus", "list", "--json").stdout)[0]["controller"]["state"]["pid"]
        file = tmp_path / "ipython" / "profile_default" / "security" / "ipcontroller-client.json"
        with apus.Client(str(file)) as client:
            events = client.story(kind=["controller_started", "engine_registered"], follow=True)
            os.kill(pid, signal.SIGKILL)
            first = next(events)
            assert first["kind"] == "controller_started" and first["number"] == 0
            # Its engine comes back to it.
            assert next(events)["kind"] == "engine_registered"
    finally:
        run("apus", "stop")


def documented():
    """The commands of docs/explain.md."""
    text = (ROOT / "docs" / "explain.md").read_text()
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S)
    return [line.removeprefix("$ apus ").split() for block in blocks for line in block.splitlines()]


def test_the_commands_of_the_page(commands):
    run, client = commands
    task = client.load_balanced_view().apply_async(os.getpid)
    task.get(30)
    lines = documented()
    assert {line[0] for line in lines} == {"explain", "story", "trace"} and len(lines) > 8
    for line in lines:
        arguments = [word.replace("ID", task.msg_ids[0]) for word in line]
        if "--follow" in arguments:
            process = run.start(*arguments)
            try:
                # It shows what was before.
                assert process.stdout.readline()
                process.send_signal(signal.SIGINT)
                assert process.wait(40) == 0
            finally:
                process.kill()
                process.communicate()
        else:
            out = run(*arguments)
            assert out or line[0] == "trace"
    assert json.loads((run.cluster.ipython_dir / "trace.json").read_text())["traceEvents"]
