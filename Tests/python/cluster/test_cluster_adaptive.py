"""`Cluster(min=…, max=…)`: it follows its work, and ends with this process."""

from __future__ import annotations

import json
import os
import signal
import time

import processes
import pytest
from traitlets.config import Config


def wait_for(what, seconds: float = 40):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def left(mark) -> list:
    """What lives of a cluster; the shell that watches over this process does so as long as it."""
    return [process for process in processes.processes(mark) if "apus-guardian" not in process.command]


def test_it_grows_with_its_work_and_leaves_nothing(profile, mark):
    from apus.cluster import Cluster

    with Cluster(min=1, max=3, engine_args=["--log-level=DEBUG"]) as client:
        assert len(client.ids) == 1
        assert client[:].apply_sync(os.getenv, "IPP_PROFILE_DIR") == [str(profile)]
        result = client.load_balanced_view().map_async(time.sleep, [0.25] * 60, chunksize=1)
        wait_for(lambda: len(client.ids) == 3)
        result.get(60)
        status = client.scaling()
        assert status.supervised and (status.minimum, status.maximum) == (1, 3)
        client.cluster.scale(2, force=True)
        wait_for(lambda: len(client.ids) == 2)
        client.cluster.restart_engines_sync()
    wait_for(lambda: not left(mark))
    assert not list((profile / "security").iterdir())


def test_it_is_found_again_and_stopped_by_another(profile, mark):
    from apus.cluster import Cluster

    cluster = Cluster(max=2, cluster_id="work", shutdown_atexit=False)
    cluster.start_cluster_sync()
    again = Cluster.from_file(cluster_id="work")
    with again.connect_client_sync() as client:
        client.wait_for_engines(1, timeout=30)
        again.adapt(2, 2)
        wait_for(lambda: len(client.ids) == 2)
    again.stop_cluster_sync()
    wait_for(lambda: not left(mark))
    # Who stops what is gone already has nothing to do.
    cluster.stop_cluster_sync()


def test_it_ends_with_a_killed_process(profile, python):
    program = python(
        "import sys\nfrom apus.cluster import Cluster\n"
        "cluster = Cluster(min=2, cluster_id='k')\ncluster.start_cluster_sync()\nprint('up', flush=True)\nsys.stdin.read()\nimport time\ntime.sleep(600)\n")
    assert program.stdout.readline() == "up\n", program.stderr.read()
    supervisor = json.loads((profile / "security/cluster-k.json").read_text())["supervisor"]["state"]["pid"]
    program.send_signal(signal.SIGKILL)
    wait_for(lambda: not processes.runs(supervisor))
    wait_for(lambda: not list((profile / "security").iterdir()))


def test_a_start_that_fails_leaves_nothing(profile, mark, tmp_path):
    """Its launcher would serve on with the engines that there are."""
    from apus.cluster import Cluster

    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    mute.chmod(0o755)
    cluster = Cluster(min=1, engine_timeout=1, config=Config(EngineLauncher={"engine_cmd": [str(mute)]}))
    with pytest.raises(RuntimeError, match="could not be started"):
        cluster.start_cluster_sync()
    assert cluster.controller is None
    wait_for(lambda: not left(mark))
    assert not list((profile / "security").iterdir())


def test_a_cluster_of_somebody_else_stays(profile, mark):
    from apus.cluster import Cluster

    with Cluster(min=1, cluster_id="one") as client:
        with pytest.raises(RuntimeError, match="running already"):
            Cluster(min=1, cluster_id="one").start_cluster_sync()
        assert client[:].apply_sync(abs, -3) == [3]


def test_what_is_configured_is_on_no_command_line(profile, mark):
    """Environments of engines have passwords in them, and everybody can read command lines."""
    from apus.cluster import Cluster

    config = Config()
    config.EngineLauncher.environment = {"TOKEN": "s3cret"}
    config.EngineLauncher.engine_args.append("--log-level=DEBUG")
    with Cluster(min=1, config=config) as client:
        assert client[:].apply_sync(os.getenv, "TOKEN") == ["s3cret"]
        commands = [" ".join(process.command) for process in left(mark)]
        assert len(commands) >= 3 and not [command for command in commands if "s3cret" in command or "LazyConfig" in command]
        assert [command for command in commands if "--log-level=DEBUG" in command]


@pytest.mark.parametrize(("arguments", "error", "says"), [
    ({"min": 3, "max": 2}, RuntimeError, "--min is 3"), ({"max": 2, "load_profile": False}, ValueError, "load_profile"),
    ({"min": 1, "cluster_file": ""}, ValueError, "cluster_file"), ({"min": 1, "engines": "mpi"}, RuntimeError, "MPI ranks"),
])
def test_what_cannot_be(profile, make, arguments, error, says):
    with pytest.raises(error, match=says):
        make(**arguments).start_cluster_sync()
