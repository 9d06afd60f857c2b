"""Objects in ipyparallel's form: ours against a stock peer in both directions, without importing it here."""

import functools
import pickle
import subprocess
import sys

import pytest
from apus import canning, serialize
from apus.engine import stock
from played_controller import python_package

stock.install()

ipyparallel = pytest.importorskip("ipyparallel")
from ipyparallel.serialize import serialize as theirs  # noqa: E402
from ipyparallel.serialize import canning as their_canning  # noqa: E402

numpy = pytest.importorskip("numpy")


class Shape:
    """Defined in a module: pickled by name."""

    def __init__(self, side):
        self.side = side

    def __eq__(self, other):
        return self.side == other.side


def objects():
    record = numpy.array([(1, 2.5), (3, 4.5)], dtype=[("n", "i4"), ("x", "f8")])
    return [
        None, 1, "text", 2.5, b"short", b"long" * 1000, memoryview(b"view" * 500), [1, b"x" * 2000, "y"], (b"a" * 1500, b"b" * 1500),
        {"b": b"x" * 3000, "a": 1}, {1, 2, 3}, list(range(100)), {str(i): i for i in range(100)}, Shape(3), [Shape(1), None],
        numpy.arange(3), numpy.arange(10_000.0), numpy.arange(10_000).reshape(100, 100).T, numpy.array([]), numpy.array(5),
        numpy.array([object, None], dtype=object), record, numpy.float64(3), [numpy.arange(1000), b"z" * 2000],
        numpy.zeros((0, 3)), functools.partial(max, b"q" * 2000, key=len), 2**100, "\ud800", (1, [2, {3: b"x" * 5000}]),
    ]  # fmt: skip


def same(a, b):
    if isinstance(a, numpy.ndarray) or isinstance(b, numpy.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and (a == b).all()
    if isinstance(a, functools.partial):
        return (a.func, a.args, a.keywords) == (b.func, b.args, b.keywords)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_large_pickles(protocol):
    """Those that are read where they lie, with large and small objects in them, and those of old protocols."""
    value = [b"a" * 1_000_000, "ü" * 300_000, Shape(7), list(range(50_000)), canning.CannedBytes(b"b" * 400_000), bytearray(70_000), b"end"]
    data = pickle.dumps(value, protocol)
    for form in (data, memoryview(data), memoryview(bytearray(data))):
        *plain, canned, array, end = serialize.loads(form)
        assert plain == value[:4] and canned.get_object() == b"b" * 400_000 and array == bytearray(70_000) and end == b"end"
    theirs_in_it = pickle.dumps([b"a" * 1_000_000, their_canning.CannedBytes(b"x" * 10)], protocol)
    assert type(serialize.loads(theirs_in_it)[1]).__module__ == "apus.canning"
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        serialize.loads(memoryview(data)[:500_000])
    if protocol >= 4:
        # A global of the text protocol has its names in lines.
        assert serialize.loads(b"\x80\x04" + b"cbuiltins\nlen\n0" + data[2:])[6] == b"end"


@pytest.mark.parametrize("index", range(len(objects())))
def test_both_directions(index):
    value = objects()[index]
    ours = serialize.serialize_object(value)
    assert all(isinstance(frame, (bytes, memoryview)) for frame in ours)
    wire = [bytes(frame) for frame in ours]
    restored, rest = theirs.deserialize_object(wire)
    assert same(value, restored) and rest == []
    restored, rest = serialize.deserialize_object(theirs.serialize_object(value) + [b"rest"])
    assert same(value, restored) and rest == [b"rest"]
    assert [len(frame) for frame in wire][1:] == [memoryview(f).nbytes for f in theirs.serialize_object(value)][1:]


def make_counter(start, step=2, *, by=1):
    def count(x: int = 5) -> int:
        return start + step * by + x

    return count


@pytest.mark.parametrize("call", [lambda f: f(), lambda f: f(7)])
def test_functions(call):
    function = make_counter(10, by=3)
    for way_out, way_in in ((serialize, theirs), (theirs, serialize), (serialize, serialize)):
        restored, _ = way_in.deserialize_object([bytes(frame) for frame in way_out.serialize_object(function)], {})
        assert call(restored) == call(function)
        assert restored.__annotations__ == function.__annotations__


def test_apply_message():
    namespace = {"offset": 5}
    frames = theirs.pack_apply_message(lambda a, b, c=0: (a, len(b), c), (1, b"x" * 5000), {"c": numpy.arange(1000)})
    function, args, kwargs = serialize.unpack_apply_message([memoryview(bytes(frame)) for frame in frames], namespace)
    a, length, c = function(*args, **kwargs)
    assert (a, length, c.sum()) == (1, 5000, 499_500)
    function, args, kwargs = theirs.unpack_apply_message(serialize.pack_apply_message(max, (1, 2), {"key": abs}), {})
    assert function(*args, **kwargs) == 2


@pytest.mark.parametrize("size", [200, 10_000])
def test_arrays_in_frames_of_their_own_are_writable(size):
    restored, _ = serialize.deserialize_object([bytes(frame) for frame in serialize.serialize_object(numpy.zeros(size))])
    restored += 1
    assert restored.sum() == size


def test_references_are_values_of_the_namespace():
    frames = theirs.serialize_object([their_canning.Reference("a + 1"), 2])
    assert serialize.deserialize_object(frames, {"a": 4})[0] == [5, 2]


def test_dependent_functions():
    wanted = ipyparallel.depend(lambda ok: ok, True)(lambda x: x + 1)
    restored, _ = serialize.deserialize_object(theirs.serialize_object(wanted), {})
    assert restored(1) == 2
    refused = ipyparallel.depend(lambda ok: ok, False)(lambda x: x + 1)
    with pytest.raises(Exception) as info:
        serialize.deserialize_object(theirs.serialize_object(refused), {})
    assert type(info.value).__name__ == "UnmetDependency"


def test_required_modules_and_functions():
    needs = ipyparallel.require("math", offset=3)(lambda x: x)
    stock.user_ns = namespace = {}
    restored, _ = serialize.deserialize_object(theirs.serialize_object(needs), namespace)
    assert restored(1) == 1
    assert namespace["offset"] == 3 and "math" in namespace


@pytest.mark.parametrize("frames", [[], [pickle.dumps(len)], [pickle.dumps(len), pickle.dumps({"nargs": 2, "narg_bufs": 0, "kw_keys": []})]])
def test_contradictory_messages(frames):
    with pytest.raises((ValueError, IndexError)):
        serialize.unpack_apply_message(frames, {})


def test_surplus_buffers_are_refused():
    with pytest.raises(ValueError):
        serialize.unpack_apply_message([pickle.dumps(len), pickle.dumps({"nargs": 0, "narg_bufs": 1, "kw_keys": []}), b"x"], {})


def test_functions_of_the_client_do_not_import_it():
    frames = theirs.pack_apply_message(ipyparallel.util._push, (), {"a": 1})
    program = """
import sys, pickle
from apus import serialize
from apus.engine import stock
stock.user_ns = namespace = {}
stock.install()
frames = pickle.load(sys.stdin.buffer)
f, args, kwargs = serialize.unpack_apply_message(frames, namespace)
f(*args, **kwargs)
print(namespace["a"], [name for name in ("ipyparallel", "IPython", "zmq") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps([bytes(frame) for frame in frames]), capture_output=True, timeout=30,
        env={"PYTHONPATH": str(python_package())},
    )  # fmt: skip
    assert done.stdout.decode() == "1 []\n", done.stderr.decode()


@pytest.mark.parametrize("name", ["cloudpickle", "dill"])
def test_other_picklers(name):
    pytest.importorskip(name)
    getattr(serialize, f"use_{name}")()
    getattr(their_canning, f"use_{name}")()
    try:
        nested = [{"f": lambda x: x + 1}] * 2
        for way_out, way_in in ((serialize, theirs), (theirs, serialize)):
            restored, _ = way_in.deserialize_object(way_out.serialize_object(nested), {})
            assert restored[0]["f"](1) == 2
            restored, _ = way_in.deserialize_object(way_out.serialize_object([b"x" * 5000, numpy.arange(5000)]), {})
            assert restored[1].sum() == numpy.arange(5000).sum()
    finally:
        serialize.use_pickle()
        their_canning.use_pickle()
    assert type(canning.can(lambda: 0)) is canning.CannedFunction
