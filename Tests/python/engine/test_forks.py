"""Tasks that fork, while the engine is at work."""

import os

import pytest


def test_forks_leave_the_engine_alone(start):
    controller, engine = start()
    code = "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as pool: result = pool.map(abs, [-1, 2])\nprint(result)"
    controller.apply(exec, code, {})
    assert controller.output("stream")["content"]["text"] == "[1, 2]\n"
    fork = "import os\npid = os.fork()\nif pid == 0:\n  print('child'); os._exit(3)\nassert os.waitpid(pid, 0)[1] == 3 << 8"
    controller.apply(exec, fork, {})
    assert controller.apply(os.getpid) == engine.pid


FORKS = """
import multiprocessing, os, signal, threading
stopped = threading.Event()
def chatter():
    number = 0
    while not stopped.is_set():
        print("line", number := number + 1, flush=number % 8 == 0)
chatterers = [threading.Thread(target=chatter) for _ in range(2)]
for thread in chatterers: thread.start()

def fork(number):
    child = os.fork()
    if child == 0:
        # A child that waits for what it will never get is ended, and counts as such.
        signal.alarm(60)
        if number % 20 == 0:
            with multiprocessing.get_context("fork").Pool(2) as pool:
                os._exit(3 if pool.map(abs, [-1, 2]) == [1, 2] else 4)
        print("child", number)
        os._exit(3)
    return os.waitpid(child, 0)[1]

statuses = []
def forks(count):
    for number in range(count): statuses.append(fork(number))
forkers = [threading.Thread(target=forks, args=(each,)) for _ in range(threads)]
for thread in forkers: thread.start()
for thread in forkers: thread.join()
stopped.set()
for thread in chatterers: thread.join()
assert statuses == [3 << 8] * 200, statuses
"""


@pytest.mark.parametrize("threads", [1, 4])
def test_many_forks_while_the_engine_is_at_work(start, threads):
    """200 forks while threads print and other requests are answered: no child inherits a lock that nobody opens."""
    controller, engine = start()
    names = {"threads": threads, "each": 200 // threads}
    controller.send("mux", controller.frames("apply_request", buffers=controller.apply_buffers(exec, FORKS, names)))
    answered = 0
    # Control requests keep the engine's own thread busy, and so does what the task prints. How many depends on the machine.
    while not controller.sockets["mux"].poll(0):
        controller.request("control", "abort_request", {"msg_ids": ["none"]}, timeout=60)
        answered += 1
        while controller.sockets["iopub"].poll(0):
            controller.sockets["iopub"].recv_multipart()
    assert controller.receive("mux")["content"]["status"] == "ok"
    assert answered > 0
    assert controller.apply(os.getpid) == engine.pid


def test_a_child_that_is_terminated_at_once_is_not_taken_for_the_engine(start):
    """Until a child has handlers of its own, a signal would reach those that it was born with, and they tell the engine."""
    controller, engine = start()
    code = (
        "import os, signal\n"
        "for _ in range(100):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        while True: signal.pause()\n"
        "    os.kill(child, signal.SIGTERM)\n"
        "    assert os.waitpid(child, 0)[1] == signal.SIGTERM\n"
        "assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])"
    )
    controller.apply(exec, code, {}, timeout=60)
    assert controller.apply(os.getpid) == engine.pid
    assert engine.poll() is None


def test_a_hook_that_fails_leaves_the_engine_at_work(start):
    """Around a fork others have their hooks too."""
    controller, engine = start()
    code = (
        "import os\n"
        "def refuse(): raise OSError('no')\n"
        "os.register_at_fork(before=refuse, after_in_parent=refuse, after_in_child=refuse)\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(3)\n"
        "assert os.waitpid(child, 0)[1] == 3 << 8"
    )
    controller.apply(exec, code, {})
    assert controller.apply(os.getpid) == engine.pid
