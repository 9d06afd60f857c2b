"""What travels to engines and back: functions, and data of all kinds."""

import functools
import operator
import pickle
import threading
from collections import namedtuple

import pytest

import apus as ipp
from apus import codec

Point = namedtuple("Point", "x y")


class Shape:
    """Defined in a module that the engines can import."""

    def __init__(self, side):
        self.side = side

    def __eq__(self, other):
        return type(other) is Shape and self.side == other.side

    def area(self):
        return self.side**2


def echo(*args, **kwargs):
    return args, kwargs


def module_global():
    return Point(1, 2)


# -- functions that are kept


def test_closures_are_told_apart(view):
    """The same code with other cells: the pickle that was kept must not be used."""
    made = [lambda x=None, n=n: n for n in range(3)] + [(lambda n: lambda: n)(n) for n in (10, 11, 12)]
    assert [view.apply_sync(function) for function in made] == [0, 1, 2, 10, 11, 12]
    alike = [(lambda n: lambda: n)(n) for n in (1, True, 1.0, 0.0, -0.0, "1", b"1", None)]
    assert [repr(view.apply_sync(function)) for function in alike] == ["1", "True", "1.0", "0.0", "-0.0", "'1'", "b'1'", "None"]


def test_a_function_that_was_changed(view):
    def function(x=1, *, y=10):
        return x + y

    assert view.apply_sync(function) == 11
    function.__defaults__ = (2,)
    assert view.apply_sync(function) == 12
    function.__kwdefaults__ = {"y": 20}
    assert view.apply_sync(function) == 22
    function.__code__ = (lambda x, *, y: x * y).__code__
    assert view.apply_sync(function) == 40
    cell = [1]

    def closing():
        return cell[0]

    assert view.apply_sync(closing) == 1
    cell[0] = 2
    assert view.apply_sync(closing) == 2


def test_mutable_defaults_are_new_for_each_task(client):
    def append(x, into=[]):  # noqa: B006
        into.append(x)
        return into

    view = client.load_balanced_view([0])
    assert [view.apply_sync(append, n) for n in range(3)] == [[0], [1], [2]]


def test_attributes_of_a_function_are_new_for_each_task(client):
    @ipp.interactive
    def count():
        return 1

    @ipp.interactive
    def mark(function):
        function.calls = getattr(function, "calls", 0) + 1
        return function.calls

    view = client.load_balanced_view([0])
    assert [view.apply_sync(mark, count) for _ in range(3)] == [1, 1, 1]


def test_kept_functions_are_few():
    before = len(codec._functions)
    for n in range(1000):
        codec.dump_function(eval(f"lambda: {n}"))
    assert len(codec._functions) <= max(before, codec._KEPT)


def test_the_same_function_is_pickled_once():
    def function(x):
        return x

    assert codec.dump_function(function) is codec.dump_function(function)
    assert codec.dump_function(operator.add) == codec.dump_function(operator.add)


# -- what functions see


def test_functions_of_main_see_the_engine_s_names(client):
    client[:].push({"here": "engine"}, block=True)

    @ipp.interactive
    def look():
        return here  # noqa: F821

    assert client[:].apply_sync(look) == ["engine"] * 2
    assert client.load_balanced_view().apply_sync(look) == "engine"
    assert client.load_balanced_view().map_sync(ipp.interactive(lambda x: (x, here)), range(100)) == [(x, "engine") for x in range(100)]  # noqa: F821


def test_functions_of_modules_see_the_module(view):
    assert view.apply_sync(module_global) == Point(1, 2)
    assert view.apply_sync(Shape.area, Shape(3)) == 9
    assert view.apply_sync(Shape(4).area) == 16
    assert view.apply_sync(functools.partial(pow, 2), 10) == 1024
    assert view.apply_sync(functools.partial(lambda a, b: a - b, b=1), 5) == 4


def test_names_that_engines_bind(client):
    view = client[0]
    view.execute("def triple(x): return 3 * x\nnumber = 14", block=True)
    assert view.apply_sync(ipp.Reference("triple"), ipp.Reference("number")) == 42
    assert view.apply_sync(echo, [ipp.Reference("number")], key={"n": ipp.Reference("number")}) == (([14],), {"key": {"n": 14}})
    with pytest.raises(ipp.RemoteError) as info:
        view.apply_sync(echo, ipp.Reference("nowhere"))
    assert info.value.ename == "NameError"


# -- functions that hold much data


def _holding(count):
    """A function with a large array, large bytes and a small array of its own."""
    numpy = pytest.importorskip("numpy")
    table, text, few = numpy.arange(float(count)), b"t" * count, numpy.ones(200)

    def look(index):
        table[index] += 1
        few[0] += 1
        return float(table[index]), type(text) is bytes and len(text), float(few[0])

    return look


def test_a_function_s_data_is_in_frames_of_its_own():
    frames = codec.dump_function(_holding(100_000))
    assert type(frames) is tuple and len(frames[0]) < 4096 and codec.held_frames(frames[0]) == len(frames) - 1 == 3
    assert type(codec.dump_function(_holding(1000))) is bytes, "little data travels with the function"
    function = codec.load_held_function([frames[0], *map(memoryview, frames[1:])], {})
    assert function(5) == (6.0, 100_000, 2.0)
    with pytest.raises(ValueError, match="frames of data"):
        codec.held_frames(codec.HELD.pack(b"\0apf", 1 << 20) + b"pickle")


def test_a_large_function_is_one_copy_for_any_number_of_tasks(client):
    """Its data is what it was when the map began, and no task sees what another one did to it."""
    view = client.load_balanced_view()
    look = _holding(1_000_000)
    expected = [(index + 1.0, 1_000_000, 2.0) for index in range(50)]
    assert view.map_sync(look, range(50)) == expected, "a task each"
    results = view.map_sync(look, range(2000))
    assert [result[1] for result in results] == [1_000_000] * 2000, "in groups"
    assert all(result[0] == index + 1 for index, result in enumerate(results))
    assert view.apply_sync(look, 7) == client[0].apply_sync(look, 7) == (8.0, 1_000_000, 2.0)
    assert client[:].apply_sync(look, 7) == client.broadcast_view().apply_sync(look, 7) == [(8.0, 1_000_000, 2.0)] * 2
    partial = functools.partial(look, 3)
    assert [view.apply_sync(partial) for _ in range(3)] == [(4.0, 1_000_000, 2.0)] * 3


# -- data


VALUES = [
    None, True, 5, 2**200, 1.5, float("inf"), 1j, "text", "\ud800", b"", b"bytes", b"x" * 100_000, bytearray(b"y" * 70_000), [], (), {}, set(),
    [1, [2, [3]]], (1, 2), {1, 2}, frozenset((1,)), {"a": {"b": [1]}}, list(range(1000)), {n: str(n) for n in range(500)}, Point(1, 2),
    Shape(3), [Shape(1)], slice(1, 2), range(5), Ellipsis, int, Shape, len, "ipyparallel is a word", {"ipyparallel": [b"z" * 2000]},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values(client, value):
    for result in (client[0].apply_sync(echo, value), client.load_balanced_view().apply_sync(echo, value)):
        assert result == ((value,), {}) and type(result[0][0]) is type(value)
    assert client[0].apply_sync(echo, [value], key=value) == (([value],), {"key": value})


def test_arrays(client):
    numpy = pytest.importorskip("numpy")
    arrays = [
        numpy.arange(3), numpy.arange(100_000.0), numpy.arange(10_000).reshape(100, 100).T, numpy.zeros((0, 3)), numpy.array(5),
        numpy.array([1, None, "x"], dtype=object), numpy.arange(1000)[::3], numpy.array([(1, 2.5)], dtype=[("n", "i4"), ("x", "f8")]),
    ]  # fmt: skip
    for array in arrays:
        for sent in (array, [array], {"a": array}):
            back = client[0].apply_sync(lambda x: x, sent)
            back = back if sent is array else back[0 if isinstance(sent, list) else "a"]
            assert back.dtype == array.dtype and back.shape == array.shape and (back == array).all()
            back[...] = 0

    def write(a):
        a[...] = 7
        return a.sum()

    for size in (10, 1000, 1_000_000):
        assert client[0].apply_sync(write, numpy.zeros(size)) == 7 * size


def test_large_data_is_not_copied_into_the_pickle():
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(1 << 20)
    frames = codec.dump_call((array, b"b" * 200_000, [array]), {"k": array})
    assert len(frames[0]) < 2000 and sorted(memoryview(frame).nbytes for frame in frames[1:]) == [200_000, 8 << 20]
    (a, b, (c,)), kwargs = codec.load_call(frames)
    assert a.shape == c.shape == kwargs["k"].shape == array.shape and b == b"b" * 200_000


def test_memoryviews(client):
    view = memoryview(b"abc" * 1000)
    assert bytes(client[0].apply_sync(lambda v: v, view)) == bytes(view)
    assert client[0].apply_sync(lambda v: (type(v).__name__, v.nbytes), view[::2]) == ("memoryview", 1500)


def test_results_that_are_functions(client):
    view = client[0]
    view.execute("def g(x): return x + 100", block=True)
    assert view["g"](1) == 101
    assert view.apply_sync(lambda: lambda x: x * 5)(3) == 15
    assert view.apply_sync(lambda: {"f": lambda: 1})["f"]() == 1
    # Deeper than canned objects are looked for.
    assert view.apply_sync(lambda: [[lambda: 2]])[0][0]() == 2


def test_functions_deep_in_arguments(client):
    assert client[0].apply_sync(lambda nested: nested["a"][0](), {"a": [lambda: 8]}) == 8
    # So is one whose closure holds an array.
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(5000)
    assert client[0].apply_sync(lambda: int(array.sum())) == array.sum()


def test_classes_of_main(client):
    @ipp.interactive
    class Thing:
        size = 3

        def double(self):
            return 2 * self.size

    assert client[0].apply_sync(lambda cls: cls().double(), Thing) == 6


def test_what_cannot_be_pickled(client, view):
    for call in (lambda: view.apply_async(echo, threading.Lock()), lambda: client[0].apply_async(echo, [threading.Lock()])):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ipp.RemoteError) as info:
        view.apply_sync(lambda: __import__("threading").Lock())
    assert info.value.ename == "TypeError"
    with pytest.raises(TypeError):
        view.apply_async("no function")


def test_result_that_cannot_be_read_here(client):
    """A class of the engine's that this process does not have: each `get` says so, and nothing hangs."""
    view = client[0]
    view.execute("class OnlyHere: pass", block=True)
    result = view.apply_async(ipp.interactive(lambda: OnlyHere()))  # noqa: F821
    for _ in range(2):
        with pytest.raises(AttributeError):
            result.get(40)


def test_prepickled(client, view):
    packed = ipp.PrePickled({"a": [1, 2]})
    assert view.apply_sync(echo, packed, 5, k=packed) == (({"a": [1, 2]}, 5), {"k": {"a": [1, 2]}})
    assert client[:].apply_sync(ipp.PrePickled(abs), -4) == [4, 4]


def test_other_picklers(client):
    view = client[:]
    for use in ("use_cloudpickle", "use_dill"):
        pytest.importorskip(use[4:])
        try:
            getattr(view, use)().get(40)
            assert view.apply_sync(lambda: {"f": lambda: 3})[0]["f"]() == 3
            assert client.load_balanced_view().map_sync(lambda x: x + 1, range(200)) == list(range(1, 201))
        finally:
            view.use_pickle().get(40)
    assert view.apply_sync(abs, -1) == [1, 1]


def test_custom_canning(client):
    """Types that users add to `can_map`."""
    from apus import serialize

    serialize.can_map[Shape] = lambda shape: Point(shape.side, shape.side)
    try:
        assert client[0].apply_sync(echo, Shape(3), [Shape(4)]) == ((Point(3, 3), [Point(4, 4)]), {})
    finally:
        del serialize.can_map[Shape]


def test_errors_can_be_pickled(view):
    failures = []
    for call in (lambda: view.apply_sync(lambda: 1 / 0), lambda: view.map_sync(lambda x: 1 / x, range(3))):
        with pytest.raises(ipp.RemoteError) as info:
            call()
        failures.append(info.value)
    for failure in failures:
        again = pickle.loads(pickle.dumps(failure))
        assert type(again) is type(failure) and str(again) == str(failure)
        assert again.render_traceback() == failure.render_traceback()
