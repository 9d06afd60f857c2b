"""The commands as they are typed: what they say, and the exit code they end with."""

import json
import os
import signal
import socket

import pytest

COMMANDS = ["ipcluster", "ipcontroller", "ipengine"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_version_is_the_one_that_stock_programs_compare(run, command):
    result = run(command, "--version")
    assert (result.returncode, result.stdout.strip()) == (0, "9.2.0")


@pytest.mark.parametrize("command", [*COMMANDS, "apus"])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(run, command, option):
    result = run(command, option)
    assert result.returncode == 0
    assert command in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_all_help(run, command):
    result = run(command, "--help-all")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) > 20


def test_a_wrong_option_gets_a_hint(run):
    result = run("ipcluster", "start", "--enginse=local")
    assert result.returncode == 2
    assert "--engines" in result.stderr
    assert len(result.stderr.splitlines()) < 10


@pytest.mark.parametrize("words", [["strat"], ["start", "-n", "many"], ["start", "-n", "-3"]])
def test_wrong_usage(run, words):
    assert run("ipcluster", *words).returncode == 2


def test_nothing_to_stop(run):
    assert run("ipcluster", "stop").returncode == 11
    assert run("ipcluster", "stop", "--all").returncode == 0


def test_an_empty_list(run):
    result = run("ipcluster", "list")
    assert result.returncode == 0
    assert result.stdout.split()[:2] == ["PROFILE", "CLUSTER"]
    assert len(result.stdout.splitlines()) == 1
    assert json.loads(run("ipcluster", "list", "-o", "json").stdout) == []


def test_an_engine_without_a_controller(run):
    result = run("ipengine", "--IPEngine.wait_for_url_file=0.3")
    assert result.returncode not in (0, 2)
    assert "ipcontroller-engine.json" in result.stderr + result.stdout


def test_an_engine_with_a_damaged_file(run, tmp_path):
    file = tmp_path / "ipcontroller-engine.json"
    file.write_text('{"interface": "tcp://127.0.0.1", "registr')
    result = run("ipengine", f"--file={file}")
    assert result.returncode == 65
    assert str(file) in result.stderr + result.stdout


def test_an_interpreter_that_is_missing(run):
    result = run("ipengine", "--python=/no/such/python")
    assert result.returncode == 127
    assert "/no/such/python" in result.stderr + result.stdout


def test_a_port_in_use(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("ipcontroller", f"--IPController.client_ports={port}")
    assert result.returncode == 71
    assert str(port) in result.stderr + result.stdout


def test_a_cluster_from_start_to_stop(start_cluster, bin_dir, wait_until):
    import subprocess

    cluster = start_cluster(n=2)
    cluster.client()

    def command(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(bin_dir / "ipcluster"), *words], env=cluster.env, capture_output=True, text=True, timeout=40)

    rows = command("list").stdout.splitlines()
    assert rows[1].split()[0] == "default"
    assert rows[1].split()[-3:] == ["True", "2", "Local"]
    (described,) = json.loads(command("list", "-o", "json").stdout)
    assert described["cluster"]["cluster_id"] == ""
    assert command("start", "-n", "1").returncode == 10
    assert command("stop").returncode == 0
    assert cluster.process.wait(40) == 0
    assert command("stop").returncode == 11
    wait_until(lambda: not cluster.processes())


def test_a_cluster_in_the_background(run, tmp_path):
    assert run("ipcluster", "start", "-n", "1", "--daemonize").returncode == 0
    assert len(run("ipcluster", "list").stdout.splitlines()) == 2
    assert run("ipcluster", "stop").returncode == 0
    assert len(run("ipcluster", "list").stdout.splitlines()) == 1


def test_ready_is_said_in_one_line(start_cluster, wait_until):
    cluster = start_cluster(n=2)
    cluster.client()
    wait_until(lambda: "2 engines" in cluster.output())
    assert len([line for line in cluster.output().splitlines() if "2 engines" in line and "ready" in line]) == 1


def test_an_engine_that_dies_is_explained(start_cluster, wait_until):
    cluster = start_cluster(n=2)
    client = cluster.client()
    pid = client[0].apply_sync(os.getpid)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "SIGKILL" in cluster.output())


def test_stock_python_finds_the_cluster(start_cluster, wait_until):
    import ipyparallel as ipp

    cluster = start_cluster(n=2)
    cluster.client()
    file = cluster.connection_file.with_name("cluster-.json")
    wait_until(file.exists)
    found = ipp.Cluster.from_file(str(file))
    with found.connect_client_sync() as client:
        assert client.wait_for_engines(2, timeout=40) is None
        assert client.ids == [0, 1]
