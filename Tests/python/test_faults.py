"""What breaks in the field: engines that die, stop or come back, clusters that are torn down."""

import os
import signal
import time

import ipyparallel as ipp
import pytest


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_a_killed_engine_is_known_at_once(start_cluster, wait_until, record_property):
    # By its connection: it would be missed by its heart after an hour.
    client = start_cluster(n=2, arguments=["--", "--HeartMonitor.period=360000"]).client()
    pids = dict(zip(client.ids, client[:].apply_sync(os.getpid)))
    kill(pids[1])
    record_property("seconds", wait_until(lambda: client.ids == [0]))


def test_a_task_of_a_killed_engine_gets_an_error(start_cluster, wait_until):
    client = start_cluster(n=2).client()
    pid = client[1].apply_sync(os.getpid)
    task = client.load_balanced_view(targets=[1]).apply_async(time.sleep, 60)
    wait_until(lambda: client.queue_status(1)["tasks"] == 1)
    kill(pid)
    with pytest.raises(ipp.error.RemoteError) as caught:
        task.get(40)
    assert caught.value.ename == "EngineError"


def test_a_task_of_a_killed_engine_is_retried(start_cluster):
    client = start_cluster(n=2).client()

    def once(flag):
        import os
        import signal

        if not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    view = client.load_balanced_view()
    view.retries = 1
    flag = client[0].apply_sync(os.getcwd) + "/once"
    try:
        assert view.apply_async(once, flag).get(40) == "done"
    finally:
        if os.path.exists(flag):
            os.remove(flag)
    assert len(client.ids) == 1


def test_a_direct_task_of_a_killed_engine_gets_an_error(start_cluster):
    client = start_cluster(n=2).client()
    task = client[1].apply_async(os.kill, client[1].apply_sync(os.getpid), signal.SIGKILL)
    with pytest.raises((ipp.error.RemoteError, ipp.error.EngineError)):
        task.get(40)


def test_a_stopped_engine_keeps_its_namespace(start_cluster):
    client = start_cluster(n=1).client()
    client[0]["kept"] = "still here"
    pid = client[0].apply_sync(os.getpid)
    os.kill(pid, signal.SIGSTOP)
    waiting = client[0].apply_async(str, ipp.Reference("kept"))
    time.sleep(1)
    os.kill(pid, signal.SIGCONT)
    assert waiting.get(40) == "still here"


def test_an_engine_given_up_for_dead_comes_back(start_cluster, wait_until):
    arguments = ["--", "--HeartMonitor.period=100", "--HeartMonitor.max_heartmonitor_misses=30"]
    client = start_cluster(n=1, arguments=arguments).client()
    client[0]["kept"] = "still here"
    pid = client[0].apply_sync(os.getpid)
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: not client.ids)
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: client.ids)
    assert client[client.ids[0]]["kept"] == "still here"
    assert client[client.ids[0]].apply_sync(os.getpid) == pid


def test_nothing_outlives_an_interrupted_cluster(start_cluster, wait_until):
    cluster = start_cluster(n=2)
    cluster.client()
    security = cluster.connection_file.parent
    cluster.process.send_signal(signal.SIGINT)
    assert cluster.process.wait(40) in (0, -signal.SIGINT, 130)
    wait_until(lambda: cluster.processes() == [])
    assert list(security.glob("*.json")) == []


def test_at_most_four_processes(start_cluster):
    cluster = start_cluster(n=2)
    cluster.client()
    assert len(cluster.processes()) <= 4


def test_a_controller_with_another_key_on_the_same_ports(parts, wait_until):
    """The old ports answer, with another key: the engine looks into the new file and comes back as itself."""
    # Engines import this module, and have no path to that one.
    from ports import free_ports

    ports = ",".join(map(str, free_ports(18)))
    first = parts.start("ipcontroller", f"--ports={ports}", "--HeartMonitor.period=200")
    parts.start("ipengine")
    client = parts.client(1)
    pid = client[0].apply_sync(os.getpid)
    client[0].push({"mark": 17}, block=True)
    first.kill()
    first.wait()
    parts.clients.remove(client)
    client.close()
    before = (parts.security / "ipcontroller-client.json").read_text()
    parts.start("ipcontroller", f"--ports={ports}", "--HeartMonitor.period=200")
    wait_until(lambda: (parts.security / "ipcontroller-client.json").read_text() != before)
    again = parts.client(1)
    assert again[0].apply_sync(os.getpid) == pid
    assert again[0]["mark"] == 17
