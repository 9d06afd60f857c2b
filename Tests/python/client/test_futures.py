"""Results as futures: waiting for several, asyncio, cancelling."""

import asyncio
import concurrent.futures
import time

import pytest

import apus as ipp


def nap(seconds):
    import time

    time.sleep(seconds)
    return seconds


def until(condition, seconds=40):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def is_free(view, seconds=40.0):
    """Whether the engines of the view answer at once."""
    began = time.perf_counter()
    view.apply_async(abs, -1).get(seconds)
    return time.perf_counter() - began < seconds


def test_results_are_futures(view):
    result = view.apply_async(abs, -3)
    assert isinstance(result, concurrent.futures.Future)
    assert result.result(40) == 3 and result.done() and not result.cancelled() and result.exception() is None
    failing = view.apply_async(lambda: 1 / 0)
    assert isinstance(failing.exception(40), ipp.RemoteError) and failing.exception().ename == "ZeroDivisionError"


def test_stdlib_waits_for_ours(view):
    results = [view.apply_async(nap, 0.01 * n) for n in range(4)]
    done, pending = concurrent.futures.wait(results, timeout=40)
    assert done == set(results) and not pending
    results = [view.apply_async(nap, 0.01 * n) for n in range(4)]
    assert {result.result() for result in concurrent.futures.as_completed(results, timeout=40)} == {0.01 * n for n in range(4)}


def test_first_exception_of_the_stdlib(view):
    slow, failing = view.apply_async(nap, 60), view.apply_async(lambda: 1 / 0)
    done, pending = concurrent.futures.wait([slow, failing], timeout=40, return_when=concurrent.futures.FIRST_EXCEPTION)
    assert done == {failing} and pending == {slow}
    slow.cancel()


def test_as_completed(client, gate):
    slow, quick = client[0].apply_async(gate.wait), client[1].apply_async(nap, 0.01)
    quick.add_done_callback(lambda _: gate.open())
    assert list(ipp.as_completed([slow, quick])) == [quick, slow]
    # Those that are done already come first, and twice the same is one.
    assert list(ipp.as_completed([slow, slow])) == [slow]
    never = client[0].apply_async(nap, 60)
    with pytest.raises(TimeoutError):
        list(ipp.as_completed([never], timeout=0.05))
    never.cancel()


def test_wait(client, gate):
    slow, quick = client[0].apply_async(gate.wait), client[1].apply_async(nap, 0.01)
    done, pending = ipp.wait([slow, quick], return_when=ipp.FIRST_COMPLETED)
    assert done == {quick} and pending == {slow}
    assert ipp.wait([slow, quick], timeout=0.01) == ({quick}, {slow})
    gate.open()
    assert ipp.wait([slow, quick]) == ({slow, quick}, set())


def test_as_completed_with_other_futures(view):
    other = concurrent.futures.Future()
    other.set_result(1)
    assert {future.result() for future in ipp.as_completed([other, view.apply_async(abs, -2)], timeout=40)} == {1, 2}


def test_callbacks(view):
    seen = []
    result = view.apply_async(abs, -5)
    result.add_done_callback(lambda done: seen.append(done.result()))
    result.get(40)
    result.add_done_callback(lambda done: seen.append("at once"))
    view.client._dispatcher.wait_until(lambda: len(seen) == 2, 40)
    assert sorted(map(str, seen)) == ["5", "at once"]


def test_callback_that_waits_itself(view):
    """It is called in the midst of another wait."""
    seen = []
    first = view.apply_async(abs, -1)
    first.add_done_callback(lambda done: seen.append(view.apply_async(abs, -2).get(40)))
    first.get(40)
    view.client._dispatcher.wait_until(lambda: seen, 40)
    assert seen == [2]


def test_await(client, view):
    async def main():
        assert await view.apply_async(abs, -7) == 7
        assert await asyncio.gather(*(view.apply_async(abs, -n) for n in range(20))) == list(range(20))
        assert await client[:].apply_async(abs, -1) == [1, 1]
        with pytest.raises(ipp.RemoteError):
            await view.apply_async(lambda: 1 / 0)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_timeout_in_asyncio_frees_the_engine(client):
    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client[0].apply_async(nap, 60), 0.3)

    asyncio.run(main())
    assert is_free(client[0])


def test_cancel_frees_the_engine(client):
    running, waiting = client[0].apply_async(nap, 60), client[0].apply_async(nap, 60)
    # It has begun.
    assert not running.wait(0.3)
    assert waiting.cancel() and running.cancel()
    assert running.cancelled() and running.done() and waiting.cancelled()
    for result in (running, waiting):
        with pytest.raises(concurrent.futures.CancelledError):
            result.get(1)
        with pytest.raises(concurrent.futures.CancelledError):
            result.result(1)
    assert is_free(client[0])


def test_cancel_after_the_end(view):
    result = view.apply_async(abs, -1)
    result.get(40)
    assert not result.cancel() and not result.cancelled() and result.get() == 1


def test_waits_for_cancelled_results_end(client):
    results = [client[0].apply_async(nap, 60) for _ in range(3)]
    called = []
    results[2].add_done_callback(called.append)
    for result in results:
        result.cancel()
    assert concurrent.futures.wait(results, timeout=40).not_done == set()
    assert len(list(concurrent.futures.as_completed(results, timeout=40))) == 3
    assert ipp.wait(results, timeout=40).not_done == set()
    assert called == [results[2]]
    assert is_free(client[0])


def test_cancel_of_one_that_somebody_waits_for(client):
    """The waiting thread is told."""
    result = client[0].apply_async(nap, 60)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(result.get)
        assert not concurrent.futures.wait([waiting], 0.2).done
        result.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            waiting.result(40)


def test_abort_takes_back_what_has_not_begun(client, gate):
    running, waiting = client[0].apply_async(gate.wait, 0.5), client[0].apply_async(nap, 60)
    until(lambda: gate.waiting == 1)
    waiting.abort()
    gate.open()
    with pytest.raises(ipp.TaskAborted):
        waiting.get(40)
    assert running.get(40) == 0.5
    with pytest.raises(RuntimeError):
        running.abort()


def test_map_that_was_aborted_ends(client, view, gate):
    busy = client[:].apply_async(gate.wait, 0.5)
    until(lambda: gate.waiting == 2)
    result = view.map_async(nap, [0.001] * 20)
    result.abort()
    gate.open()
    with pytest.raises((ipp.TaskAborted, ipp.CompositeError)):
        result.get(40)
    with pytest.raises((ipp.TaskAborted, ipp.CompositeError)):
        list(result)
    assert busy.get(40)


def test_map_that_was_cancelled_ends(client, view):
    """One whose items are grouped, and most of which was never sent."""
    result = view.map_async(nap, [0.02] * 100_000)
    assert not result.wait(0.3)
    assert result.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        result.get(40)
    assert is_free(client[0]) and is_free(client[1])


def test_executor(client):
    with client.executor() as executor:
        assert executor.submit(pow, 2, 5).result(40) == 32
        assert list(executor.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
        assert list(executor.map(pow, [2, 3], [3, 2])) == [8, 9]


def test_engine_is_lost(start_cluster, connect_to):
    client = connect_to(start_cluster(1), 1)
    import os

    result = client[0].apply_async(os._exit, 1)
    with pytest.raises(ipp.RemoteError) as info:
        result.get(30)
    assert info.value.ename == "EngineError" and result.engine_id == 0 and "0" in str(info.value)


def test_plain_calls_take_the_short_way(view, monkeypatch):
    """Flags that were set and taken back leave no trace; those that are set count."""
    assert not view._has_flags
    with view.temp_flags(retries=1, label="x"):
        assert view._has_flags and view.apply_async(abs, -1).label == "x"
    assert not view._has_flags
    for name, value in {"after": ["1"], "follow": ["1"], "targets": [0], "timeout": 1.0, "retries": 1, "track": True, "label": "x"}.items():
        before = getattr(view, name)
        setattr(view, name, value)
        assert view._has_flags, name
        setattr(view, name, before)
        assert not view._has_flags, name
    monkeypatch.setattr(view, "_really_apply", None)
    assert view.apply_async(abs, -1).get(40) == view.apply_sync(abs, -1) == view.apply(abs, -1).get(40) == 1


@pytest.mark.parametrize("block", [True, False])
def test_blocking_views(client, block):
    view = client.load_balanced_view(block=block)
    result = view.apply(abs, -2)
    assert (result if block else result.get(40)) == 2
    assert client.direct_view([0], block=True).apply(abs, -2) == [2]
