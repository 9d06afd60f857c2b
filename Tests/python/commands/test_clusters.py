"""A cluster's life by the installed commands, beside ipyparallel's own commands and Cluster API."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import ipyparallel as ipp
import processes
import pytest

HEAD = "PROFILE CLUSTER ID RUNNING ENGINES LAUNCHER".split()


def rows(result: subprocess.CompletedProcess) -> list[list[str]]:
    head, *rest = result.stdout.splitlines()
    assert head.split() == HEAD
    return [line.split() for line in rest]


@pytest.fixture
def start(parts, wait_until):
    """``start('-n', '2')`` is an ``ipcluster start`` whose engines are ready; ``.words()`` is what it has said."""

    def start(*arguments: str, of: str = "apus", ready: bool = True, **more: str) -> subprocess.Popen:
        process = parts.start("ipcluster", "start", *arguments, of=of, **more)
        process.words = lambda: parts.log(process)
        if ready:
            wait_until(lambda: " ready after " in process.words() or process.poll() is not None)
            assert " ready after " in process.words(), process.words()
        return process

    return start


@pytest.fixture
def run(parts):
    """As the shared fixture, in the profile directory of ``parts``."""

    def run(command: str, *arguments: str, of: str = "apus", timeout: float = 60) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(parts.places[of] / command), *arguments], env=parts.env, cwd=parts.directory, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout)

    return run


@pytest.fixture
def cluster_file(parts):
    return parts.security / "cluster-.json"


def pids(path: Path) -> list[int]:
    contents = json.loads(path.read_text())
    engines = [engine["pid"] for s in contents["engines"]["sets"].values() for engine in s["engines"].values()]
    # The file is there before there is a controller.
    controller = [contents["controller"]["state"]["pid"]] if "controller" in contents else []
    return controller + engines


def test_one_line_says_that_the_engines_are_ready(start, parts):
    process = start("-n", "2")
    assert re.fullmatch(r"2 engines ready after [\d.]+ s: profile \S+/profile_default\n", process.words())
    assert len(parts.client(2).ids) == 2


def test_four_processes(start, parts):
    import processes

    start("-n", "2")
    assert sorted(process.role for process in processes.processes(parts.mark)) == ["cluster", "controller", "engine", "engine"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_everything_and_leave_nothing(start, parts, cluster_file, wait_until, number):
    process = start("-n", "2")
    members = pids(cluster_file)
    assert len(members) == 3 and all(map(processes.runs, members))
    process.send_signal(number)
    assert process.wait(40) == 0
    assert not any(map(processes.runs, members))
    assert list(parts.security.iterdir()) == []
    assert [log.name for log in (parts.security.parent / "log").iterdir() if log.suffix == ".log"] == []


def test_ipyparallel_finds_and_stops_our_cluster(start, run, parts, monkeypatch):
    process = start("-n", "2")
    monkeypatch.setenv("IPYTHONDIR", parts.env["IPYTHONDIR"])
    cluster = ipp.Cluster.from_file()
    with cluster.connect_client_sync() as client:
        client.wait_for_engines(2, timeout=40)
        assert len(client[:].apply_sync(os.getpid)) == 2
    assert rows(run("ipcluster", "list", of="stock")) == [["default", "''", "True", "2", "Local"]]
    assert run("ipcluster", "stop", of="stock").returncode == 0
    assert process.wait(40) == 0


def test_we_find_and_stop_their_cluster(run, parts):
    started = run("ipcluster", "start", "-n", "2", "--daemonize", "--cluster-id=theirs", of="stock", timeout=60)
    assert started.returncode == 0, started.stderr
    path = parts.security / "cluster-theirs.json"
    members = pids(path)
    assert rows(run("ipcluster", "list")) == [["default", "theirs", "True", "2", "Local"]]
    (listed,) = json.loads(run("ipcluster", "list", "-o", "json").stdout)
    assert listed == json.loads(path.read_text())
    assert run("ipcluster", "stop", "theirs").returncode == 0
    assert not any(map(processes.runs, members))
    assert rows(run("ipcluster", "list")) == []


def test_stop_list_and_a_second_start(start, run, cluster_file):
    assert rows(run("ipcluster", "list")) == []
    assert json.loads(run("ipcluster", "list", "-o", "json").stdout) == []
    process = start("-n", "1")
    assert rows(run("ipcluster", "list")) == [["default", "''", "True", "1", "Local"]]
    again = run("ipcluster", "start", "-n", "1")
    assert again.returncode == 10 and "running already" in again.stderr
    beside = start("-n", "1", "--cluster-id=b")
    assert len(rows(run("ipcluster", "list"))) == 2
    assert run("ipcluster", "clean").returncode == 1
    assert cluster_file.exists()
    assert run("ipcluster", "stop", "--all").returncode == 0
    assert process.wait(40) == 0 and beside.wait(40) == 0
    assert run("ipcluster", "stop", "--all").returncode == 0
    assert run("ipcluster", "stop").returncode == 11


def test_daemonized(start, run, parts, cluster_file):
    process = start("-n", "2", "--daemonize")
    assert process.wait(40) == 0
    members = pids(cluster_file)
    assert all(map(processes.runs, members))
    assert len(parts.client(2).ids) == 2
    assert run("apus", "stop").returncode == 0
    assert not any(map(processes.runs, members))
    assert not cluster_file.exists()


def test_a_dead_engine_is_told_with_its_reason(start, cluster_file, wait_until):
    process = start("-n", "2")
    _, first, second = pids(cluster_file)
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: "SIGKILL" in process.words())
    assert f"engine 1 (process {second}) died with signal 9 (SIGKILL)" in process.words()
    wait_until(lambda: pids(cluster_file)[1:] == [first])
    assert process.poll() is None


def test_engines_that_cannot_start_end_the_cluster(start, parts):
    process = start(
        "-n", "2", f"--EngineLauncher.engine_cmd={[sys.executable, '-c', 'raise SystemExit(' + repr('no luck') + ')']!r}", ready=False)
    assert process.wait(40) == 1
    words = process.words()
    assert "died with exit code 1" in words and "no luck" in words and "all engines died" in words
    assert list(parts.security.iterdir()) == []


def test_a_missing_command_is_told(start):
    process = start("-n", "2", "--EngineLauncher.engine_cmd=/no/engine", ready=False)
    assert process.wait(40) == 127
    assert "/no/engine" in process.words()


def test_a_dead_controller_ends_the_cluster(start, cluster_file):
    process = start("-n", "1")
    controller, engine = pids(cluster_file)
    os.kill(controller, signal.SIGKILL)
    assert process.wait(40) == 1
    assert "the controller died, with signal 9 (SIGKILL)" in process.words()
    assert not processes.runs(engine)


def test_what_does_not_end_is_killed(start, cluster_file, wait_until):
    process = start("-n", "1", "--LocalProcessLauncher.stop_seconds_until_kill=1")
    _, engine = pids(cluster_file)
    os.kill(engine, signal.SIGSTOP)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 0
    assert time.monotonic() - began > 0.9
    assert not processes.runs(engine)
    assert "SIGKILL" in process.words()


def test_a_stale_cluster_file_is_replaced(start, run, parts, cluster_file):
    process = start("-n", "1")
    contents = cluster_file.read_text()
    process.send_signal(signal.SIGINT)
    process.wait(40)
    cluster_file.write_text(contents)
    assert rows(run("ipcluster", "list")) == [["default", "''", "False", "0", "Local"]]
    start("-n", "1")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"cluster": 1}'])
def test_a_damaged_cluster_file(run, parts, cluster_file, damage):
    run("apus", "profile", "create", "default")
    cluster_file.write_text(damage)
    result = run("ipcluster", "stop")
    assert result.returncode == 65 and "damaged" in result.stderr
    assert rows(run("ipcluster", "list")) == []
    assert run("ipcluster", "clean").returncode == 0
    assert not cluster_file.exists()


def test_a_stranger_with_a_process_id_of_the_cluster_is_left_alone(start, run, parts, cluster_file):
    process = start("-n", "1")
    contents = json.loads(cluster_file.read_text())
    process.send_signal(signal.SIGINT)
    process.wait(40)
    stranger = subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"]})
    try:
        contents["controller"]["state"]["pid"] = stranger.pid
        contents["engines"]["sets"] = {}
        cluster_file.write_text(json.dumps(contents))
        assert rows(run("ipcluster", "list"))[0][2] == "False"
        assert run("ipcluster", "stop").returncode == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_more_engines(start, run, parts, cluster_file, wait_until):
    start("-n", "1")
    more = parts.start("ipcluster", "engines", "-n", "2")
    wait_until(lambda: "2 engines ready" in parts.log(more))
    assert len(parts.client(3).ids) == 3
    assert rows(run("ipcluster", "list"))[0][3] == "3"
    more.send_signal(signal.SIGTERM)
    assert more.wait(40) == 0
    assert rows(run("ipcluster", "list"))[0][3] == "1"


def test_engines_without_an_answer(run, parts):
    """A connection file of a controller that is gone."""
    run("apus", "profile", "create", "default")
    common = {
        "ssh": "", "interface": "tcp://127.0.0.1", "registration": 9, "control": 9, "mux": 9, "task": 9, "iopub": 9, "key": "k",
        "location": "", "pack": "json", "unpack": "json", "signature_scheme": "hmac-sha256",
    }
    client = common | {"task_scheme": "leastload", "notification": 9, "broadcast": 9}
    (parts.security / "ipcontroller-client.json").write_text(json.dumps(client))
    (parts.security / "ipcontroller-engine.json").write_text(json.dumps(common | {"hb_ping": 9, "hb_pong": 9, "broadcast": [9, 9]}))
    result = run("ipcluster", "engines", "-n", "1", "--ControllerLauncher.connection_info_timeout=1")
    assert result.returncode == 12
    assert "no controller answers" in result.stderr
    (parts.security / "ipcontroller-client.json").write_text("{")
    result = run("ipcluster", "engines", "-n", "1")
    assert result.returncode == 65, result.stderr


def test_signals_for_users_reach_the_engines(start, parts, wait_until, tmp_path):
    process = start("-n", "2")
    flag = str(tmp_path / "flag")
    client = parts.client(2)

    code = f"import os, signal; signal.signal(signal.SIGUSR1, lambda *_: open(f'{flag}{{os.getpid()}}', 'w').close())"
    client[:].execute(code, block=True)
    process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len(list(tmp_path.glob("flag*"))) == 2)


def test_a_signal_that_another_thread_takes_runs_its_handler_in_an_idle_engine(start, parts, wait_until, tmp_path):
    process = start("-n", "1")
    flag = tmp_path / "flag"
    client = parts.client(1)
    # The main thread is not interrupted in its wait then, as it is not by a signal that comes just before it.
    code = f"""
import signal, threading
signal.signal(signal.SIGUSR1, lambda *_: open({str(flag)!r}, 'w').close())
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
"""
    client[:].execute(code, block=True)
    process.send_signal(signal.SIGUSR1)
    wait_until(flag.exists)


def test_another_controller_by_configuration(start, parts):
    command = [sys.executable, "-m", "ipyparallel.controller"]
    start("-n", "1", f"--ControllerLauncher.controller_cmd={command!r}", "--", "--nodb")
    assert len(parts.client(1).ids) == 1


def test_arguments_reach_the_controller(start, parts):
    start("-n", "1", "--location=somewhere", "--", "--scheme=pure")
    contents = json.loads((parts.security / "ipcontroller-client.json").read_text())
    assert contents["task_scheme"] == "pure"
    assert contents["location"] == "somewhere"
    cluster = json.loads((parts.security / "cluster-.json").read_text())["cluster"]
    assert cluster["controller_args"] == ["--scheme=pure"]
    assert cluster["controller_location"] == "somewhere"


def test_connection_files_are_private_and_reused(parts, wait_until):
    client, engine = parts.security / "ipcontroller-client.json", parts.security / "ipcontroller-engine.json"

    def controller(*arguments):
        process = parts.start("ipcontroller", *arguments)
        wait_until(lambda: "ready" in parts.log(process))
        return process

    first = controller("--reuse")
    assert oct(client.stat().st_mode & 0o777) == oct(engine.stat().st_mode & 0o777) == "0o600"
    contents = client.read_text()
    first.terminate()
    assert first.wait(40) == 0
    assert client.read_text() == contents
    second = controller("--reuse")
    assert client.read_text() == contents
    second.terminate()
    second.wait(40)
    third = controller()
    assert client.read_text() != contents
    third.terminate()
    assert third.wait(40) == 0
    assert not client.exists() and not engine.exists()


def test_logs_to_a_file(parts, wait_until):
    process = parts.start("ipcontroller", "--log-to-file", "--cluster-id=a")
    log = parts.security.parent / "log" / f"ipcontroller-a-{process.pid}.log"
    wait_until(lambda: log.exists() and "ready" in log.read_text())
    assert (parts.security / "ipcontroller-a-client.json").exists()
    process.terminate()
    assert process.wait(40) == 0


def test_the_engines_environment(start, parts, tmp_path):
    start("-n", "1", "--EngineLauncher.environment=COLOUR=blue", f"--EngineLauncher.environment=PYTHONPATH={tmp_path}")
    client = parts.client(1)
    assert client[0].apply_sync(os.getenv, "COLOUR") == "blue"
    assert str(tmp_path) in client[0].apply_sync(os.getenv, "PYTHONPATH").split(":")


def test_a_cluster_file_that_cannot_be_written_ends_the_controller(start, run, parts, cluster_file):
    run("apus", "profile", "create", "default")
    # Root may write anywhere; nobody can rename a file over a directory.
    cluster_file.mkdir()
    process = start("-n", "1", ready=False)
    assert process.wait(40) == 73, process.words()
    import processes

    assert processes.processes(parts.mark) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_in_the_background_says_so_by_its_code(start, parts, cluster_file, wait_until, number):
    # Engines that never register, and never end.
    idle = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = start("-n", "2", "--daemonize", f"--EngineLauncher.engine_cmd={idle!r}", ready=False)
    wait_until(lambda: cluster_file.exists() and len(pids(cluster_file)) == 3)
    members = pids(cluster_file)
    process.send_signal(number)
    assert process.wait(40) == 128 + number
    assert not any(map(processes.runs, members)) and not cluster_file.exists()


@pytest.mark.parametrize("mode", [[], ["--daemonize"]])
def test_engines_that_end_well_without_registering_are_a_failed_start(start, cluster_file, mode):
    process = start("-n", "2", *mode, f"--EngineLauncher.engine_cmd={['/bin/true']!r}", ready=False)
    assert process.wait(40) == 1, process.words()
    assert "all engines died" in process.words()
    assert not cluster_file.exists()


def test_everybody_says_the_same_of_a_controller_that_died(start, run, parts, cluster_file):
    start("-n", "2", "--daemonize", "--no-journal").wait(20)
    controller, *engines = pids(cluster_file)
    processes.kill(controller)
    connection = parts.security / "ipcontroller-client.json"
    assert rows(run("ipcluster", "list")) == [["default", "''", "False", "2", "Local"]]
    status = run("apus", "status")
    assert status.returncode == 12 and f"(process {controller}) has died" in status.stderr and "'apus stop'" in status.stderr
    again = run("ipcluster", "start", "-n", "1")
    assert again.returncode == 10 and "has died, and 2 of its engines are left" in again.stderr
    assert connection.exists()
    stopped = run("apus", "stop")
    assert stopped.returncode == 0 and "had died before" in stopped.stderr and "stopped 2 processes" in stopped.stderr
    assert not any(map(processes.runs, engines))
    assert not cluster_file.exists() and not connection.exists()
    # Nothing is in the way of the next.
    start("-n", "1")


def test_a_second_signal_says_what_it_does(start, cluster_file, wait_until):
    process = start("-n", "1", "--LocalProcessLauncher.stop_seconds_until_kill=600")
    _, engine = pids(cluster_file)
    os.kill(engine, signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping the cluster" in process.words())
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    assert "asked a second time: what has not ended yet is killed (SIGKILL)" in process.words()
    assert not processes.runs(engine)


def test_a_log_that_cannot_be_made_ends_the_start_at_that_engine(start, parts, run):
    run("apus", "profile", "create", "default")
    # The third engine's log is a directory already; its name has the second of the start in it.
    log = parts.security.parent / "log"
    for second in range(int(time.time()), int(time.time()) + 120):
        (log / f"ipengine--{second}-2.log").mkdir()
    process = start("-n", "500", ready=False)
    assert process.wait(40) == 73, process.words()
    assert "engine 2 (2 run already)" in process.words()
    assert process.words().count("error") <= 1 and len(list(log.glob("ipengine-*.log"))) <= 122


@pytest.mark.parametrize("option", ["--show-config", "--show-config-json"])
def test_an_engine_shows_its_configuration_as_the_others_do(run, parts, option):
    run("apus", "profile", "create", "default")
    (parts.security.parent / "ipengine_config.py").write_text("c = get_config()\nc.IPEngine.timeout = 17\n")
    result = run("ipengine", option, "--IPEngine.startup_command=x=1", "--InteractiveShell.colors=NoColor")
    assert result.returncode == 0, result.stderr
    if option.endswith("json"):
        assert json.loads(result.stdout) == {
            "IPEngine": {"startup_command": "x=1", "timeout": 17}, "InteractiveShell": {"colors": "NoColor"}}
    else:
        assert ".timeout = 17" in result.stdout and "ipengine_config.py" in result.stdout


def test_an_engine_writes_its_configuration_file(run, parts):
    result = run("ipengine", "--init", "--IPEngine.wait_for_url_file=0.05")
    assert result.returncode == 1 and "connection file never arrived" in result.stderr
    assert "c.IPEngine.timeout" in (parts.security.parent / "ipengine_config.py").read_text()
