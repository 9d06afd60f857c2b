"""What becomes of a cluster when its Python process ends, in each way that a process can."""

import os
import signal
import subprocess

import processes
import pytest

PROGRAM = """
import os, signal, sys
from apus.cluster import Cluster
cluster = Cluster(n=2, cluster_id="it", shutdown_atexit=SHUTDOWN)
cluster.start_cluster_sync()
print(cluster.controller.pid, *[launcher.pid for launcher in cluster.engine_set.launchers.values()], flush=True)
"""


def begin(python, rest="", shutdown=True):
    program = python(PROGRAM.replace("SHUTDOWN", str(shutdown)) + rest)
    line = program.stdout.readline()
    assert line, program.stderr.read()
    return program, [int(word) for word in line.split()]


def running(pids):
    from apus.cluster.processes import is_running

    return [pid for pid in pids if is_running(pid)]


def test_exit(python):
    program, pids = begin(python)
    assert program.wait(40) == 0
    assert running(pids) == []


def test_what_has_been_waited_for_gets_no_signal(profile, monkeypatch, wait_until):
    """Its number may be another process's, also before those who want to know of its end have been told."""
    from apus.cluster import processes as ours

    child = subprocess.Popen(["true"])
    process = ours.Process(child.pid, child)
    wait_until(lambda: process.poll() is not None)
    sent = []
    monkeypatch.setattr(ours.os, "kill", lambda *words: sent.append(words))
    process.kill()
    assert sent == [] and process.poll() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_killed(python, mark, profile, wait_until, number):
    program, pids = begin(python, "signal.pause()")
    program.send_signal(number)
    assert program.wait(40) == -number
    wait_until(lambda: not running(pids))
    # The guardian too, and it takes the files with it.
    wait_until(lambda: processes.processes(mark) == [])
    assert list((profile / "security").iterdir()) == []
    assert list((profile / "log").glob("ip*.log")) == []


def test_a_number_that_is_another_processes_by_now_is_left_alone(python, tmp_path, wait_until):
    """What ended without being missed, a launcher for example, may have left its number to somebody."""
    program = python("""
import os, signal, subprocess, sys
from apus.cluster import guardian
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
ours, others = [[subprocess.Popen(["tail", "-f", "/dev/null"], **quiet).pid for _ in range(2)] for _ in range(2)]
guardian.guard(ours[0])
guardian.guard_supervisor(ours[1])
guardian._tell("+", f"{others[0]}:1")
guardian._tell("launcher", f"{others[1]}:1")
guardian.guard_file(os.path.abspath("marker"))
open("marker", "w").close()
print(*ours, *others, flush=True)
signal.pause()
""")
    pids = [int(word) for word in program.stdout.readline().split()]
    program.kill()
    try:
        # The last that the guardian does.
        wait_until(lambda: not (tmp_path / "marker").exists())
        wait_until(lambda: running(pids[:2]) == [])
        assert running(pids[2:]) == pids[2:]
    finally:
        for pid in running(pids):
            os.kill(pid, signal.SIGKILL)


def test_os_exit(python, mark, wait_until):
    program, pids = begin(python, "os._exit(4)")
    assert program.wait(40) == 4
    wait_until(lambda: processes.processes(mark) == [])


def test_a_stubborn_engine_is_killed_with_the_rest(python, mark, wait_until):
    program = python("""
import os, signal, sys
from traitlets.config import Config
from apus.cluster import Cluster
config = Config()
config.EngineLauncher.engine_cmd = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"]
cluster = Cluster(n=1, config=config)
cluster.start_cluster_sync()
print("ready", flush=True)
signal.pause()
""")
    assert program.stdout.readline() == "ready\n", program.stderr.read()
    program.kill()
    wait_until(lambda: processes.processes(mark) == [])


def test_a_cluster_that_was_let_go_lives_on(python, apus, mark):
    program, pids = begin(python, shutdown=False)
    assert program.wait(40) == 0
    assert running(pids) == pids
    assert apus("stop", "it").returncode == 0
    assert running(pids) == []


def test_a_cluster_that_is_let_go_later_lives_on_too(python, apus, wait_until, mark):
    program, pids = begin(python, "cluster.shutdown_atexit = False\nos.kill(os.getpid(), signal.SIGKILL)")
    program.wait(40)
    # The guardian has nothing to do, and goes.
    wait_until(lambda: all("apus-guardian" not in process.command for process in processes.processes(mark)))
    assert running(pids) == pids
    assert apus("stop", "it").returncode == 0


def test_a_forked_child_leaves_the_cluster_alone(python):
    program, pids = begin(python, """
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
print("running", cluster.controller.process.is_running(), flush=True)
""")
    assert program.stdout.readline() == "running True\n"
    assert program.wait(40) == 0
    assert running(pids) == []


def test_a_forked_child_does_not_keep_the_cluster_alive(python, wait_until):
    program, pids = begin(python, """
child = os.fork()
if child == 0:
    signal.alarm(30)
    signal.pause()
print(child, flush=True)
signal.pause()
""")
    child = int(program.stdout.readline())
    try:
        program.kill()
        wait_until(lambda: not running(pids))
        assert running([child])
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_may_have_a_cluster_of_its_own(python):
    program, pids = begin(python, """
child = os.fork()
if child == 0:
    own = Cluster(n=1)
    own.start_cluster_sync()
    code = 0 if own.controller.process.is_running() else 3
    own.stop_cluster_sync()
    os._exit(code)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), cluster.controller.process.is_running(), flush=True)
""")
    assert program.stdout.readline() == "0 True\n"


def test_the_interpreter_exits_while_a_start_is_under_way(python, mark, wait_until):
    program = python("""
import os, threading
from apus.cluster import Cluster
cluster = Cluster(n=2, delay=30)
thread = threading.Thread(target=cluster.start_cluster_sync, daemon=True)
thread.start()
while cluster.controller is None or cluster.controller.state != "running":
    thread.join(0.001)
print(cluster.controller.pid, flush=True)
""")
    pid = int(program.stdout.readline())
    assert program.wait(40) == 0
    wait_until(lambda: not running([pid]))
    wait_until(lambda: processes.processes(mark) == [])
