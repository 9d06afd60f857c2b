"""`Cluster(engines="ssh")`: engines, and a controller, on hosts that are reached by a real sshd."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from traitlets.config import Config

from test_cluster_adaptive import left, wait_for
from test_cluster_page import blocks

sys.path.insert(0, str(os.path.join(os.path.dirname(__file__), "..", "..")))
from systems.ssh import SSHHosts  # noqa: E402


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    reason = SSHHosts.missing()
    if reason:
        pytest.skip(f"ssh {reason}")
    system = SSHHosts(tmp_path_factory.mktemp("hosts"), 2).start()
    yield system
    system.stop()


@pytest.fixture
def reached(hosts, profile, monkeypatch):
    """Plain `ssh host1` reaches them, and nothing is left there."""
    monkeypatch.setenv("PATH", f"{hosts.variables['PATH'].split(':')[0]}:{os.environ['PATH']}")
    yield hosts
    wait_for(lambda: not [pid for host in hosts.hosts for pid in hosts.processes(host)])


def settings(**more) -> Config:
    return Config(SSHLauncher={"remote_python": sys.executable}, **more)


def places(client) -> list:
    """Which host each engine was started through."""
    return sorted(os.path.basename(path) for path in client[:].apply_sync(os.getenv, "APUS_TEST_HOST"))


@pytest.mark.parametrize("form", ["dict", "list", "file", "trait"])
def test_hosts_are_given_in_many_forms(reached, profile, mark, tmp_path, form):
    from apus.cluster import Cluster

    config, hosts = settings(), {"host1": 2, "host2": {"n": 1, "engine_args": ["--log-level=DEBUG"]}}
    if form == "trait":
        config, hosts = settings(SSHEngineSetLauncher={"engines": hosts}), None
    elif form == "list":
        hosts = ["host1 2", "host2"]
    elif form == "file":
        (tmp_path / "hosts").write_text("host1 2\nhost2 1\n")
        hosts = tmp_path / "hosts"
    with Cluster(engines="SSH" if form == "trait" else "ssh", hosts=hosts, config=config) as client:
        assert len(client.ids) == 3
        assert places(client) == ["host1", "host1", "host2"]
        assert client.load_balanced_view().map_sync(abs, range(-9, 0)) == list(range(9, 0, -1))
    wait_for(lambda: not left(mark))
    assert not list((profile / "security").iterdir())


def test_the_number_of_engines_and_of_those_that_are_wanted_later(reached, mark):
    from apus.cluster import Cluster

    with Cluster(engines="ssh", hosts=["host1", "host2"], n=2, config=settings()) as client:
        assert places(client) == ["host1", "host2"]
        client.cluster.scale(3)
        wait_for(lambda: len(client.ids) == 3)
        before = set(client.ids)
        client.cluster.restart_engines_sync()
        wait_for(lambda: len(client.ids) == 3 and before.isdisjoint(client.ids))


def test_the_controller_is_there_too(reached, profile, mark):
    from apus.cluster import Cluster

    config = settings(SSHControllerLauncher={"hostname": "host2"})
    with Cluster(engines="ssh", controller="ssh", hosts={"host1": 1}, config=config) as client:
        assert places(client) == ["host1"]
        assert client.cluster.controller.running
    wait_for(lambda: not left(mark))
    assert not list((profile / "security").iterdir())


def test_it_is_found_again_and_stopped_by_another(reached, mark):
    from apus.cluster import Cluster

    cluster = Cluster(engines="ssh", hosts={"host1": 1}, cluster_id="there", shutdown_atexit=False, config=settings())
    cluster.start_cluster_sync()
    again = Cluster.from_file(cluster_id="there")
    with again.connect_client_sync() as client:
        client.wait_for_engines(1, timeout=30)
        assert places(client) == ["host1"]
    again.stop_cluster_sync()
    wait_for(lambda: not left(mark))


def test_what_a_command_has_started_is_stopped(reached, apus, mark, tmp_path):
    from apus.cluster import Cluster

    (tmp_path / "hosts").write_text("host1 1\n")
    started = apus("start", "--daemonize", "--engines=ssh", f"--hosts={tmp_path}/hosts", f"--SSHLauncher.remote_python={sys.executable}")
    assert started.returncode == 0, started.stderr
    cluster = Cluster.from_file()
    with cluster.connect_client_sync() as client:
        assert places(client) == ["host1"]
    cluster.stop_cluster_sync()
    wait_for(lambda: not left(mark))


def test_it_ends_with_a_killed_process(reached, profile, python):
    program = python(
        "import sys, time\nfrom traitlets.config import Config\nfrom apus.cluster import Cluster\n"
        f"config = Config(SSHLauncher={{'remote_python': {sys.executable!r}}})\n"
        "Cluster(engines='ssh', hosts={'host1': 1}, config=config).start_cluster_sync()\nprint('up', flush=True)\ntime.sleep(600)\n")
    assert program.stdout.readline() == "up\n", program.stderr.read()
    program.send_signal(signal.SIGKILL)
    wait_for(lambda: not list((profile / "security").iterdir()))


@pytest.mark.parametrize(("arguments", "error", "says"), [
    ({"engines": "ssh"}, RuntimeError, "needs hosts"), ({"hosts": ["host1"]}, ValueError, "engines=\"ssh\""),
    ({"engines": "ssh", "hosts": ["nosuch.invalid"]}, RuntimeError, "nosuch.invalid"),
    ({"engines": "ssh", "hosts": ["host1"], "cluster_file": ""}, ValueError, "cluster_file"),
    ({"engines": "ssh", "hosts": "/nosuch/file"}, RuntimeError, "/nosuch/file"),
])
def test_what_cannot_be(reached, make, mark, arguments, error, says):
    with pytest.raises(error, match=says):
        make(**arguments).start_cluster_sync()
    wait_for(lambda: not left(mark))


def test_a_part_of_it_alone(reached):
    from apus.cluster import Cluster
    from apus.cluster.launcher import LauncherError

    cluster = Cluster(engines="ssh", hosts={"host1": 1}, config=settings())
    with pytest.raises(LauncherError, match="start_cluster"):
        cluster.start_engines_sync(1)


def test_the_example_of_the_page(reached, python):
    [(_, text)] = blocks(on_hosts=True)
    program = python(text.replace("/opt/venv/bin/python", sys.executable))
    output, errors = program.communicate(timeout=120)
    assert program.returncode == 0, errors
    assert output.count("'") == 8, output
