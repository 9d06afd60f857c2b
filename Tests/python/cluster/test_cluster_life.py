"""A cluster's life: started, used, signalled, restarted and stopped, by both forms of the methods."""

import asyncio
import json
import os
import signal
import threading

import processes
import pytest


def pids(cluster):
    return sorted(launcher.pid for launcher in cluster.engine_set.launchers.values())


def test_with_gives_a_client_and_leaves_nothing(make, mark, profile):
    cluster = make(n=2)
    with cluster as client:
        assert client.ids == [0, 1]
        assert sorted(client[:].apply_sync(os.getpid)) == pids(cluster)
        assert client.cluster is cluster
    assert cluster.controller is None and cluster.engines == {}
    assert [process for process in processes.processes(mark) if "apus-guardian" not in process.command] == []
    assert [path.name for path in (profile / "security").iterdir()] == []
    assert list((profile / "log").glob("ip*.log")) == []


def test_async_with_in_two_loops_one_after_the_other(make):
    async def use(n):
        async with make(n=n) as client:
            return client.ids

    # Each has a loop of its own: what belongs to the first must not be waited for on the second.
    assert asyncio.run(use(1)) == [0]
    assert asyncio.run(use(2)) == [0, 1]


def test_blocking_forms_inside_a_running_loop(make):
    async def notebook():
        cluster = make(n=1)
        with cluster as client:
            ids = client.ids
            cluster.restart_engines_sync()
        return ids

    assert asyncio.run(notebook()) == [0]


def test_started_on_one_thread_and_stopped_on_another(make, mark):
    cluster = make(n=1)
    starter = threading.Thread(target=cluster.start_cluster_sync)
    starter.start()
    starter.join()
    process = cluster.controller.process
    assert process.is_running()
    asyncio.run(cluster.stop_cluster())
    assert not process.is_running()


def test_engines_by_sets(make):
    cluster = make(cluster_file="")
    cluster.start_controller_sync()
    first = cluster.start_engines_sync(1)
    second = cluster.start_engines_sync(2, "more")
    assert list(cluster.engines) == [first, "more"] and second == "more"
    assert cluster.engine_set is cluster.engines[first]
    with cluster.connect_client_sync() as client:
        client.wait_for_engines(3, timeout=40)
        cluster.stop_engines_sync("more")
        assert list(cluster.engines) == [first]
        with pytest.raises(KeyError):
            cluster.stop_engines_sync("more")


def test_a_signal_reaches_the_engines(make, wait_until, tmp_path):
    cluster = make(n=2)
    begun = [str(tmp_path / f"begun-{index}") for index in range(2)]
    code = "import time; open({!r}, 'w').close(); time.sleep(60)"
    with cluster as client:
        results = [client[index].execute(code.format(path), block=False) for index, path in enumerate(begun)]
        wait_until(lambda: all(os.path.exists(path) for path in begun))
        cluster.signal_engines_sync("INT")
        for result in results:
            with pytest.raises(Exception, match="KeyboardInterrupt"):
                result.get(timeout=40)


def test_restart_gives_new_processes_under_the_same_name(make):
    cluster = make(n=2)
    cluster.start_cluster_sync()
    name, before = next(iter(cluster.engines)), pids(cluster)
    cluster.restart_engines_sync()
    assert list(cluster.engines) == [name]
    assert len(pids(cluster)) == 2 and not set(pids(cluster)) & set(before)


def test_an_end_is_noticed_while_nobody_waits(make, wait_until):
    cluster = make(n=2)
    cluster.start_cluster_sync()
    engines, told = cluster.engine_set, []
    engines.on_stop(told.append)
    for pid in pids(cluster):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: engines.state == "after")
    wait_until(lambda: told)
    assert told[0]["exit_code"] == -signal.SIGKILL
    wait_until(lambda: json.load(open(cluster.cluster_file))["engines"]["sets"] == {})


def test_a_client_may_end_it(make, wait_until):
    cluster = make(n=2)
    client = cluster.start_and_connect_sync()
    controller, engines = cluster.controller, cluster.engine_set
    client.shutdown(hub=True, block=True)
    client.close()
    wait_until(lambda: controller.state == engines.state == "after")
    wait_until(lambda: not os.path.exists(cluster.cluster_file))
    cluster.stop_cluster_sync()


def test_more_engines_after_one_has_died(make, wait_until):
    cluster = make(n=2)
    with cluster.start_and_connect_sync() as client:
        first = cluster.engine_set
        os.kill(pids(cluster)[0], signal.SIGKILL)
        wait_until(lambda: len(first.launchers) == 1 and len(client.ids) == 1)
        # What died before is no reason to give up.
        with cluster.start_and_connect_sync(n=2) as other:
            assert len(other.ids) >= 2


def test_a_start_that_is_cancelled(make):
    cluster = make(n=1, engine_args=["-c", "import time; time.sleep(60)"], delay=60)

    async def start():
        starting = asyncio.ensure_future(cluster.start_and_connect())
        while cluster.controller is None or cluster.controller.state != "running":
            assert not starting.done()
            await asyncio.sleep(0.005)
        # It is about to wait for a minute.
        starting.cancel()
        await starting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(start())
    assert cluster.controller.process.is_running() and cluster.engines == {}


def test_one_controller_only(make):
    cluster = make()
    cluster.start_controller_sync()
    with pytest.raises(RuntimeError, match="stop_controller"):
        cluster.start_controller_sync()


def test_ctrl_c_ends_the_wait_and_not_the_cluster(python, wait_until):
    program = python("""
import signal, sys
from apus.cluster import Cluster
cluster = Cluster()
cluster.start_controller_sync()
cluster.delay = 60
try:
    print("ready", flush=True)
    cluster.start_cluster_sync()
except KeyboardInterrupt:
    print("interrupted", cluster.controller.process.is_running(), list(cluster.engines), flush=True)
""")
    assert program.stdout.readline() == "ready\n"
    # It waits for a minute now, or will in a moment: then the signal comes before the wait, with the same end.
    program.send_signal(signal.SIGINT)
    output, errors = program.communicate(timeout=40)
    assert output == "interrupted True []\n", errors


def test_every_coroutine_has_its_blocking_form(profile):
    from apus.cluster import Cluster

    names = [name for name in dir(Cluster) if asyncio.iscoroutinefunction(getattr(Cluster, name)) and not name.startswith("_")]
    assert "start_and_connect" in names and "signal_engines" in names
    for name in names:
        assert callable(getattr(Cluster, f"{name}_sync")), name


def test_a_blocking_form_in_a_callback_is_an_error(make, wait_until):
    cluster = make(n=1)
    cluster.start_cluster_sync()
    told = []

    def ended(data):
        try:
            cluster.stop_cluster_sync()
        except RuntimeError as error:
            told.append(str(error))

    cluster.engine_set.on_stop(ended)
    cluster.signal_engines_sync(signal.SIGKILL)
    wait_until(lambda: told)
    assert "without _sync" in told[0]


def test_an_overridden_coroutine_has_its_own_blocking_form(profile):
    from apus.cluster import Cluster

    class Named(Cluster):
        async def start_engines(self, n=None, engine_set_id=None, **kwargs):
            return await super().start_engines(n, f"set-{engine_set_id}", **kwargs)

    cluster = Named()
    cluster.start_controller_sync()
    try:
        assert cluster.start_engines_sync(1, "a") == "set-a"
    finally:
        cluster.stop_cluster_sync()
