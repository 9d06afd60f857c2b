"""Maps that are left to themselves: right results, few tasks, every item run."""

from itertools import count

import pytest

import apus as ipp


def double(x):
    return 2 * x


def add(x, y):
    return x + y


def tasks_of(view, call):
    before = len(view.history)
    result = call()
    return result, len(view.history) - before


def test_many_small_items_make_few_tasks(view):
    result, tasks = tasks_of(view, lambda: view.map_sync(double, range(50_000)))
    assert result == [2 * x for x in range(50_000)]
    assert tasks < 500


def test_few_items_are_tasks_of_their_own(view):
    result, tasks = tasks_of(view, lambda: view.map_sync(double, range(50)))
    assert result == [2 * x for x in range(50)] and tasks == 50


@pytest.mark.parametrize("size, tasks", [(1, 1000), (7, 143), (1000, 1), (5000, 1)])
def test_a_given_size_is_exact(view, size, tasks):
    result, sent = tasks_of(view, lambda: view.map_async(double, range(1000), chunksize=size))
    assert result.get(60) == [2 * x for x in range(1000)]
    assert sent == tasks and len(result) == 1000


def test_groups_of_long_items_are_small(view):
    """Of items of 20 ms no more than five make a task: no engine idles for long while another has a group to do."""
    def nap(x):
        import time

        time.sleep(0.02)
        return x

    result, tasks = tasks_of(view, lambda: view.map_sync(nap, range(100)))
    assert result == list(range(100)) and tasks > 20


def test_several_sequences_and_the_shortest_counts(view):
    assert view.map_sync(add, range(1000), range(500)) == [2 * x for x in range(500)]
    assert view.map_sync(add, range(1000), iter(range(300))) == [2 * x for x in range(300)]
    assert view.map_sync(double, []) == []


def test_results_come_while_the_map_runs(view, gate):
    wait = gate.wait

    def nap(x):
        import time

        time.sleep(0.005)
        return wait(x) if x == 399 else x

    result = view.map_async(nap, range(400))
    seen = iter(result)
    assert next(seen) == 0 and not result.ready()
    assert 0 < result.progress < 400 and len(result) == 400
    gate.open()
    assert list(seen) == list(range(1, 400))
    assert result.progress == 400


def test_unordered(view):
    result = view.map_async(double, range(5000), ordered=False)
    assert sorted(result) == [2 * x for x in range(5000)]
    assert result.get() == [2 * x for x in range(5000)]


def fail_on_thirteens(x):
    if x % 13 == 0:
        raise ValueError(f"thirteen {x}")
    return x


def test_each_failing_item_is_told(view):
    result = view.map_async(fail_on_thirteens, range(1300))
    with pytest.raises(ipp.CompositeError) as info:
        result.get(30)
    assert len(info.value.elist) == 100
    assert [entry[1] for entry in info.value.elist] == [f"thirteen {x}" for x in range(0, 1300, 13)]
    ename, _, traceback, engine_info = info.value.elist[0]
    assert ename == "ValueError" and "fail_on_thirteens" in traceback and engine_info["engine_id"] in (0, 1)
    # Our own frames are nobody's business.
    assert "batches.py" not in traceback


def test_items_beside_failing_ones_are_run(client, view):
    client[:].push({"seen": []}, block=True)

    @ipp.interactive
    def note(x):
        seen.append(x)  # noqa: F821
        if x % 2:
            raise ValueError(x)

    with pytest.raises(ipp.CompositeError):
        view.map_sync(note, range(500))
    assert sorted(sum(client[:].pull("seen", block=True), [])) == list(range(500))


def test_exceptions_as_results(view):
    result = view.map_async(fail_on_thirteens, range(500), return_exceptions=True)
    values = result.get(30)
    assert [x for x, value in enumerate(values) if isinstance(value, ipp.RemoteError)] == list(range(0, 500, 13))
    assert [value for value in values if not isinstance(value, Exception)] == [x for x in range(500) if x % 13]
    assert [type(value) for value in result] == [type(value) for value in values]


def test_iteration_stops_at_the_failing_item(view):
    def fail_at_90(x):
        if x == 90:
            raise KeyError(x)
        return x

    seen = []
    with pytest.raises(ipp.RemoteError) as info:
        for value in view.map_async(fail_at_90, range(200)):
            seen.append(value)
    assert seen == list(range(90)) and info.value.elist[0][0] == "KeyError"


def test_large_items_make_small_tasks(view):
    """Quick items, but of 1 MB each: a task of ten thousand of them would fill the memory."""
    numpy = pytest.importorskip("numpy")
    block = numpy.zeros(1 << 17)
    view.map_sync(len, range(0, 0))
    biggest = []
    send = view._send

    def watched(route, targets, kind, form, content, metadata, frames, flags, label):
        biggest.append(sum(memoryview(frame).nbytes for frame in frames))
        return send(route, targets, kind, form, content, metadata, frames, flags, label)

    view._send = watched
    assert view.map_sync(len, [block] * 200) == [1 << 17] * 200
    assert max(biggest) < 40 << 20


def test_functions_and_references_in_long_lists(client, view):
    """What must be prepared one by one still is, in groups."""
    client[:].push({"base": 100}, block=True)
    assert view.map_sync(lambda f: f(), [lambda x=x: x for x in range(200)]) == list(range(200))
    assert view.map_sync(double, [ipp.Reference("base")] * 200) == [200] * 200


def test_item_that_cannot_be_sent(view):
    """Far behind in the sequence, when the map has long returned."""
    import threading

    items = [*range(30_000), threading.Lock()]
    result = view.map_async(str, items)
    with pytest.raises(TypeError):
        result.get(30)


def test_split_sends_everything(view):
    result = view.map_async(double, range(300))
    parts = result.split()
    assert sum((part.get(30)[0] for part in parts), []) == [2 * x for x in range(300)]


def test_arrays(view):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(10_000.0)
    assert view.map_sync(double, array) == list(2 * array)


def test_targets(client):
    import os

    pid = client[1].apply_sync(os.getpid)
    view = client.load_balanced_view([1])
    assert set(view.map_sync(lambda _: __import__("os").getpid(), range(200))) == {pid}


# -- lazy maps


def test_imap_reads_no_more_than_it_needs(client, view):
    """An endless input, and nobody who takes results."""
    read = []

    def numbers():
        for x in count():
            read.append(x)
            yield x

    results = view.imap(double, numbers(), max_outstanding=4)
    assert [next(results) for _ in range(10)] == [2 * x for x in range(10)]
    lazy = results._map
    client._dispatcher.wait_until(lambda: not lazy._has_room() and not lazy._under_way, 40)
    limit = len(read)
    assert limit < 400
    # Each result that is taken lets one more be read.
    assert [next(results) for _ in range(5)] == [2 * x for x in range(10, 15)]
    client._dispatcher.wait_until(lambda: len(read) > limit, 40)
    results.cancel()


def test_imap_that_nobody_holds_ends(view):
    results = view.imap(double, count())
    thread = results._map._thread
    next(results)
    del results
    thread.join(40)
    assert not thread.is_alive()


def test_imap_of_an_input_that_fails(view):
    def numbers():
        yield from range(5)
        raise LookupError("no more")

    results = view.imap(double, numbers())
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    with pytest.raises(LookupError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_imap_of_what_cannot_be_called(view):
    with pytest.raises(TypeError):
        view.imap(5, range(3))


def test_imap_unordered(view):
    assert sorted(view.imap(double, range(100), ordered=False, max_outstanding=0)) == [2 * x for x in range(100)]
