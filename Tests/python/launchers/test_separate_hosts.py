"""Engines and a controller on hosts that share nothing with this one: no files, no names, no processes."""

from __future__ import annotations

import json
import os
import sys

import pytest
from launcher_stands import Cluster, Stand, wait_for
from systems.separate import SeparateHosts


@pytest.fixture
def apart(bin_dir, tmp_path):
    """A cluster's commands, on the controller's machine."""
    reason = SeparateHosts.missing()
    if reason:
        pytest.skip(f"separate hosts: {reason}")
    (tmp_path / "system").mkdir()
    system = SeparateHosts(tmp_path / "system", shared=(str(bin_dir.parent),)).start()
    hosts = tmp_path / "hosts"
    hosts.write_text("host1 1\nhost2 1\n")
    stand = Stand("separate hosts", system, "ssh", [f"--hosts={hosts}"], {"SSHLauncher": {"remote_python": sys.executable}})
    stand.prefix = system.prefix
    (tmp_path / "cluster").mkdir()
    cluster = Cluster(bin_dir, tmp_path / "cluster", stand)
    try:
        yield cluster
    finally:
        system.stop()
        # What was on hosts that are gone is asked for in vain.
        for path in (cluster.profile / "security").glob("cluster-*.json"):
            path.unlink()
        cluster.end()


def names(cluster) -> list[str]:
    done = cluster.run("px", "import socket; socket.gethostname()")
    return sorted(line.partition(": ")[2].strip("'") for line in done.stdout.splitlines() if line.startswith("Out["))


def test_engines_of_other_hosts_find_the_controller(apart):
    started = apart.run("start", "-n2", *apart.stand.arguments, "--daemonize")
    assert started.returncode == 0, started.stderr
    assert "controller at 10.77.0.1" in started.stdout
    assert names(apart) == ["host1", "host2"]
    # The key has gone there over ssh, into a directory of the user's own.
    assert apart.stand.system.ask("host1", "stat -c %a /tmp/apus-engines-*/connection-*.json /tmp/apus-engines-*") == "600\n700"
    stopped = apart.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert apart.stand.system.ask("host1", "ls /tmp | grep apus-engines") == ""
    apart.has_left_nothing()


def test_the_controller_is_on_one_of_them(apart):
    started = apart.run("start", "-n2", *apart.stand.arguments, "--controller=ssh", "--controller-host=host2", "--daemonize")
    assert started.returncode == 0, started.stderr
    assert "controller at 10.77.0.12" in started.stdout
    assert names(apart) == ["host1", "host2"]
    shown = json.loads((apart.profile / "security/ipcontroller-client.json").read_text())
    assert shown["location"] == "10.77.0.12"
    stopped = apart.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert apart.stand.system.ask("host2", "ls /tmp | grep apus-engines") == ""
    apart.has_left_nothing()


@pytest.mark.timeout(180)
def test_a_host_without_power_is_noticed(apart):
    apart.start(*apart.stand.arguments, "--SSHLauncher.connect_timeout=3", "--", "--ping=500", n=2)
    apart.hears("2 engines ready")
    apart.stand.system.lose_power("host1")
    wait_for(lambda: names(apart) == ["host2"], 60)
    assert apart.launcher.poll() is None
    # What is left of it goes; the host that does not answer is named, after the time that it has for it.
    apart.launcher.terminate()
    assert apart.launcher.wait(40) == 14, apart.said
    assert "did not end, and may run still" in apart.said and "host1" in apart.said, apart.said
    assert "host1" in (apart.profile / "security/cluster-.json").read_text()
    assert apart.stand.system.ask("host2", "ls /tmp | grep apus-engines") == ""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("loss", ["lose_power", "pull_cable"])
def test_a_stop_does_not_wait_for_a_host_that_is_gone(apart, loss):
    """From the cluster's file alone; hosts are asked at the same time, and one that does not answer is named."""
    words = ["--SSHLauncher.connect_timeout=60", "--controller=ssh", "--controller-host=host1"] if loss == "lose_power" else []
    started = apart.run("start", "-n2", *apart.stand.arguments, *words, "--daemonize")
    assert started.returncode == 0, started.stderr
    getattr(apart.stand.system, loss)("host1")
    stopped = apart.run("stop", "--SSHLauncher.connect_timeout=2", timeout=40)
    assert stopped.returncode == 14, stopped.stderr
    assert "host1" in stopped.stderr and "connect_timeout" in stopped.stderr, stopped.stderr
    assert apart.stand.system.ask("host2", "ls /tmp | grep apus-engines") == ""
    # It is asked again, and ends when it answers.
    assert "host1" in (apart.profile / "security/cluster-.json").read_text()


@pytest.mark.timeout(180)
def test_a_stop_has_one_bound_for_its_launcher_too(apart):
    """The launcher may be waiting for an answer of the host, and `stop` asks once more: 10 s for a connection, and not for each step."""
    apart.start(*apart.stand.arguments, n=2)
    apart.hears("2 engines ready")
    apart.stand.system.pull_cable("host1")
    # For each step it would be minutes.
    stopped = apart.run("stop", timeout=100)
    assert stopped.returncode == 14 and "host1" in stopped.stderr, stopped.stderr
    assert "waiting for the launcher" in stopped.stderr, stopped.stderr
    assert apart.stand.system.ask("host2", "ls /tmp | grep apus-engines") == ""


@pytest.mark.timeout(180)
def test_a_host_without_a_cable_is_noticed(apart):
    apart.start(*apart.stand.arguments, "--", "--ping=500", n=2)
    apart.hears("2 engines ready")
    apart.stand.system.pull_cable("host1")
    wait_for(lambda: len(json.loads(apart.run("status", "--json").stdout)["engines"]) == 1, 60)
    assert names(apart) == ["host2"]
    assert os.path.exists(f"/proc/{apart.launcher.pid}") and apart.launcher.poll() is None
