"""What a client keeps: nothing of what was read, and nothing of what nobody will read."""

import gc
import weakref

import pytest

from apus.message import Message


def messages():
    gc.collect()
    return sum(type(obj) is Message for obj in gc.get_objects())


def test_results_that_were_read_are_forgotten(client, view):
    before = messages()
    for result in [view.apply_async(abs, -x) for x in range(500)]:
        result.get(40)
    del result
    assert messages() == before
    assert not client._dispatcher.under_way and not client._dispatcher._early
    assert not client.results and not client.metadata


def test_results_that_are_never_read(client, view):
    before = messages()
    refs = [weakref.ref(view.apply_async(bytes, 1000)) for _ in range(500)]
    assert client.wait(timeout=40)
    gc.collect()
    assert messages() == before and not any(ref() for ref in refs)
    assert not client._dispatcher.under_way


def test_without_the_collector(client, view):
    """Results that were read are freed at once, not when the cycle collector comes."""
    gc.collect()
    gc.disable()
    try:
        ref = weakref.ref(view.apply_async(abs, -1))
        client.wait(timeout=40)
        assert ref() is None
        result = view.apply_async(abs, -1)
        message = weakref.ref(result._children[0])
        result.get(40)
        del result
        assert message() is None
    finally:
        gc.enable()


def test_output_that_is_never_looked_at(client):
    before = messages()
    for _ in range(50):
        client[:].apply_async(print, "x" * 100)
    client[:].execute("print(5)")
    client.wait(timeout=40)
    client._dispatcher.wait_until(lambda: not client._dispatcher.under_way, 40)
    assert messages() == before and not client._dispatcher.under_way


def test_callback_of_a_result_that_nobody_holds(client, view):
    seen = []
    view.apply_async(abs, -6).add_done_callback(lambda result: seen.append(result.result()))
    gc.collect()
    client._dispatcher.wait_until(lambda: seen, 40)
    assert seen == [6]


@pytest.mark.timeout(180)
def test_many_tasks_through_one_client(run_program):
    """In a process of its own: what other tests have left would be counted."""
    ended = run_program(
        """
        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        client = ipp.Client(path)
        view = client.load_balanced_view()

        def some():
            for result in [view.apply_async(abs, -x) for x in range(1000)]:
                result.get(60)

        for _ in range(3):
            some()
        before = resident()
        for _ in range(20):
            some()
        print(resident() - before)
        print(len(client.history), len(view.history), client.history[-1] == view.history[-1], len(client.history._starts) < 100)
        """,
        150,
    )
    assert ended.stderr == ""
    grown, ids = ended.stdout.splitlines()
    # 20 000 tasks: a hundred bytes of each would be 2 MB.
    assert int(grown) < 2_000_000
    assert ids == "23000 23000 True True"


def test_large_results_leave_the_message(view):
    numpy = pytest.importorskip("numpy")
    result = view.apply_async(numpy.zeros, 1 << 20)
    array = weakref.ref(result.get(40))
    assert result._children[0].reply[5] is None
    del result
    gc.collect()
    assert array() is None
