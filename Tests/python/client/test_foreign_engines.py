"""Stock engines: they read no codec of ours, and a client of ours works with them all the same."""

import time

import pytest

import apus as ipp


@pytest.fixture
def mixed(parts):
    """Our controller, one engine of ours and one of stock's."""
    parts.start("ipcontroller", "--ping=250")
    parts.start("ipengine")
    parts.start("ipengine", of="stock")
    file = parts.security / "ipcontroller-client.json"
    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline, parts.all_logs()
        time.sleep(0.01)
    with ipp.Client(str(file)) as client:
        client.wait_for_engines(2, timeout=60)
        yield client


def test_mixed_engines(mixed):
    client = mixed
    engines = client._dispatcher.engines
    assert not engines.are_all_own and sum(engines.are_own([engine_id]) for engine_id in client.ids) == 1
    here = ipp.interactive
    kinds = client[:].apply_sync(here(lambda: "ipykernel" in __import__("sys").modules))
    assert sorted(kinds) == [False, True]

    view = client.load_balanced_view()
    assert view.map_sync(here(lambda x: x * 2), range(100)) == [2 * x for x in range(100)]
    client[:].push({"a": 5, "f": here(lambda x: x + 1)}, block=True)
    assert client[:].pull(["a"], block=True) == [[5], [5]]
    assert client[:].apply_sync(ipp.Reference("f"), ipp.Reference("a")) == [6, 6]
    client[:].scatter("part", list(range(10)), block=True)
    assert client[:].gather("part", block=True) == list(range(10))
    assert client.broadcast_view().apply_sync(here(lambda: 1)) == [1, 1]
    assert client.broadcast_view(is_coalescing=True).apply_sync(here(lambda: [1, 2])) == [[1, 2], [1, 2]]

    result = client[:].apply_async(print, "said")
    assert result.get(40) == [None, None] and result.wait_for_output(40) and result.stdout == ["said\n"] * 2

    failing = client[:].apply_async(here(lambda: 1 / 0))
    with pytest.raises(ipp.CompositeError) as info:
        failing.get(40)
    assert [entry[0] for entry in info.value.elist] == ["ZeroDivisionError"] * 2

    @ipp.require("json")
    @ipp.interactive
    def use():
        return json.dumps([1])  # noqa: F821

    assert client[:].apply_sync(use) == ["[1]", "[1]"]
    # Waiting tasks are taken back from either.
    busy = client[:].apply_async(time.sleep, 0.5)
    waiting = client[:].apply_async(time.sleep, 30)
    waiting.abort()
    assert busy.get(40) == [None, None]
    assert waiting.wait(40)
