"""Commands tell the truth: about output that nobody takes, numbers that cannot be, names, and what they pass over."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess

import pytest


def test_a_full_disk_ends_a_command_with_its_code(bin_dir, run, tmp_path):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [str(bin_dir / "apus"), "list"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=40,
            env=os.environ | {"IPYTHONDIR": str(tmp_path)})
    assert result.returncode == 74
    assert "No space left" in result.stderr


def test_a_closed_pipe_ends_a_command(start_cluster, bin_dir):
    cluster = start_cluster(n=1)
    cluster.client()
    watch = subprocess.Popen(
        [str(bin_dir / "apus"), "status", "--watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=cluster.env)
    assert watch.stdout.readline()
    watch.stdout.close()
    assert watch.wait(40) in (141, -signal.SIGPIPE)


@pytest.mark.parametrize("option", ["--delay=-1", "--delay=1e300", "--delay=nan", "--delay=inf", "-n=-1", "-n=1000000", "--n=99999999999999999999"])
def test_numbers_that_cannot_be_are_refused(run, option, tmp_path):
    result = run("ipcluster", "start", option)
    assert result.returncode == 2, result
    assert option.split("=")[1] in result.stderr
    assert not list(tmp_path.rglob("ipengine-*.log"))


@pytest.mark.parametrize("name", ["localhost", socket.gethostname()])
def test_names_are_listened_on(parts, wait_until, name):
    process = parts.start("ipcontroller", f"--ip={name}")
    file = parts.security / "ipcontroller-client.json"
    wait_until(lambda: file.exists() or process.poll() is not None)
    assert process.poll() is None, parts.log(process)
    interface = json.loads(file.read_text())["interface"]
    assert interface == f"tcp://{socket.gethostbyname(name)}"


def test_a_name_that_does_not_resolve_is_said(run):
    result = run("ipcontroller", "--ip=no-such-host.invalid")
    assert result.returncode == 71
    assert "does not resolve" in result.stderr


def test_words_that_programs_look_for(run, start_cluster, bin_dir):
    nothing = run("ipcluster", "stop")
    assert nothing.returncode == 11 and "CRITICAL" in nothing.stderr
    cluster = start_cluster(n=1)
    cluster.client().close()
    stopped = subprocess.run([str(bin_dir / "ipcluster"), "stop"], env=cluster.env, capture_output=True, text=True, timeout=30)
    assert stopped.returncode == 0 and "Stopping" in stopped.stderr


def test_lines_that_are_passed_over_are_named(run, tmp_path):
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "ipcluster_config.py").write_text("import os; os.system('true')\nc = get_config()\n'a'; b()\nc.Cluster.n = 1\n")
    result = run("ipcluster", "list", f"--profile-dir={profile}")
    assert "os.system" in result.stderr and "b()" in result.stderr


@pytest.mark.parametrize("owner", ["IPEngine", "IPEngineApp", "BaseParallelApplication"])
def test_the_work_directory_of_a_file(parts, tmp_path, owner):
    place = tmp_path / "place"
    place.mkdir()
    parts.start("ipcontroller")
    profile = parts.security.parent
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipengine_config.py").write_text(f"c = get_config()\nc.{owner}.work_dir = {str(place)!r}\n")
    parts.start("ipengine")
    assert parts.client(1)[0].apply_sync(os.getcwd) == str(place)


def test_tasks_do_not_see_the_key(start_cluster):
    cluster = start_cluster(n=1)
    client = cluster.client()
    key = client.session.key.decode()
    environment = client[0].apply_sync(eval, "dict(__import__('os').environ)")
    assert "IPP_CONNECTION_INFO" not in environment
    assert key not in json.dumps(environment)


def test_a_log_that_nobody_takes_holds_nobody_up(parts, bin_dir):
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"." * size)
    controller = subprocess.Popen(
        [str(bin_dir / "ipcontroller")], env=parts.env, cwd=parts.directory, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    os.close(writer)
    parts.start("ipengine")
    client = parts.client(1)
    assert client[:].apply_sync(len, "1234567") == [7]
    # What it had to say was kept for whoever reads in the end.
    controller.terminate()
    text = b""
    while piece := os.read(reader, 65536):
        text += piece
    os.close(reader)
    assert b"engine registered" in text and b"the controller has stopped" in text
    assert controller.wait(40) == 0
