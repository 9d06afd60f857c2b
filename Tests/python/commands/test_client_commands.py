"""The commands that are clients of a cluster: px, run, status, tasks, abort. docs/commands.md says the same in words; the others that are
clients are in test_story.py."""

import json
import os
import re
import signal
import threading
import time

import pytest
from client_commands import SLEEP, Commands


@pytest.fixture
def apus(cluster, tmp_path):
    return Commands(cluster.bin_dir, cluster.env, tmp_path)


def lines(text: str) -> list[str]:
    return sorted(text.splitlines())


# px


def test_px_prints_and_shows_values(apus):
    result = apus("px", "print('one\\ntwo', end='')\nimport sys\nprint('bad', file=sys.stderr)\nx = 6\nx * 7")
    assert result.returncode == 0
    out = result.stdout.splitlines()
    assert sorted(out[:4]) == ["[stdout:0] one", "[stdout:0] two", "[stdout:1] one", "[stdout:1] two"]
    # Values come last, in the order of the engines.
    assert [re.sub(r":\d+\]", ":N]", line) for line in out[4:]] == ["Out[0:N]: 42", "Out[1:N]: 42"]
    assert lines(result.stderr) == ["[stderr:0] bad", "[stderr:1] bad"]


@pytest.mark.parametrize("targets, engines", [("0", [0]), ("1,0", [0, 1]), ("::2", [0]), ("-1:", [1]), ("all", [0, 1]), ("0:4:2", [0])])
def test_px_runs_where_it_is_told(apus, targets, engines):
    document = apus.json("px", f"--targets={targets}", "1 + 1")
    assert document["status"] == "ok"
    assert [engine["engine"] for engine in document["engines"]] == engines
    assert {engine["result"] for engine in document["engines"]} == {"2"}


def test_names_stay_in_the_engines(apus):
    assert apus("px", "-t", "1", "only_there = 'here'").returncode == 0
    result = apus("px", "only_there")
    assert result.returncode == 1
    assert "'here'" in result.stdout
    assert "[0:execute]" in result.stderr and "NameError: name 'only_there' is not defined" in result.stderr
    assert "[1:execute]" not in result.stderr
    assert "\x1b" not in result.stderr + result.stdout
    assert result.stderr.splitlines()[-1] == "error: failed on engine 0: NameError: name 'only_there' is not defined"


def test_px_shows_output_while_the_code_runs(apus):
    process = apus.start("px", "--targets=0", SLEEP)
    try:
        assert process.stdout.readline() == "[stdout:0] started\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "KeyboardInterrupt" in errors
    # The engine is free.
    assert apus("px", "--targets=0", "1", timeout=40).returncode == 0


def test_px_reads_standard_input(apus):
    assert apus.json("px", "-", text="def double(x):\n    return 2 * x\n\ndouble('ä')")["engines"][1]["result"] == "'ää'"


def test_px_ends_when_the_time_is_over(apus):
    # Time enough for the engines to begin; what they do takes longer than the command is waited for.
    document = apus.json("px", "--timeout=3", SLEEP, code=124)
    assert document["status"] == "timeout"
    assert [(engine["status"], engine["error"]["name"], engine["stdout"]) for engine in document["engines"]] == [
        ("error", "KeyboardInterrupt", "started\n")] * 2


def test_px_as_json(apus):
    document = apus.json("px", "import sys\nprint('o')\nprint('e', file=sys.stderr)\ndisplay('shown')\n1/0", code=1)
    assert document["status"] == "error"
    for number, engine in enumerate(document["engines"]):
        assert (engine["engine"], engine["status"], engine["stdout"], engine["stderr"]) == (number, "error", "o\n", "e\n")
        assert engine["displays"] == ["'shown'"]
        assert engine["result"] is None
        assert engine["error"]["name"] == "ZeroDivisionError" and "1/0" in "".join(engine["error"]["traceback"])
        assert "\x1b" not in "".join(engine["error"]["traceback"])


def test_px_as_a_stream_of_json(apus):
    result = apus("px", "--json", "--stream", "print('o')\n5")
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert {"engine": 1, "stream": "stdout", "text": "o\n"} in documents[:2]
    assert [(document["engine"], document["result"]) for document in documents[2:]] == [(0, "5"), (1, "5")]


def test_an_engine_that_dies(own):
    document = own.json("px", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "--targets=0", code=1)
    (engine,) = document["engines"]
    assert engine["status"] == "lost"
    assert engine["error"]["name"] == "EngineError"
    assert own("px", "--targets=1", "1").returncode == 0
    gone = own("px", "--targets=0", "1")
    assert (gone.returncode, "engine 0 is not registered" in gone.stderr, "There are engines 1" in gone.stderr) == (13, True, True)


# run


SCRIPT = '''# -*- coding: latin-1 -*-
"""A script."""
import os, sys

VALUE = "\xe4"

def fail():
    raise ValueError(VALUE)

if __name__ == "__main__":
    print(sys.argv[1:], os.path.basename(__file__), VALUE)
    import beside
    answer = beside.ANSWER
    if "--fail" in sys.argv:
        fail()
    if "--exit" in sys.argv:
        sys.exit(int(sys.argv[-1]))
'''


@pytest.fixture
def script(tmp_path):
    directory = tmp_path / "scripts"
    directory.mkdir()
    (directory / "beside.py").write_text("ANSWER = 42\n")
    (directory / "work.py").write_bytes(SCRIPT.encode("latin-1"))
    return "scripts/work.py"


def test_run_is_like_python(apus, script):
    result = apus("run", script, "a b", "--json", "-x", "'\"\\\n", "é")
    assert result.returncode == 0, result.stderr
    said = str(["a b", "--json", "-x", "'\"\\\n", "é"]) + " work.py ä"
    assert lines(result.stdout) == [f"[stdout:0] {said}", f"[stdout:1] {said}"]
    # Names are kept, and nothing of the engine is changed.
    after = apus.json("px", "import sys\nanswer, __name__, '--json' in sys.argv, '_apus_run_script' in globals(), __name__ in sys.modules")
    assert {engine["result"] for engine in after["engines"]} == {"(42, '__main__', False, False, True)"}


def test_run_shows_where_a_script_failed(apus, script):
    result = apus("run", "--targets=0", script, "--fail")
    assert result.returncode == 1
    assert "[0:execute]" in result.stderr and "ValueError: ä" in result.stderr
    assert "work.py" in result.stderr and "raise ValueError(VALUE)" in result.stderr


@pytest.mark.parametrize("code, expected", [(0, 0), (3, 1)])
def test_run_ends_as_the_script_ends(apus, script, code, expected):
    result = apus("run", "--targets=0", script, "--exit", str(code))
    assert result.returncode == expected
    assert ("exit code 3" in result.stderr) == (code == 3)


def test_run_reads_standard_input(apus):
    assert "[stdout:0] ['<stdin>', '5']" in apus("run", "-t0", "-", "5", text="import sys; print(sys.argv)").stdout


def test_a_script_with_a_mistake(apus, tmp_path):
    (tmp_path / "wrong.py").write_text("x = = 5\n")
    result = apus("run", "--json", "wrong.py")
    assert result.returncode == 1
    assert {engine["error"]["name"] for engine in json.loads(result.stdout)["engines"]} == {"SyntaxError"}


# status


def test_status(own):
    assert own("px", "1").returncode == 0
    result = own("status")
    assert result.returncode == 0, result.stderr
    head, engines, tasks, _, titles, *rows = result.stdout.splitlines()
    assert re.fullmatch(r"Controller  tcp://127\.0\.0\.1:\d+  .*/ipcontroller-client\.json", head)
    assert engines.split(maxsplit=1) == ["Engines", "2 (2 python)"]
    assert tasks == "Tasks       0 under way, 0 of them wait for an engine; 0.0 tasks/s"
    assert titles.split() == ["ENGINE", "KIND", "QUEUED", "TASKS", "DONE", "TASKS/S"]
    assert [row.split() for row in rows] == [["0", "python", "0", "0", "1", "0.0"], ["1", "python", "0", "0", "1", "0.0"]]
    document = own.json("status", "--interval=0")
    assert [(e["id"], e["kind"], e["completed"], e["rate"]) for e in document["engines"]] == [(0, "python", 1, None), (1, "python", 1, None)]


def test_status_measures_rates(apus, client):
    """Work goes on while it looks twice."""
    view = client.load_balanced_view()
    stop = threading.Event()

    def work():
        while not stop.is_set():
            view.map_sync(str, range(20), chunksize=1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert apus.json("status")["rate"] > 0
    finally:
        stop.set()
        thread.join()


def test_status_watches_until_ctrl_c(apus):
    process = apus.start("status", "--json", "--watch=0.05")
    try:
        looks = [json.loads(process.stdout.readline()) for _ in range(3)]
        # Nothing goes on, and it looks no more; until something does.
        assert apus("px", "1").returncode == 0
        looks.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == 0
    assert looks[0]["rate"] is None and looks[2]["rate"] == 0 and looks[3]["rate"] is not None


# tasks and abort


def test_tasks(own):
    assert own("px", "--targets=0", "1").returncode == 0
    assert own("px", "1/0").returncode == 1
    first, *failed = tasks = own.json("tasks")
    assert [(task["engine"], task["status"], task["label"]) for task in tasks] == [
        (0, "done", "apus px"), (0, "failed", "apus px"), (1, "failed", "apus px")]
    assert failed[0]["error"] == "ZeroDivisionError: division by zero"
    assert first["submitted"] <= first["started"] <= first["completed"] and 0 <= first["duration_s"] < 60
    assert own.json("tasks", "--limit=2") == failed
    assert own.json("tasks", "--status=done") == [first]
    assert own.json("tasks", "--status=failed", "--limit=1") == failed[1:]
    assert own.json("tasks", "--engine=1") == own.json("tasks", f"--engine={failed[1]['engine_uuid']}") == failed[1:]
    assert own.json("tasks", "--label=apus*") == tasks
    assert own.json("tasks", "--label=nothing") == own.json("tasks", "--status=running") == own.json("tasks", "--status=pending") == []
    assert own.json("tasks", "--since=1h") == tasks
    assert own.json("tasks", f"--since={first['submitted'][:19]}") == tasks
    assert own.json("tasks", "--since=2100-01-01") == []
    assert own.json("tasks", first["id"]) == [first]
    titles, *rows = own("tasks").stdout.splitlines()
    assert titles.split() == ["ID", "LABEL", "ENGINE", "STATE", "SUBMITTED", "DURATION", "ERROR"]
    assert [row.split()[0] for row in rows] == [task["id"] for task in tasks]


def test_abort_ends_what_runs_and_what_waits(own, wait_until):
    process = own.start("px", SLEEP)
    # It runs when it prints: only then does the other one find the engines busy.
    assert process.stdout.readline()
    waiting = own.start("px", "1")
    try:
        wait_until(lambda: len(own.json("tasks", "--status=running")) == 4)
        tasks = own.json("tasks", "--status=running")
        mine = [task["id"] for task in tasks if task["engine"] == 0]
        assert own.json("abort", mine[0])["aborted"] == [mine[0]]
        assert set(own.json("abort", "--all")["aborted"]) >= {task["id"] for task in tasks if task["engine"] == 1}
        assert process.wait(40) == 1
        assert waiting.wait(40) == 1
    finally:
        process.kill()
        waiting.kill()
    assert "KeyboardInterrupt" in process.communicate()[1]
    assert own.json("abort", "--all")["aborted"] == []
    ended = own("abort", mine[0])
    assert (ended.returncode, ended.stdout) == (0, "0 tasks aborted, 1 had ended before\n")


def test_abort_of_queued_tasks_lets_what_runs_go_on(own, wait_until):
    process = own.start("px", "--targets=0", SLEEP)
    try:
        assert process.stdout.readline()
        (task,) = own.json("tasks", "--status=running")
        result = own("abort", "--all", "--queued", "--timeout=0.3")
        assert (result.returncode, "not ended yet" in result.stderr) == (1, True)
        assert process.poll() is None
        assert own("abort", task["id"]).stdout == "1 task aborted\n"
    finally:
        process.kill()


def test_abort_of_balanced_tasks_of_another_client(parts, bin_dir, wait_until):
    """One runs, one is in the engine's queue or at the scheduler."""
    parts.start("ipcontroller", "--hwm=1")
    engine = parts.start("ipengine")
    view = parts.client(1).load_balanced_view()
    commands = Commands(bin_dir, parts.env, parts.directory)
    tasks = [view.apply_async(time.sleep, 60), view.apply_async(int)]
    wait_until(lambda: [task["status"] for task in commands.json("tasks")] == ["running", "pending"])
    status = commands.json("status", "--interval=0")
    assert (status["engines"][0]["tasks"], status["unassigned"]) == (1, 1)
    assert set(commands.json("abort", "--all")["aborted"]) == {id for task in tasks for id in task.msg_ids}
    assert [task["status"] for task in commands.json("tasks")] == ["failed", "failed"]
    assert engine.poll() is None


def test_abort_where_no_engine_is_left(parts, bin_dir, wait_until):
    parts.start("ipcontroller", "--hwm=1")
    engine = parts.start("ipengine")
    view = parts.client(1).load_balanced_view()
    commands = Commands(bin_dir, parts.env, parts.directory)
    view.apply_async(time.sleep, 60)
    waiting = view.apply_async(int)
    wait_until(lambda: [task["status"] for task in commands.json("tasks")] == ["running", "pending"])
    engine.kill()
    engine.wait()
    wait_until(lambda: [task["status"] for task in commands.json("tasks")] == ["failed", "pending"])
    assert commands.json("status")["engines"] == []
    assert commands.json("abort", "--all")["aborted"] == waiting.msg_ids
    assert commands("tasks", "--status=failed", "--json").stdout.count("EngineError") == 1


# with ipyparallel's own parts


@pytest.mark.parametrize("controller, engines", [("apus", "stock"), ("stock", "apus")])
def test_with_stock_parts(parts, bin_dir, controller, engines):
    parts.start("ipcontroller", of=controller)
    parts.client(0)
    parts.start("ipengine", of=engines)
    parts.start("ipengine", of=engines)
    parts.client(2, seconds=60)
    commands = Commands(bin_dir, parts.env, parts.directory)
    document = commands.json("px", "print('hello')\n6 * 7")
    assert [(engine["result"], engine["stdout"]) for engine in document["engines"]] == [("42", "hello\n")] * 2
    assert commands("px", "--timeout=0.5", SLEEP).returncode == 124
    assert commands.json("px", "1")["status"] == "ok"
    assert [engine["kind"] for engine in commands.json("status")["engines"]] == ["python"] * 2
    assert {task["status"] for task in commands.json("tasks")} == {"done", "failed"}


# what goes wrong


@pytest.mark.parametrize("command", ["px 1", "run x.py", "status", "tasks", "abort --all"])
def test_no_cluster(run, tmp_path, command):
    (tmp_path / "x.py").write_text("")
    result = run("apus", *command.split())
    assert (result.returncode, "no cluster was found" in result.stderr, "apus start" in result.stderr) == (12, True, True)


def test_a_stale_file(cluster, run, tmp_path):
    description = json.loads(cluster.connection_file.read_text())
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**description, "key": "another"}))
    result = run("apus", "status", f"--file={path}", "--connect-timeout=1")
    assert (result.returncode, "did not answer" in result.stderr, "earlier cluster" in result.stderr) == (12, True, True)


def test_a_file_whose_controller_is_gone(start_cluster, run, tmp_path):
    cluster = start_cluster(n=0)
    cluster.client()
    path = tmp_path / "old.json"
    path.write_text(cluster.connection_file.read_text())
    cluster.stop()
    result = run("apus", "px", f"--file={path}", "--connect-timeout=0.5", "1")
    assert (result.returncode, "stale" in result.stderr, "apus list" in result.stderr) == (12, True, True)


@pytest.mark.parametrize(
    "command, code, words",
    [
        ("px", 2, "no code"),
        ("px a b", 2, "between quotes"),
        ("px --targets=9 1", 13, "engine 9 is not registered"),
        ("px --targets=x 1", 2, "--targets=0,2"),
        ("px --targets=5: 1", 13, "none of the engines"),
        ("px --stream 1", 2, "--json --stream"),
        ("px --timeout=soon 1", 2, "10m"),
        ("run", 2, "no script"),
        ("run nowhere.py", 66, "nowhere.py"),
        ("run --targets=0 .", 66, "script cannot be read"),
        ("status --file=nowhere.json", 66, "nowhere.json"),
        ("status --profile=nobody", 66, "profile_nobody"),
        ("status --cluster-id=nobody", 12, "no cluster was found"),
        ("status extra", 2, "takes no argument"),
        ("tasks --status=odd", 2, "pending, running, done, failed"),
        ("tasks --since=yesterday", 2, "2026-01-31T09:00"),
        ("tasks --engine=77", 13, "engine 77"),
        ("tasks nobody", 13, "there is no task nobody"),
        ("abort", 2, "--all"),
        ("abort --all x", 2, "--all"),
        ("abort nobody", 13, "nothing was aborted"),
    ],
)
def test_what_goes_wrong_is_said(apus, command, code, words):
    result = apus(*command.split())
    assert (result.returncode, words in result.stderr) == (code, True), result.stderr
    assert "Fatal" not in result.stderr and not result.stdout


@pytest.mark.parametrize("text, code", [("{", 65), ("{}", 65), ("[]", 65)])
def test_damaged_files(apus, tmp_path, text, code):
    (tmp_path / "file.json").write_text(text)
    assert apus("status", "--file=file.json").returncode == code


def test_an_engines_file(apus, cluster):
    result = apus("status", f"--file={os.fspath(cluster.connection_file).replace('-client', '-engine')}")
    assert (result.returncode, "-client.json" in result.stderr) == (65, True)


def test_without_a_task_database(start_cluster, tmp_path):
    cluster = start_cluster(n=1, arguments=["--", "--nodb"])
    cluster.client()
    commands = Commands(cluster.bin_dir, cluster.env, tmp_path)
    assert commands.json("px", "1")["status"] == "ok"
    result = commands("tasks")
    assert (result.returncode, "--nodb" in result.stderr) == (1, True)
    process = commands.start("px", SLEEP)
    try:
        assert process.stdout.readline()
        assert len(commands.json("abort", "--all")["aborted"]) == 1
        assert process.wait(40) == 1
    finally:
        process.kill()


def test_without_engines(parts, bin_dir):
    parts.start("ipcontroller")
    parts.client(0)
    commands = Commands(bin_dir, parts.env, parts.directory)
    result = commands("px", "1")
    assert (result.returncode, "apus engines" in result.stderr) == (13, True)
    assert commands.json("status")["engines"] == []
    assert commands.json("tasks") == []
    assert commands.json("abort", "--all")["aborted"] == []


@pytest.mark.parametrize("command", ["px", "run", "status", "tasks", "explain", "story", "trace", "abort"])
@pytest.mark.parametrize("option", ["--help", "--help-all"])
def test_help(run, command, option):
    result = run("apus", command, option)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"Usage: apus {command}" in result.stdout and "Examples" in result.stdout
    assert "ipcluster" not in result.stdout.split("Everything that can be configured")[0]
