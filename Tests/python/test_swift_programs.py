"""Swift programs as processes: what a user sees when engines die, input is wrong or engines are of several kinds.

The programs are what ``swift build --build-tests`` (the first ring of scripts/test) or ``swift build`` makes: Tests/Programs, Examples.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import ipyparallel as ipp
import processes
import pytest

ROOT = Path(__file__).resolve().parents[2]


class Programs:
    """Runs programs with a temporary directory of the case's own."""

    def __init__(self, directory, mark):
        built = [ROOT / ".build" / kind for kind in ("debug", "release")]
        found = [place for place in built if (place / "Faults").exists()]
        if not found:
            pytest.skip("no Swift programs were built: swift build")
        self.place = max(found, key=lambda place: (place / "Faults").stat().st_mtime)
        self.directory = directory
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("IPP_")}
        self.env = inherited | {
            "TMPDIR": str(self.temporary), "IPYTHONDIR": str(directory / "ipython"), "HOME": str(directory), processes.MARK: mark}

    def start(self, name, *words, **more):
        return subprocess.Popen(
            [str(self.place / name), *map(str, words)], env=self.env, cwd=self.directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **more)

    def run(self, name, *words, seconds=40):
        program = self.start(name, *words)
        program.out, program.err = program.communicate(timeout=seconds)
        return program

    def steps(self, *words, **more):
        """The outcome of each step of a scenario of ``Faults``, which none of them may end."""
        program = self.run("Faults", *words, **more)
        assert program.returncode == 0, program.err
        return {line["step"]: line for line in map(json.loads, program.out.splitlines())}

    def left(self):
        return sorted(path.name for path in self.temporary.iterdir())


@pytest.fixture
def programs(tmp_path, parts):
    # Everything bears the mark of the parts, who end it with theirs.
    return Programs(tmp_path, parts.mark)


SQUARES = {40: sum(i * i for i in range(40)), 4000: sum(i * i for i in range(4000))}


# Engines that die


def test_engines_killed_in_maps(programs, tmp_path):
    found = programs.steps("losses", tmp_path / "flag", "-n", 8, seconds=90)
    assert found["map with retries"]["value"] == str(SQUARES[40])
    assert found["map in chunks with retries"]["value"] == str(SQUARES[4000])
    assert found["actor map with retries"]["value"] == str(SQUARES[40])
    for name in ("map without retries", "actor map without retries", "direct map"):
        assert found[name]["error"] == "RemoteError", found[name]
        assert found[name]["name"] == "EngineError"
        assert "died while running task" in found[name]["text"]
    assert found["engines left"]["value"] == "2"
    assert found["afterwards"]["value"] == str(SQUARES[40])
    assert programs.left() == []


def test_ways_for_a_task_to_end_its_engine(programs):
    found = programs.steps("deaths", "-n", 5)
    for name in ("exit", "trap", "address", "abort"):
        assert (found[name]["error"], found[name]["name"]) == ("RemoteError", "EngineError"), found[name]
    assert found["afterwards"]["value"] == "1"
    assert programs.left() == []


def test_the_last_engine_is_killed(programs):
    found = programs.steps("lastEngine", "-n", 1)
    assert found["map"]["error"] == "RemoteError"
    assert found["map"]["name"] in ("EngineError", "TaskTimeout")
    assert (found["direct"]["error"], found["direct"]["name"]) == ("ClientError", "noEngines")
    assert found["balanced"]["name"] == "TaskTimeout"
    assert programs.left() == []


def test_a_cluster_that_follows_its_work(programs):
    found = programs.steps("following", "-n", "1-3", seconds=90)
    values = {name: line.get("value", line) for name, line in found.items()}
    assert values == {
        "at first": "1", "work": str(sum(range(40))), "then": "3", "range": "1...3", "fewer": "2", "anew": "2", "a death": "2",
        "afterwards": str(SQUARES[40])}
    assert programs.left() == []


def test_engines_that_follow_the_work_end_with_a_killed_starter(programs, wait_until):
    program = programs.start("Faults", "busy", "-n", "2-3")
    pids = json.loads(json.loads(program.stdout.readline())["value"])
    assert len(pids) == 2 and all(map(processes.runs, pids))
    program.kill()
    program.wait(40)
    wait_until(lambda: not any(map(processes.runs, pids)))


@pytest.mark.parametrize("scenario", ["wait", "busy"])
def test_an_interrupted_program_that_follows_its_work_leaves_nothing(programs, wait_until, scenario):
    program = programs.start("Faults", scenario, "-n", "2-3")
    pids = json.loads(json.loads(program.stdout.readline())["value"])
    program.send_signal(signal.SIGINT)
    assert program.wait(40) == 130
    wait_until(lambda: not any(map(processes.runs, pids)))
    assert programs.left() == []


def test_engines_end_with_a_killed_starter(programs, wait_until):
    program = programs.start("Faults", "wait", "-n", 2)
    pids = json.loads(json.loads(program.stdout.readline())["value"])
    assert len(pids) == 2 and all(map(processes.runs, pids))
    program.kill()
    program.wait(40)
    wait_until(lambda: not any(map(processes.runs, pids)))


def test_busy_engines_end_with_a_killed_starter(programs, wait_until):
    program = programs.start("Faults", "busy", "-n", 2)
    pids = json.loads(json.loads(program.stdout.readline())["value"])
    program.kill()
    program.wait(40)
    wait_until(lambda: not any(map(processes.runs, pids)))


# Ends


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("scenario", ["wait", "busy", "stubborn"])
def test_an_interrupted_program_leaves_nothing(programs, wait_until, scenario, number):
    program = programs.start("Faults", scenario, "-n", 2)
    pids = json.loads(json.loads(program.stdout.readline())["value"])
    program.send_signal(number)
    assert program.wait(40) == 130
    wait_until(lambda: not any(map(processes.runs, pids)))
    assert programs.left() == []


def test_a_second_interrupt_is_enough(programs):
    """With one it would wait for its engines for three seconds. A machine that has much to do shows nothing: once more."""
    for _ in range(10):
        program = programs.start("Faults", "stubborn", "-n", 1)
        program.stdout.readline()
        program.send_signal(signal.SIGINT)
        time.sleep(0.2)
        began = time.monotonic()
        program.send_signal(signal.SIGINT)
        assert program.wait(40) == 130
        took = time.monotonic() - began
        assert programs.left() == []
        if took < 2:
            return
    pytest.fail("each time it took as long as with one")


def test_exit_codes(programs, tmp_path):
    assert programs.run("Faults", "nothing", "-n", 1).returncode == 0
    assert programs.run("Faults", "--help").returncode == 0
    own = programs.run("Faults", "throw", "-n", 1)
    assert own.returncode == 1 and "the program's own" in own.err
    remote = programs.run("Faults", "remote", "-n", 1)
    assert remote.returncode == 1 and "oops" in remote.err
    lost = programs.run("Faults", "lost", "-n", 2)
    assert lost.returncode == 1 and "died while running task" in lost.err
    usage = programs.run("Faults", "nothing", "--engines", "several")
    assert usage.returncode == 2 and "several" in usage.err
    assert programs.run("Faults", "engine", "--speed").returncode == 2
    nowhere = programs.run("Faults", "nothing", "--file", tmp_path / "nothing.json")
    assert nowhere.returncode == 66 and "nothing.json" in nowhere.err
    assert programs.run("Faults", "engine", "--file", tmp_path / "nothing.json").returncode == 66
    for damage in ("", "{", "[]", '{"key": 1}', '{"key": "x", "registration": "many"}'):
        file = tmp_path / "damaged.json"
        file.write_text(damage)
        for role in (["nothing"], ["engine"]):
            damaged = programs.run("Faults", *role, "--file", file)
            assert damaged.returncode == 65 and "damaged.json" in damaged.err, (damage, role, damaged.err)
    assert programs.left() == []


def test_a_stale_connection_file(programs, parts, tmp_path, wait_until):
    controller = parts.start("ipcontroller", "--nodb")
    parts.client(0)
    for side in ("client", "engine"):
        (tmp_path / f"ipcontroller-{side}.json").write_text((parts.security / f"ipcontroller-{side}.json").read_text())
    controller.terminate()
    controller.wait(40)
    client = programs.run("Faults", "nothing", "--file", tmp_path / "ipcontroller-client.json", seconds=50)
    assert client.returncode == 12 and "stale" in client.err
    engine = programs.run("Faults", "engine", "--file", tmp_path / "ipcontroller-engine.json", seconds=50)
    assert engine.returncode == 12, engine.err


def test_files_of_the_wrong_side(programs, parts):
    parts.start("ipcontroller", "--nodb")
    parts.client(0)
    engine = programs.run("Faults", "engine", "--file", parts.security / "ipcontroller-client.json")
    assert engine.returncode == 65 and "-engine.json" in engine.err
    client = programs.run("Faults", "nothing", "--file", parts.security / "ipcontroller-engine.json")
    assert client.returncode == 65 and "-client.json" in client.err


# Wrong input


def test_wrong_input(programs):
    found = programs.steps("wrong", "-n", 1)
    expected = {
        "unknown engine": ("ClientError", "unknownEngine"),
        "unknown engine of a proxy": ("ClientError", "unknownEngine"),
        "unknown target": ("ClientError", "unknownEngine"),
        "empty selection": ("ClientError", "noEngines"),
        "twice the same engine": ("ClientError", "invalidArgument"),
        "captures": ("TaskError", "captures"),
        "Python without an engine for it": ("ClientError", "noEngines"),
        "Python cell without an engine for it": ("ClientError", "noEngines"),
        "coalescing": ("ClientError", "invalidArgument"),
    }
    for name, (error, code) in expected.items():
        assert (found[name].get("error"), found[name].get("name")) == (error, code), found[name]
    for name, line in found.items():
        if name not in ("afterwards", "function of a library", "an empty argument"):
            assert "error" in line, line
        if "unwritable" in name or name in ("actor's argument", "actor's result"):
            assert "a stubborn value" in line["text"], line
        if "unreadable" in name:
            assert "there is no way back" in line["text"], line
    assert found["an empty argument"]["value"] == "7"
    assert found["afterwards"]["value"] == str(sum(i * i for i in range(10)))


def test_engines_of_another_program(programs, parts):
    parts.start("ipcontroller", "--nodb")
    parts.client(0)
    for _ in range(2):
        programs.start("WordCount", "engine", "--file", parts.security / "ipcontroller-engine.json")
    parts.client(2)
    found = programs.steps("foreign", "--file", parts.security / "ipcontroller-client.json")
    for name, line in found.items():
        if name == "push and pull":
            assert line["value"] == "[[1.5, 2.0], [1.5, 2.0]]"
        elif "actor" in name:
            assert "Taker" in line["text"] and "program" in line["text"], line
        else:
            assert "build" in line["text"] or "program" in line["text"], line


# Both kinds of engines


@pytest.fixture
def mixed(programs, parts):
    """Two engines of each kind."""
    parts.start("ipcontroller", "--dictdb")
    parts.client(0)
    for _ in range(2):
        parts.start("ipengine")
        programs.start("Faults", "engine", "--file", parts.security / "ipcontroller-engine.json")
    return parts.client(4)


def test_each_task_finds_its_kind(programs, parts, mixed):
    found = programs.steps("mixed", "--file", parts.security / "ipcontroller-client.json")
    assert found["kinds"]["value"] == "[2, 2]"
    swift, python = (json.loads(found[f"{kind} engines"]["value"]) for kind in ("Swift", "Python"))
    assert len(swift) == len(python) == 2 and not set(swift) & set(python)
    assert set(json.loads(found["balanced Swift"]["value"])) <= set(swift)
    assert set(json.loads(found["balanced Python"]["value"])) <= set(python)
    values = {
        "Python map": str(sum(i * i for i in range(100))), "Python cell": "42\n", "broadcast Swift": "[1, 1]",
        "broadcast Python": "[1, 1]", "push to all Swift": "[5, 5]", "push to all Python": "[6, 6]",
        "afterwards": str(sum(i * i for i in range(10)))}
    for name, value in values.items():
        assert found[name].get("value") == value, found[name]
    for name in ("Swift on a Python engine", "Swift with a Python target"):
        assert "Swift engine" in found[name].get("text", ""), found[name]
    for name in ("Python on a Swift engine", "Python with a Swift target"):
        assert found[name].get("error") == "ClientError", found[name]


def test_tasks_of_a_stock_client_pass_by_swift_engines(mixed):
    view = mixed.load_balanced_view()
    assert view.map_sync(abs, range(-40, 0)) == list(range(40, 0, -1))
    tasks = [view.apply_async(os.getpid) for _ in range(20)]
    assert len({task.get(40) for task in tasks}) <= 2
    with pytest.raises(ipp.error.RemoteError) as caught:
        view.apply_async(int, "nothing").get(40)
    assert caught.value.ename == "ValueError"
    # Sent to it by its number, a task ends with words about what the engine is.
    refused = 0
    for number in mixed.ids:
        try:
            mixed[number].apply_async(os.getpid).get(40)
        except ipp.error.RemoteError as error:
            refused += 1
            assert "Swift" in str(error)
    assert refused == 2


def test_a_task_that_only_swift_engines_could_take_ends(programs, parts):
    parts.start("ipcontroller", "--nodb")
    parts.client(0)
    programs.start("Faults", "engine", "--file", parts.security / "ipcontroller-engine.json")
    client = parts.client(1)
    with pytest.raises(ipp.error.RemoteError) as caught:
        client.load_balanced_view().apply_async(os.getpid).get(40)
    assert "Python" in str(caught.value)


def test_a_swift_engine_leaves_when_it_is_told(programs, parts, wait_until):
    parts.start("ipcontroller", "--nodb")
    parts.client(0)
    engines = [programs.start("Faults", "engine", "--file", parts.security / "ipcontroller-engine.json") for _ in range(3)]
    client = parts.client(3)
    engines[0].send_signal(signal.SIGTERM)
    assert engines[0].wait(40) in (0, 143, -signal.SIGTERM)
    wait_until(lambda: len(client.ids) == 2)
    engines[1].kill()
    wait_until(lambda: len(client.ids) == 1)
    client.shutdown(block=True)
    assert engines[2].wait(40) == 0
