"""What every user of ipyparallel does first, through the stock client."""

import os
import time

import ipyparallel as ipp
import pytest


def where(_):
    time.sleep(0.01)
    return os.getpid()


def busy(begun):
    open(begun, "w").close()
    for _ in range(600):
        time.sleep(0.05)


def held(gate):
    while not os.path.exists(gate):
        time.sleep(0.01)


def test_both_engines_are_seen(client):
    assert client.ids == [0, 1]
    assert len(set(client[:].apply_sync(os.getpid))) == 2


@pytest.mark.parametrize("block", [True, False])
def test_map_on_all_engines(client, block):
    result = client[:].map(lambda x: x**2, range(10), block=block)
    assert (result if block else result.get(40)) == [x**2 for x in range(10)]


def test_balanced_map_keeps_the_order(client):
    assert client.load_balanced_view().map_sync(lambda x: x + 1, range(200)) == list(range(1, 201))


def test_balanced_tasks_reach_both_engines(client):
    assert len(set(client.load_balanced_view().map_sync(where, range(20)))) == 2


def test_broadcast(client):
    view = client.broadcast_view()
    assert view.apply_sync(lambda: 6 * 7) == [42, 42]
    coalescing = client.broadcast_view(is_coalescing=True)
    assert coalescing.apply_sync(lambda: 6 * 7) == [42, 42]


def test_push_and_pull(client):
    view = client[:]
    view.push({"a": 1, "b": [1, 2, 3]}, block=True)
    assert view.pull(["a", "b"], block=True) == [[1, [1, 2, 3]]] * 2
    view["a"] = "text"
    assert view["a"] == ["text", "text"]


@pytest.mark.parametrize("kind", ["b", "r"])
def test_scatter_and_gather(client, kind):
    view = client[:]
    view.scatter("part", list(range(11)), dist=kind, block=True)
    assert view.gather("part", dist=kind, block=True) == list(range(11))


def test_arrays_travel_whole(client):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(1_000_000, dtype="float64").reshape(1000, 1000)
    client[:].push({"array": array}, block=True)
    assert client[:].apply_sync(lambda a: float(a.sum()), ipp.Reference("array")) == [float(array.sum())] * 2
    assert (client[0].pull("array", block=True) == array).all()


def test_output_of_a_cell(client):
    result = client[:].execute("print('printed'); 6 * 7", silent=False, block=True)
    result.wait_for_output(40)
    assert [text.strip() for text in result.stdout] == ["printed", "printed"]
    assert [reply["data"]["text/plain"] for reply in result.execute_result] == ["42", "42"]


def test_an_error_names_its_cause(client):
    with pytest.raises(ipp.error.RemoteError) as caught:
        client[0].apply_sync(lambda: 1 // 0)
    assert caught.value.ename == "ZeroDivisionError"


def test_errors_of_several_engines_come_together(client):
    with pytest.raises(ipp.error.CompositeError) as caught:
        client[:].apply_sync(lambda: 1 // 0)
    assert len(caught.value.elist) == 2


def test_dependencies_hold(client):
    view = client.load_balanced_view()
    first = view.apply_async(lambda: 1)
    with view.temp_flags(after=[first]):
        second = view.apply_async(lambda: 2)
    assert second.get(40) == 2
    assert second.metadata.started >= first.metadata.completed


def test_a_task_that_waits_can_be_aborted(client, tmp_path):
    view = client.load_balanced_view()
    running = [view.apply_async(held, str(tmp_path / "gate")) for _ in range(4)]
    with view.temp_flags(after=running):
        waiting = view.apply_async(lambda: "never")
    client.abort(waiting, block=True)
    (tmp_path / "gate").touch()
    with pytest.raises(ipp.error.TaskAborted):
        waiting.get(40)


def test_the_hub_remembers_results(cluster, client):
    msg_id = client.load_balanced_view().apply_async(lambda: "remembered").msg_ids[0]
    client.wait(timeout=40)
    with cluster.client() as other:
        assert other.get_result(msg_id).get(40) == "remembered"
        assert msg_id in other.hub_history()


def test_queue_status_counts(client):
    client[0].apply_sync(lambda: None)
    status = client.queue_status()
    assert status["unassigned"] == 0
    assert status[0]["completed"] >= 1


def test_executor(client):
    with client.executor() as executor:
        assert executor.submit(lambda x: x * 2, 21).result(40) == 42


def test_interrupt_reaches_a_busy_task(client, tmp_path, wait_until):
    begun = tmp_path / "begun"
    task = client[0].apply_async(busy, str(begun))
    wait_until(begun.exists)
    client.send_signal("SIGINT", targets=0, block=True)
    with pytest.raises(ipp.error.RemoteError) as caught:
        task.get(40)
    assert caught.value.ename == "KeyboardInterrupt"
    assert client[0].apply_sync(lambda: "alive") == "alive"
