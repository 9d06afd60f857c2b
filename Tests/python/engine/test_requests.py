"""What an engine answers, frame by frame."""

import json
import math
import operator
import os
import pickle

import pytest


def test_result_and_metadata(shared):
    reply = shared.request(
        "task", "apply_request", buffers=shared.apply_buffers(operator.add, 1, 2), metadata={"label": "sum", "after": [], "retries": 0}
    )
    assert pickle.loads(reply["buffers"][0]) == 3
    assert reply.msg_type == "apply_reply"
    assert reply["content"] == {"status": "ok"}
    metadata = reply["metadata"]
    assert metadata.pop("started").endswith("Z")
    assert metadata == {
        "dependencies_met": True, "engine": shared.engine.decode(), "is_broadcast": False, "is_coalescing": False, "original_msg_id": "",
        "label": "sum", "status": "ok",
    }  # fmt: skip
    assert reply["header"]["session"] == shared.engine.decode()


def test_broadcast_metadata_comes_back(shared):
    metadata = {"is_broadcast": True, "is_coalescing": True, "original_msg_id": "abc", "targets": []}
    reply = shared.request("broadcast", "apply_request", buffers=shared.apply_buffers(os.getpid), metadata=metadata)
    assert {key: reply["metadata"][key] for key in ("is_broadcast", "is_coalescing", "original_msg_id")} == {
        "is_broadcast": True, "is_coalescing": True, "original_msg_id": "abc",
    }  # fmt: skip


def test_error(shared):
    reply = shared.request("mux", "apply_request", buffers=shared.apply_buffers(math.sqrt, -1))
    content = reply["content"]
    assert (content["status"], content["ename"], content["evalue"]) == ("error", "ValueError", "math domain error")
    assert content["engine_info"] == {"engine_uuid": shared.engine.decode(), "engine_id": 0, "method": "apply"}
    assert any("ValueError" in line for line in content["traceback"])
    assert reply["metadata"]["status"] == "error"
    assert reply["metadata"]["dependencies_met"] is True
    assert reply["buffers"] == []
    assert shared.output("error")["content"]["ename"] == "ValueError"


def test_unmet_dependency_is_told_by_its_name(shared):
    code = "class UnmetDependency(Exception): pass\ndef refuse(): raise UnmetDependency()"
    shared.apply(exec, code, {})
    with pytest.raises(RuntimeError, match="UnmetDependency"):
        shared.apply(eval, "(_ for _ in ()).throw(type('UnmetDependency', (Exception,), {})())")
    frames = shared.apply_buffers(eval, "(_ for _ in ()).throw(type('UnmetDependency', (Exception,), {})())")
    assert shared.request("task", "apply_request", buffers=frames)["metadata"]["dependencies_met"] is False


def test_system_exit_is_an_error(shared):
    with pytest.raises(RuntimeError, match="SystemExit"):
        shared.apply(eval, "exit_(3)", {"exit_": __import__("sys").exit})
    assert shared.apply(operator.add, 1, 1) == 2


def test_status_around_each_request(shared):
    shared.drain(0.2)
    id = shared.send("mux", shared.frames("apply_request", buffers=shared.apply_buffers(print, "hello")))
    shared.receive("mux")
    messages = [message for message in shared.drain() if message["parent_header"].get("msg_id") == id]
    # A call says when it ends. Code says when it begins, too.
    assert [message.msg_type for message in messages] == ["stream", "status"]
    assert [message["idents"] for message in messages] == [[b"engine.0.stdout"], [b"engine.0.status"]]
    assert messages[0]["content"] == {"name": "stdout", "text": "hello\n"}
    assert messages[1]["content"] == {"execution_state": "idle"}
    id = shared.send("mux", shared.frames("execute_request", {"code": "1", "silent": True}))
    shared.receive("mux")
    states = [message["content"] for message in shared.drain() if message["parent_header"].get("msg_id") == id]
    assert states == [{"execution_state": "busy"}, {"execution_state": "idle"}]


def test_output_of_a_long_task_comes_early(shared, tmp_path):
    shared.drain(0.1)
    gate = tmp_path / "gate"
    code = f"import os, time; print('early')\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    shared.send("mux", shared.frames("apply_request", buffers=shared.apply_buffers(exec, code)))
    # The task goes on only when its output has come.
    assert shared.output("stream")["content"]["text"] == "early\n"
    gate.touch()
    shared.receive("mux")


def test_standard_error_and_binary_output(shared):
    shared.drain(0.1)
    shared.apply(exec, "import sys; sys.stderr.write('oh'); sys.stdout.buffer.write(b'\\xc3\\xa4'); sys.stdout.write('\\udc80!')")
    found = {m["content"]["name"]: m["content"]["text"] for m in shared.drain() if m.msg_type == "stream"}
    assert found == {"stderr": "oh", "stdout": "ä?!"}


def test_large_buffers_are_not_pickled(shared):
    reply = shared.request("mux", "apply_request", buffers=shared.apply_buffers(operator.mul, b"x", 2_000_000))
    assert len(reply["buffers"]) == 2
    assert reply["buffers"][1] == b"x" * 2_000_000


def test_execute(shared):
    shared.drain(0.1)
    reply = shared.execute("a = 20\na + 1")
    content = reply["content"]
    assert content["status"] == "ok"
    assert content["execution_count"] == 1
    assert (content["user_expressions"], content["payload"]) == ({}, [])
    messages = {message.msg_type: message["content"] for message in shared.drain()}
    assert messages["execute_input"] == {"code": "a = 20\na + 1", "execution_count": 1}
    assert messages["execute_result"]["data"] == {"text/plain": "21"}
    assert messages["execute_result"]["execution_count"] == 1


def test_execute_await_magic_and_expression(shared):
    assert shared.execute("import asyncio\nawait asyncio.sleep(0.01)\nb = 5")["content"]["status"] == "ok"
    reply = shared.execute("%timeit -n1 -r1 pass", user_expressions={"b": "b + 1"})
    assert reply["content"]["user_expressions"]["b"]["data"]["text/plain"] == "6"


def test_execute_error_aborts_queued_cells_only(shared, tmp_path):
    gate = tmp_path / "gate"
    code = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n1/0"
    shared.send("mux", shared.frames("execute_request", {"code": code, "silent": False}))
    cell = shared.send("mux", shared.frames("execute_request", {"code": "1", "silent": False}))
    task = shared.send("mux", shared.frames("apply_request", buffers=shared.apply_buffers(os.getpid)))
    # They are in the engine's queue by now, or will be when the answers of this thread are.
    shared.request("control", "abort_request", {"msg_ids": ["none"]})
    gate.touch()
    replies = {}
    for _ in range(3):
        reply = shared.receive("mux")
        replies[reply["parent_header"]["msg_id"]] = reply
    assert replies[cell]["content"] == {"status": "aborted"}
    assert replies[cell]["metadata"]["status"] == "aborted"
    assert replies[cell].msg_type == "execute_reply"
    assert replies[task]["content"]["status"] == "ok"


def test_input_is_refused(shared):
    with pytest.raises(RuntimeError, match="EOFError: .*no standard input"):
        shared.apply(eval, "input('name? ')")
    reply = shared.execute("input()")
    assert "no standard input" in reply["content"]["evalue"]
    assert reply["content"]["ename"] == "StdinNotImplementedError"


def test_standard_input_is_at_its_end(shared):
    assert shared.apply(eval, "(lambda s: (s.read(), s.readline(), list(s), len(s.buffer.read()), s.isatty()))(__import__('sys').stdin)") == (
        "", "", [], 0, False)


@pytest.mark.parametrize("kind", ["foo", "comm_nothing", "no_such_request"])
def test_every_kind_of_request_is_answered(shared, kind):
    shared.send("task", shared.frames(kind))
    reply = shared.receive("task")
    assert reply["content"]["status"] == "error" and reply["content"]["ename"] == "NotImplementedError"
    assert kind in reply["content"]["evalue"]


def test_get_ipython_and_display_in_tasks(shared):
    assert shared.apply(eval, "get_ipython().kernel.engine_id") == 0
    shared.drain(0.1)
    shared.apply(exec, "from IPython.display import HTML; display(HTML('<b>x</b>'))")
    shown = [message for message in shared.drain() if message.msg_type == "display_data"]
    assert shown[0]["content"]["data"]["text/html"] == "<b>x</b>"
    assert shown[0]["idents"] == [b"engine.0.displaypub"]


def test_clear(shared):
    shared.execute("kept = 1")
    assert shared.request("control", "clear_request")["content"] == {"status": "ok"}
    with pytest.raises(RuntimeError, match="NameError"):
        shared.apply(eval, "get_ipython().user_ns['kept'] if 0 else kept")


def test_kernel_questions(shared):
    info = shared.request("control", "kernel_info_request")["content"]
    assert (info["status"], info["implementation"], info["language_info"]["name"]) == ("ok", "apus", "python")
    matches = shared.request("mux", "complete_request", {"code": "prin", "cursor_pos": 4})["content"]["matches"]
    assert "print" in matches
    assert shared.request("mux", "inspect_request", {"code": "print", "cursor_pos": 5, "detail_level": 0})["content"]["found"]
    assert shared.request("mux", "is_complete_request", {"code": "def f():"})["content"]["status"] == "incomplete"
    assert shared.request("mux", "comm_info_request", {})["content"]["comms"] == {}
    assert shared.request("mux", "history_request", {"hist_access_type": "tail", "n": 3})["content"]["status"] == "ok"


def test_unknown_request_is_answered(shared):
    reply = shared.request("mux", "brew_request")
    assert reply.msg_type == "brew_reply"
    assert reply["content"]["ename"] == "NotImplementedError"


def test_codecs(shared):
    cloudpickle = pytest.importorskip("cloudpickle")
    offset = 10
    call = [cloudpickle.dumps(lambda x: x + offset), pickle.dumps(((5,), {}), 5)]
    reply = shared.request("mux", "apply_request", buffers=call, metadata={"codec": "cloudpickle"})
    assert reply["content"] == {"status": "ok"}
    assert reply["metadata"]["codec"] == "cloudpickle"
    assert pickle.loads(reply["buffers"][0]) == 15
    reply = shared.request("mux", "apply_request", buffers=call, metadata={"codec": "smoke-signals"})
    assert "smoke-signals" in reply["content"]["evalue"]


def test_damaged_objects_are_errors(shared):
    reply = shared.request("mux", "apply_request", buffers=[b"no pickle", b"at all"])
    assert reply["content"]["status"] == "error"
    assert shared.request("mux", "apply_request")["content"]["ename"] == "ValueError"
    assert shared.apply(operator.add, 2, 2) == 4


def test_json_of_any_output(shared):
    shared.drain(0.1)
    shared.execute("from IPython.display import display\ndisplay({'image/png': b'ab', 'x/y': {1, 2}}, raw=True)")
    data = next(message for message in shared.drain() if message.msg_type == "display_data")["content"]["data"]
    assert data["image/png"] == "YWI="
    assert json.dumps(data)
