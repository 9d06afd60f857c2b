"""Registration, control while a task runs, signals, forks, bad frames, reconnection."""

import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from played_controller import PlayedController, python_package, start_engine


def wait_until(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


BEGUN = "import sys; sys.stderr.write('begun'); sys.stderr.flush()\n"


def begin(controller, code, socket="mux"):
    """Start a task that runs code, and return its id when it runs."""
    id = controller.send(socket, controller.frames("apply_request", buffers=controller.apply_buffers(exec, BEGUN + code, {})))
    controller.output("stream", parent=id)
    return id


def queue(controller, code, socket="mux"):
    """Send a task that has to wait for another one, and return its id when it has arrived."""
    id = controller.send(socket, controller.frames("apply_request", buffers=controller.apply_buffers(exec, code, {})))
    settle(controller)
    return id


def settle(controller):
    """Until the engine has read what was sent before: sockets are read by one thread, which has answered since, and had time for the others."""
    for _ in range(3):
        controller.request("control", "abort_request", {"msg_ids": ["none"]})
        time.sleep(0.05)


def waits_at(gate):
    """Code that runs until there is such a file."""
    return f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"


def test_registration(start):
    controller, engine = start("--ident=me", "--IPEngine.id=7", register=False)
    content = controller.register()["content"]
    assert content == {"uuid": "me", "id": 7, "implementation": "apus", "kind": "python", "batches": True}
    assert controller.apply(os.getpid) == engine.pid


def test_registration_refused(tmp_path):
    controller = PlayedController(tmp_path)
    engine = start_engine(controller.file, directory=tmp_path)
    request = controller.receive("registration")
    error = {"status": "error", "ename": "KeyError", "evalue": "taken", "traceback": [], "engine_info": {}}
    identity = request["content"]["uuid"].encode()
    controller.sockets["registration"].send_multipart([identity, *controller.frames("registration_reply", error)])
    assert engine.wait(40) == 255
    assert "Registration failed: KeyError: taken" in (tmp_path / "engine.log").read_text()
    controller.close()


def test_registration_times_out(tmp_path):
    controller = PlayedController(tmp_path)
    engine = start_engine(controller.file, "--timeout=0.5", directory=tmp_path)
    assert engine.wait(40) == 255
    assert "timed out" in (tmp_path / "engine.log").read_text()
    controller.close()


def test_no_connection_file(tmp_path):
    engine = start_engine(tmp_path / "none.json", "--IPEngine.wait_for_url_file=0.2", directory=tmp_path)
    assert engine.wait(40) == 1
    assert "connection file never arrived" in (tmp_path / "engine.log").read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"interface": 3}', '{"interface": "tcp://127.0.0.1", "registration": 99999}'])
def test_damaged_connection_file(tmp_path, text):
    engine = start_engine(tmp_path / "x", directory=tmp_path, IPP_CONNECTION_INFO=text or " ")
    assert engine.wait(40) == 65
    assert "connection information cannot be used" in (tmp_path / "engine.log").read_text()


def test_control_answers_during_a_busy_task(start):
    controller, _ = start()
    controller.apply(exec, "import sys; sys.setswitchinterval(100)")
    # This holds the interpreter's lock all the time.
    begin(controller, "sum(range(10**10))")
    assert controller.request("control", "abort_request", {"msg_ids": ["x"]})["content"] == {"status": "ok"}
    controller.beat(b"2.5")
    # It runs still: what has answered was not waiting for it.
    assert not controller.sockets["mux"].poll(0)


def test_abort_by_id_and_all(start, tmp_path):
    controller, _ = start()
    gate = tmp_path / "gate"
    first = begin(controller, waits_at(gate))
    second = queue(controller, "pass")
    third = queue(controller, "pass", "task")
    controller.request("control", "abort_request", {"msg_ids": second})
    gate.touch()
    replies = [controller.receive("mux") for _ in range(2)]
    status = {reply["parent_header"]["msg_id"]: reply["content"]["status"] for reply in replies}
    assert status == {first: "ok", second: "aborted"}
    assert controller.receive("task")["parent_header"]["msg_id"] == third
    for everything in ([], None):
        gate.unlink()
        begin(controller, waits_at(gate))
        queue(controller, "pass")
        controller.request("control", "abort_request", {"msg_ids": everything})
        later = queue(controller, "pass")
        gate.touch()
        found = [controller.receive("mux") for _ in range(3)]
        assert [reply["content"]["status"] for reply in found] == ["ok", "aborted", "ok"]
        assert found[2]["parent_header"]["msg_id"] == later


@pytest.mark.parametrize("socket", ["mux", "task"])
def test_abort_that_interrupts_ends_the_running_task_only(start, tmp_path, socket):
    controller, _ = start()
    gates = [tmp_path / "first", tmp_path / "second"]
    running = begin(controller, "import time\nwhile True: time.sleep(10)", socket)
    queued = queue(controller, "raise ValueError", socket)
    ids = {"msg_ids": [running, queued], "interrupt": True}
    assert controller.request("control", "abort_request", ids)["content"] == {"status": "ok"}
    replies = {reply["parent_header"]["msg_id"]: reply for reply in (controller.receive(socket) for _ in range(2))}
    assert replies[running]["content"]["ename"] == "KeyboardInterrupt"
    assert replies[queued]["content"] == {"status": "aborted"}
    # Another task than the one that runs.
    kept = begin(controller, waits_at(gates[0]), socket)
    controller.request("control", "abort_request", {"msg_ids": [running], "interrupt": True})
    gates[0].touch()
    reply = controller.receive(socket)
    assert (reply["parent_header"]["msg_id"], reply["content"]["status"]) == (kept, "ok")
    # Nor is one interrupted whose abort does not ask for it.
    kept = begin(controller, waits_at(gates[1]), socket)
    controller.request("control", "abort_request", {"msg_ids": [kept]})
    gates[1].touch()
    assert controller.receive(socket)["content"]["status"] == "ok"


def test_abort_interrupts_cells(start):
    controller, _ = start()
    for code in ("import time; time.sleep(60)", "import asyncio; await asyncio.sleep(60)"):
        id = controller.send("mux", controller.frames("execute_request", {"code": code, "silent": False}))
        controller.output("execute_input")
        time.sleep(0.3)
        controller.request("control", "abort_request", {"msg_ids": [id], "interrupt": True})
        assert controller.receive("mux")["content"]["ename"] == "KeyboardInterrupt"
    assert controller.execute("1")["content"]["status"] == "ok"


def test_an_interruption_never_hits_the_next_task(start):
    """Cancelled at random moments around its end, a task is done or interrupted; the one behind it is always done."""
    controller, _ = start()
    random = __import__("random").Random(7)
    interrupted = 0
    for _ in range(300):
        work = controller.apply_buffers(sum, range(random.randrange(30_000)))
        id = controller.send("mux", controller.frames("apply_request", buffers=work))
        behind = controller.send("mux", controller.frames("apply_request", buffers=controller.apply_buffers(sum, range(2000))))
        deadline = time.perf_counter() + random.random() * 0.0015
        while time.perf_counter() < deadline:
            pass
        controller.send("control", controller.frames("abort_request", {"msg_ids": [id], "interrupt": True}))
        replies = {reply["parent_header"]["msg_id"]: reply["content"] for reply in (controller.receive("mux") for _ in range(2))}
        assert replies[behind] == {"status": "ok"}
        first = replies[id]
        assert first["status"] in ("ok", "aborted") or first["ename"] == "KeyboardInterrupt"
        interrupted += first["status"] == "error"
        controller.receive("control")
    assert interrupted


@pytest.mark.parametrize("sig", ["SIGINT", 2])
def test_interrupt(start, sig):
    controller, _ = start()
    begin(controller, "import time\nwhile True: time.sleep(10)")
    assert controller.request("control", "signal_request", {"sig": sig})["content"] == {"status": "ok"}
    assert controller.receive("mux")["content"]["ename"] == "KeyboardInterrupt"
    controller.request("control", "signal_request", {"sig": sig})
    assert controller.apply(operator.add, 1, 2) == 3


def test_interrupt_of_an_await(start):
    controller, _ = start()
    controller.send("mux", controller.frames("execute_request", {"code": "import asyncio; await asyncio.sleep(60)", "silent": False}))
    controller.output("execute_input")
    time.sleep(0.3)
    controller.request("control", "interrupt_request")
    assert controller.receive("mux")["content"]["ename"] == "KeyboardInterrupt"
    assert controller.execute("1")["content"]["status"] == "ok"


def test_own_signal_handler(start):
    controller, engine = start()
    code = "import signal\ndef stop(*_): raise KeyError('mine')\nsignal.signal(signal.SIGUSR1, stop)"
    controller.apply(exec, code, {})
    engine.send_signal(signal.SIGUSR1)
    time.sleep(0.2)
    begin(controller, "import time; time.sleep(30)")
    engine.send_signal(signal.SIGUSR1)
    assert controller.receive("mux")["content"]["ename"] == "KeyError"
    assert controller.apply(operator.add, 1, 2) == 3


def test_unknown_signal(start):
    controller, _ = start()
    assert controller.request("control", "signal_request", {"sig": "SIGNONSENSE"})["content"]["ename"] == "ValueError"


@pytest.mark.parametrize("code", [None, "import time; time.sleep(60)", "sum(range(10**11))"])
def test_terminate(start, code):
    controller, engine = start()
    if code:
        begin(controller, code)
    engine.terminate()
    message = controller.receive("registration")
    assert (message.msg_type, message["content"]) == ("unregistration_request", {"id": 0, "begun": None})
    assert engine.wait(40) == 0


def test_goodbye_names_the_balanced_task_that_began_last(start):
    controller, engine = start()
    controller.apply(operator.add, 1, 2, socket="task")
    last = begin(controller, "import time; time.sleep(60)", socket="task")
    # What waits behind it has not begun, and neither has any direct request.
    for socket in ("task", "mux"):
        controller.send(socket, controller.frames("apply_request", buffers=controller.apply_buffers(abs, -1)))
    engine.terminate()
    message = controller.receive("registration")
    assert (message.msg_type, message["content"]) == ("unregistration_request", {"id": 0, "begun": last})
    assert engine.wait(40) == 0


@pytest.mark.parametrize("code", [None, "sum(range(10**11))"])
def test_shutdown(start, code):
    controller, engine = start()
    if code:
        begin(controller, code)
    assert controller.request("control", "shutdown_request", {"restart": False})["content"] == {"status": "ok", "restart": False}
    assert controller.output("shutdown_reply")["header"]["session"] == controller.engine.decode()
    assert engine.wait(40) == 0


def test_kill_by_request_says_goodbye(start):
    controller, engine = start()
    controller.request("control", "signal_request", {"sig": "SIGKILL"})
    assert controller.receive("registration").msg_type == "unregistration_request"
    assert engine.wait(40) == -signal.SIGKILL


def test_threads_may_print(start):
    controller, _ = start()
    code = (
        "import threading\nts = [threading.Thread(target=print, args=(i,)) for i in range(20)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]"
    )
    controller.apply(exec, code, {})
    text = "".join(message["content"]["text"] for message in controller.drain() if message.msg_type == "stream")
    assert sorted(map(int, text.split())) == list(range(20))


def test_output_of_a_thread_stays_with_its_request(start, tmp_path):
    controller, _ = start()
    gate, done = tmp_path / "gate", tmp_path / "done"
    code = (
        "import threading\n"
        f"def work():\n  print('born')\n  {waits_at(gate).replace(chr(10), chr(10) + '  ')}\n  print('later'); open({str(done)!r}, 'w').close()\n"
        "threading.Thread(target=work).start()"
    )
    first = controller.send("mux", controller.frames("apply_request", buffers=controller.apply_buffers(exec, code, {})))
    controller.receive("mux")
    gate.touch()
    controller.apply(exec, f"{waits_at(done)}\nprint('mine')", {})
    texts = {}
    for message in controller.drain():
        if message.msg_type == "stream":
            key = message["parent_header"]["msg_id"] == first
            texts[key] = texts.get(key, "") + message["content"]["text"]
    assert texts == {True: "born\nlater\n", False: "mine\n"}


def test_a_jupyter_frontend_may_connect(start):
    pytest.importorskip("ipyparallel")
    jupyter_client = pytest.importorskip("jupyter_client")
    controller, _ = start()
    path = controller.apply(eval, "__import__('ipyparallel').bind_kernel()", timeout=30)
    assert oct(os.stat(path).st_mode & 0o777) == "0o600"
    frontend = jupyter_client.BlockingKernelClient(connection_file=path)
    frontend.load_connection_file()
    frontend.start_channels()
    try:
        frontend.wait_for_ready(timeout=40)
        reply = frontend.execute_interactive("x = 6 * 7\nprint(x)", timeout=40, output_hook=lambda message: None)
        assert reply["content"]["status"] == "ok"
        assert frontend.is_alive()
    finally:
        frontend.stop_channels()
    assert controller.apply(eval, "get_ipython().user_ns['x']") == 42


def test_bad_frames_change_nothing(start, tmp_path):
    controller, engine = start()
    good = controller.frames("apply_request", buffers=controller.apply_buffers(os.getpid))
    controller.send("mux", good)
    controller.receive("mux")
    unsigned = [good[0], b"", *good[2:]]
    forged = [good[0], b"0" * 64, *controller.frames("apply_request")[2:]]
    for name in ("mux", "control"):
        for frames in (good, unsigned, forged, good[:4], [b"<IDS|MSG>"], [b""], [os.urandom(300)], [b"<IDS|MSG>"] * 9):
            for _ in range(20):
                controller.send(name, frames)
    controller.sockets["hb_ping"].send(b"\xff" * 1000)
    signed_nonsense = [b"[", b"{}", b"{}", b"{}"]
    controller.send("mux", [b"<IDS|MSG>", controller.sign(signed_nonsense), *signed_nonsense])
    missing = [b"{}", b"{}", b"{}", b"{}"]
    controller.send("control", [b"<IDS|MSG>", controller.sign(missing), *missing])
    time.sleep(0.3)
    assert not controller.sockets["mux"].poll(200)
    assert controller.apply(os.getpid) == engine.pid
    log = (tmp_path / "engine.log").read_text()
    assert "a signature seen before" in log
    assert log.count("Dropped a message") < 20


def test_lost_and_found_at_the_same_ports(start, tmp_path):
    controller, engine = start()
    controller.apply(exec, "import builtins; builtins.kept = 42")
    uuid = controller.engine
    controller.close()
    wait_until(lambda: "Lost the connection" in (tmp_path / "engine.log").read_text())
    again = PlayedController(tmp_path, ports=controller.ports)
    try:
        request = again.register()
        content = request["content"]
        # Said if a single connection was seen to break before all of them had.
        content.pop("cut_off", None)
        assert content == {"uuid": uuid.decode(), "id": 0, "resume": True, "implementation": "apus", "kind": "python", "batches": True}
        assert again.apply(eval, "kept") == 42
        assert again.apply(os.getpid) == engine.pid
    finally:
        again.close()


def test_follows_a_new_connection_file(start, tmp_path):
    controller, engine = start()
    controller.apply(exec, "import builtins; builtins.kept = 43")
    controller.close()
    again = PlayedController(tmp_path, key="another-key")
    try:
        request = again.register(id=5)
        assert request["content"]["resume"] is True
        assert again.apply(eval, "kept") == 43
        assert again.request("control", "abort_request", {"msg_ids": ["x"]})["content"] == {"status": "ok"}
        assert again.apply(eval, "get_ipython().kernel.core is not None") is True
    finally:
        again.close()


def test_gives_up_after_missed_heartbeats(start):
    controller, engine = start("--IPEngine.max_heartbeat_misses=2", register=False)
    controller.register(hb_period=200, beats=False)
    assert engine.wait(40) == 1


def test_startup_code(start, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import builtins; builtins.from_script = __file__")
    startup = tmp_path / "startup.py"
    startup.write_text("import builtins; builtins.from_startup = 1\nraise ValueError('survives')")
    controller, _ = start("-c", "import builtins; builtins.from_command = 2", "-s", str(script), PYTHONSTARTUP=str(startup))
    assert controller.apply(eval, "(from_startup, from_command, from_script)") == (1, 2, str(script))


def test_tasks_left_in_the_event_loop_go_on(start):
    controller, _ = start()
    controller.execute("import asyncio\nticks = 0\nasync def tick():\n  global ticks\n  while True:\n    await asyncio.sleep(0.01); ticks += 1")
    controller.execute("t = asyncio.create_task(tick()); await asyncio.sleep(0)")

    def ticks():
        reply = controller.execute("1", user_expressions={"ticks": "ticks"})
        return int(reply["content"]["user_expressions"]["ticks"]["data"]["text/plain"])

    # The turns of the loop that each question takes itself are few.
    began, before = time.monotonic(), ticks()
    wait_until(lambda: time.monotonic() > began + 0.5 and ticks() > before + 5)
    assert controller.apply(operator.add, 1, 1) == 2
    controller.execute("t.cancel()")
    assert controller.apply(operator.add, 1, 1) == 2


def test_idle_engine_is_light(start):
    controller, engine = start()
    modules = controller.apply(eval, "sorted(__import__('sys').modules)")
    heavy = {"IPython", "ipyparallel", "numpy", "traitlets", "zmq", "asyncio", "logging", "argparse", "json", "re"}
    assert not heavy & set(modules)
    rollup = Path(f"/proc/{engine.pid}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(("Private_Clean", "Private_Dirty")))
    assert private < 40_000, "kilobytes of memory that only this engine has"


def test_version_and_options():
    environment = dict(os.environ, PYTHONPATH=str(python_package()))

    def run(*arguments):
        command = [sys.executable, "-m", "apus.engine", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40)

    assert run("--version").stdout == "9.2.0\n"
    assert "--IPEngine.max_heartbeat_misses" in run("--help-all").stdout
    wrong = run("--profil=x")
    assert wrong.returncode == 2
    assert "did you mean --profile?" in wrong.stderr
