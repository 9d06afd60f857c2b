"""What tasks mean, by the cases that the Swift client runs too: Tests/semantics. Here a stock client runs them."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import ipyparallel as ipp
import pytest
from ipyparallel.error import EngineError, RemoteError, TaskAborted

SEMANTICS = Path(__file__).resolve().parents[1] / "semantics"
CASES = json.loads((SEMANTICS / "cases.json").read_text())
sys.path.insert(0, str(SEMANTICS))
import semantic_tasks  # noqa: E402

LIMIT = 40


class Run:
    """One case: its clients, its tasks by name, and the directory that they know."""

    def __init__(self, connect, box: Path, engines: int):
        self.connect = connect
        self.clients = {"main": connect(engines)}
        self.box = box
        self.ids = self.clients["main"].ids
        self.pids = self.clients["main"][:].apply_sync(os.getpid)
        self.tasks = {}
        self.refused = set()
        (box / "log").touch()
        (box / "engines").write_text(json.dumps(self.pids))

    def client(self, name="main"):
        if name not in self.clients:
            self.clients[name] = self.connect(len(self.ids))
        return self.clients[name]

    # Steps

    def step(self, step):
        match step:
            case {"submit": name}:
                self.submit(name, step)
            case {"wait": names}:
                for name in names:
                    assert self.tasks[name].wait(LIMIT), f"{name} did not end"
            case {"begun": names}:
                for name in names:
                    self.until(lambda: any(line[:2] == ["begin", name] for line in self.log()), f"{name} did not begin")
            case {"set": flag}:
                (self.box / flag).touch()
            case {"abort": names}:
                self.client().abort([self.tasks[name] for name in names], block=True)
            case {"kill": number}:
                os.kill(self.pids[number], signal.SIGKILL)
                self.until(lambda: self.ids[number] not in self.client().ids, "the engine's loss was not told")
            case {"interrupt": number}:
                self.client().send_signal(signal.SIGINT, self.ids[number], block=True)
            case _:
                pytest.fail(f"no such step: {step}")

    def submit(self, name, step):
        function = getattr(semantic_tasks, step["call"])
        try:
            view = self.view(step)
        except LookupError:
            self.refused.add(name)
            return
        self.tasks[name] = view.apply_async(function, str(self.box), name, *step["args"])

    def view(self, step):
        client = self.client(step.get("client", "main"))
        numbers = step.get("targets")
        targets = [self.ids[n] if n < len(self.ids) else n for n in numbers] if numbers else None
        match step.get("view", "balanced"):
            case "direct":
                return client.direct_view(targets or "all")
            case "broadcast":
                return client.broadcast_view(targets or "all")
            case "coalescing":
                return client.broadcast_view(targets or "all", is_coalescing=True)
        view = client.load_balanced_view(targets)
        flags = {key: step[key] for key in ("retries", "timeout", "label") if key in step}
        flags |= {key: self.dependency(step[key]) for key in ("after", "follow") if key in step}
        view.set_flags(**flags)
        return view

    def dependency(self, words):
        ids = [name[1:] if name.startswith("?") else self.tasks[name].msg_ids[0] for name in words["on"]]
        return ipp.Dependency(ids, all=words["all"], success=words["success"], failure=words["failure"])

    # What came of it

    def log(self):
        return [line.split() for line in (self.box / "log").read_text().splitlines()]

    def until(self, condition, complaint):
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline, complaint
            time.sleep(0.002)

    def outcome(self, name):
        if name in self.refused:
            return {"refused": True}
        task = self.tasks[name]
        assert task.wait(LIMIT), f"{name} did not end"
        try:
            result = task.get(0, return_exceptions=True)
        except (RemoteError, EngineError, TaskAborted) as error:
            return told(error)
        return list(map(told, result)) if isinstance(result, list) else told(result)

    def engines_of(self, name):
        return [int(line[2]) for line in self.log() if line[:2] == ["begin", name]]


def told(result):
    match result:
        case TaskAborted():
            return {"aborted": True}
        case RemoteError(ename="TaskAborted"):
            return {"aborted": True}
        case RemoteError():
            return {"error": result.ename}
        case Exception():
            return {"error": type(result).__name__}
    return {"value": result}


def matches(expected, found):
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(matches, expected, found))
    if isinstance(expected.get("error"), list):
        return isinstance(found, dict) and found.get("error") in expected["error"]
    return expected == found


@pytest.mark.parametrize("case", CASES, ids=[case["name"].replace(" ", "-") for case in CASES])
def test_semantics(parts, tmp_path, case):
    path = os.pathsep.join([str(SEMANTICS), parts.env["PYTHONPATH"]])
    parts.start("ipcontroller", "--dictdb")
    for number in range(case["engines"]):
        parts.start("ipengine", PYTHONPATH=path)
    box = tmp_path / "box"
    box.mkdir()
    run = Run(parts.client, box, case["engines"])
    for step in case["steps"]:
        run.step(step)
    for name, expected in case["expect"].items():
        found = run.outcome(name)
        assert matches(expected, found), f"{name}: {found}"
    events = [" ".join(line[:2]) for line in run.log()]
    for first, second in case.get("order", []):
        assert events.index(first) < events.index(second), f"{second} before {first}"
    for name, count in case.get("runs", {}).items():
        assert len(run.engines_of(name)) == count, f"runs of {name}"
    for name in case.get("different", []):
        assert len(set(run.engines_of(name))) == len(run.engines_of(name)), f"{name} came to an engine twice"
    for first, second in case.get("same", []):
        assert run.engines_of(first) == run.engines_of(second)
    for name, numbers in case.get("among", {}).items():
        assert set(run.engines_of(name)) <= set(numbers)
    for name, label in case.get("labels", {}).items():
        found = run.client().db_query({"label": label}, keys=["msg_id"])
        assert [record["msg_id"] for record in found] == run.tasks[name].msg_ids
