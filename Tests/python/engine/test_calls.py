"""Calls by the codec `msgpack`, as Swift programs make them."""

import gc
import math
import re
import time

import pytest
from played_controller import python_package  # noqa: F401  (puts the package on the path)

np = pytest.importorskip("numpy")

from apus import msgpack  # noqa: E402


def request(controller, head, *arguments, socket="mux", out_of_band=msgpack.OUT_OF_BAND, metadata=None, timeout=40):
    """The reply to a call. `arguments`: what stands behind the head, one value."""
    buffers = [msgpack.pack(head) if isinstance(head, dict) else head]
    for value in arguments:
        buffers += msgpack.pack_frames(value, out_of_band)
    return controller.request(socket, "apply_request", buffers=buffers, metadata={"codec": "msgpack", **(metadata or {})}, timeout=timeout)


def value(reply):
    assert reply["content"] == {"status": "ok"}, reply["content"]
    assert reply["metadata"]["codec"] == "msgpack"
    return msgpack.unpack_frames(reply["buffers"])


def error(reply):
    assert reply["content"]["status"] == "error"
    return reply["content"]["ename"], reply["content"]["evalue"]


def apply(controller, function=None, *positional, source=None, each=None, discards=None, timeout=40, **others):
    head = {"call": "apply"}
    if discards is not None:
        head["discards"] = discards
    if function is not None:
        head["function"] = function
    if source is not None:
        head["source"] = source
    if each is not None:
        head["each"] = each
    return request(controller, head, [list(positional), others], timeout=timeout)


def push(controller, **values):
    return value(request(controller, {"call": "push"}, values))


def pull(controller, *names):
    return value(request(controller, {"call": "pull", "names": list(names)}))


@pytest.mark.parametrize(
    ("function", "positional", "others", "expected"),
    [
        ("math.sqrt", (2.0,), {}, math.sqrt(2)),
        ("len", ("four",), {}, 4),
        ("os.path.join", ("a", "b"), {}, "a/b"),
        ("xml.etree.ElementTree.iselement", (1,), {}, False),
        ("datetime.date.fromisoformat.__name__.upper", (), {}, "FROMISOFORMAT"),
        ("int", ("ff",), {"base": 16}, 255),
        ("dict", (), {"a": [None, True, b"\0"]}, {"a": [None, True, b"\0"]}),
    ],
)
def test_functions_by_name(shared, function, positional, others, expected):
    assert value(apply(shared, function, *positional, **others)) == expected


def test_the_namespace_comes_first(shared):
    shared.execute("def sqrt(x): return 'mine'\nclass Tools:\n  @staticmethod\n  def sqrt(x): return 'a tool'\nimport xml", silent=True)
    try:
        assert value(apply(shared, "sqrt", 1)) == "mine"
        assert value(apply(shared, "Tools.sqrt", 1)) == "a tool"
        assert value(apply(shared, "xml.etree.ElementTree.iselement", 1)) is False
    finally:
        shared.request("control", "clear_request")
    assert error(apply(shared, "sqrt", 1)) == ("NameError", "name 'sqrt' is not defined")


@pytest.mark.parametrize(
    ("function", "name", "text"),
    [
        ("nowhere", "NameError", "name 'nowhere' is not defined"),
        ("nowhere.at.all", "ModuleNotFoundError", "no module named 'nowhere'"),
        ("math.squirt", "AttributeError", "no attribute 'squirt'"),
        ("math.pi", "TypeError", "math.pi is of type float and cannot be called"),
        ("math.sqrt(2)", "CodecError", "is no name of a function"),
        ("", "CodecError", "is no name of a function"),
    ],
)
def test_functions_that_are_not_there(shared, function, name, text):
    reply = apply(shared, function, 1)
    assert error(reply)[0] == name
    assert text in error(reply)[1]
    # Another engine would not do better.
    assert reply["metadata"]["dependencies_met"] is True


@pytest.mark.parametrize(
    "source",
    [
        "lambda a, b=1: a + b",
        "  lambda a, b=1: (\n    a + b)\n",
        "def plus(a, b=1):\n    return a + b",
        "    def plus(a, b=1):\n        return a + b\n",
        "import operator\ndef one(): return 1\ndef plus(a, b=None):\n  return operator.add(a, one() if b is None else b)",
        "async def plus(a, b=1):\n  import asyncio\n  await asyncio.sleep(0)\n  return a + b",
        "__import__('functools').partial(lambda a, b: a + b, b=1)",
    ],
)
def test_sources(shared, source):
    for _ in range(2):
        assert value(apply(shared, None, 2, source=source)) == 3
    if "partial" not in source:
        assert value(apply(shared, None, 2, 5, source=source)) == 7
    assert list(value(apply(shared, None, [1, 2, 3], source=source, each=True))) == [2, 3, 4]


def test_sources_see_the_namespace_and_leave_it_alone(shared):
    push(shared, factor=3)
    factorial = "def factorial(n):\n  return 1 if n < 2 else n * factorial(n - 1)"
    assert value(apply(shared, None, 5, source=factorial)) == 120
    assert value(apply(shared, None, 5, source="lambda x: x * factor")) == 15
    push(shared, factor=4)
    assert value(apply(shared, None, 5, source="lambda x: x * factor")) == 20
    assert error(request(shared, {"call": "pull", "names": ["factorial"]})) == ("NameError", "name 'factorial' is not defined")
    shared.request("control", "clear_request")
    assert error(apply(shared, None, 5, source="lambda x: x * factor"))[0] == "NameError"


def test_sources_that_are_wrong(shared):
    assert error(apply(shared, source="lambda x:"))[0] == "SyntaxError"
    assert error(apply(shared, source="x = 1")) == ("CodecError", "the source is no expression, and defines no function")
    assert error(apply(shared, source="3.5")) == ("TypeError", "the value of the source is of type float and cannot be called")
    assert error(apply(shared, source="undefined_name"))[0] == "NameError"


def test_a_traceback_shows_the_source(shared):
    reply = apply(shared, None, 0, source="def invert(x):\n    y = x\n    return 1 / y")
    assert error(reply) == ("ZeroDivisionError", "division by zero")
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(reply["content"]["traceback"]))
    assert "return 1 / y" in text
    assert "engine/" not in text


def test_a_coroutine_beside_others_and_its_interruption(shared):
    """Also while the engine serves from inside the event loop, because something lives there."""
    source = "async def wait(s):\n  import asyncio\n  print('waiting', flush=True)\n  await asyncio.sleep(s)\n  return 'waited'"
    start = "import asyncio\nasync def tick():\n  while True: await asyncio.sleep(0.01)\nticking = asyncio.create_task(tick()); await asyncio.sleep(0)"
    for has_company in (False, True):
        if has_company:
            assert shared.execute(start)["content"]["status"] == "ok"
        assert value(apply(shared, None, 0.01, source=source)) == "waited"
        assert value(apply(shared, "math.sqrt", 4.0)) == 2
        shared.drain(0.1)
        head = {"call": "apply", "source": source}
        frames = shared.frames("apply_request", buffers=[msgpack.pack(head), *msgpack.pack_frames([[60], {}])], metadata={"codec": "msgpack"})
        id = shared.send("mux", frames)
        shared.output("stream", parent=id)
        time.sleep(0.1)
        shared.request("control", "abort_request", {"msg_ids": [id], "interrupt": True})
        assert error(shared.receive("mux"))[0] == "KeyboardInterrupt"
    shared.execute("ticking.cancel()")
    assert value(apply(shared, "abs", -1)) == 1


def test_push_and_pull(shared):
    array = np.arange(20_000, dtype=np.float64)
    assert push(shared, x=1, words=["a", "b"], big=array, small=array[:3]) is None
    found = pull(shared, "words", "x", "big", "small")
    assert found[:2] == [["a", "b"], 1]
    assert np.array_equal(found[2], array)
    assert found[2].dtype == np.float64
    # Both kinds of arrays may be written to, as any array of the engine's own.
    shared.execute("big += 1; small += 1", silent=True)
    found = pull(shared, "big", "small")
    assert np.array_equal(found[0], array + 1)
    assert np.array_equal(found[1], array[:3] + 1)
    assert error(request(shared, {"call": "pull", "names": ["x", "missing"]})) == ("NameError", "name 'missing' is not defined")
    assert error(request(shared, {"call": "push"}, {"not a name": 1}))[0] == "CodecError"
    assert pull(shared) == []
    shared.request("control", "clear_request")


def test_large_arrays_are_not_copied(shared):
    count = 4_000_000
    array = np.arange(count, dtype=np.float64)
    push(shared, big=array)
    shared.execute(
        "import numpy, resource\n"
        "def owner(a):\n  while isinstance(a, numpy.ndarray): a = a.base\n  return type(a).__name__, type(a.obj).__name__\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss", silent=True,
    )  # fmt: skip
    assert value(apply(shared, None, source="lambda: owner(big)")) == ["memoryview", "Frame"]
    reply = request(shared, {"call": "pull", "names": ["big"]})
    assert [len(frame) for frame in reply["buffers"]] == [19, 8 * count]
    assert np.array_equal(value(reply)[0], array)
    grown = value(apply(shared, None, source="lambda: __import__('resource').getrusage(0).ru_maxrss - before"))
    assert grown * 1024 < 8 * count, "the result was copied"
    assert value(apply(shared, "numpy.sum", array)) == array.sum()
    shared.request("control", "clear_request")
    gc.collect()


def test_maps_over_a_chunk(shared):
    numbers = [0.0, 1.0, 4.0]
    assert list(value(apply(shared, "math.sqrt", numbers, each=True))) == [0, 1, 2]
    # Numbers of one type come back as a typed array, from wherever they come.
    for argument in (numbers, np.array(numbers), np.array(numbers * 10_000)):
        found = value(apply(shared, None, argument, source="lambda x: x / 2", each=True))
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float64
        assert np.array_equal(found, np.array(argument) / 2)
    # The elements are Python's own numbers: these do not overflow.
    assert value(apply(shared, None, np.array([2, 3]), source="lambda x: x ** 62 // x ** 60 + x ** 100 * 0", each=True)).dtype == np.int64
    assert value(apply(shared, "str", [1, None], each=True)) == ["1", "None"]
    assert value(apply(shared, None, [1, 2], [10, 20], source="lambda a, b, c=0: a + b + c", each=True, c=100)).tolist() == [111, 122]
    assert value(apply(shared, None, [1, 2], source="lambda x: x if x == 1 else 0.5", each=True)) == [1, 0.5]
    assert value(apply(shared, "bool", [0, 1], each=True)) == [False, True]
    assert value(apply(shared, "numpy.float32", [0.5, 1.5], each=True)).dtype == np.float32
    assert value(apply(shared, "chr", b"ab", each=True)) == ["a", "b"]
    assert value(apply(shared, "abs", [], each=True)) == []
    assert error(apply(shared, None, [1], source="lambda x: x << 64", each=True))[1].endswith("64 is the limit")
    assert error(apply(shared, "pow", [1, 2], [1], each=True)) == ("CodecError", "the arrays of a map have different lengths: 2, 1")
    assert error(apply(shared, "pow", 3, each=True)) == ("CodecError", "argument 0 of a map is of type int, not an array")
    assert error(apply(shared, "pow", each=True))[0] == "CodecError"
    assert error(apply(shared, "math.sqrt", [1, -1], each=True)) == ("ValueError", "math domain error")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("lambda: {1, 2}", "builtins.set"), ("lambda: [object()]", "builtins.object"), ("lambda: (lambda: 1)", "builtins.function"),
        ("lambda: {'z': 1j}", "builtins.complex"), ("lambda: __import__('datetime').date(2026, 1, 1)", "datetime.date"),
    ],
)  # fmt: skip
def test_results_that_cannot_travel(shared, source, kind):
    reply = apply(shared, source=source)
    name, text = error(reply)
    assert name == "CodecError"
    assert text.startswith(f"the result cannot leave the engine: a {kind} has no MessagePack")
    assert reply["metadata"]["dependencies_met"] is True


@pytest.mark.parametrize("source", ["lambda: {1}", "async def f(): return {1}"])
def test_results_that_are_not_wanted(shared, source):
    assert value(apply(shared, source=source, discards=True)) is None


@pytest.mark.parametrize("kind", ["actor", "closure"])
def test_calls_of_swift_engines_are_refused(shared, kind):
    reply = request(shared, {"call": kind, "anything": 1}, [[], {}], socket="task")
    assert error(reply) == ("CodecError", f"a call of the kind {kind!r} needs a Swift engine; this one runs Python")
    assert reply["metadata"]["dependencies_met"] is False
    assert reply["metadata"]["refused"] is True
    assert reply["metadata"]["status"] == "error"


def test_unknown_calls_and_codecs_are_refused(shared):
    reply = request(shared, {"call": "dance"}, [])
    assert error(reply) == ("CodecError", "this engine does not know the call 'dance'; it knows apply, push and pull")
    assert reply["metadata"]["dependencies_met"] is False
    reply = shared.request("task", "apply_request", buffers=[b"x"], metadata={"codec": "smoke-signals"})
    assert error(reply)[0] == "CodecError"
    assert "smoke-signals" in error(reply)[1]
    assert reply["metadata"]["dependencies_met"] is False


@pytest.mark.parametrize(
    "head",
    [
        b"", b"\xc1", b"\x01", msgpack.pack([]), msgpack.pack({}), msgpack.pack({"call": 1}), msgpack.pack({"call": "apply"}),
        msgpack.pack({"call": "apply", "function": 3}), msgpack.pack({"call": "apply", "function": "abs", "source": "abs"}),
        msgpack.pack({"call": "pull"}), msgpack.pack({"call": "pull", "names": "x"}), msgpack.pack({"call": "pull", "names": [1]}),
    ],
)  # fmt: skip
def test_damaged_heads(shared, head):
    reply = request(shared, head, [[], {}])
    assert error(reply)[0] == "CodecError"
    assert reply["metadata"]["dependencies_met"] is True


@pytest.mark.parametrize("arguments", [[], [1], [[[], {}, {}]], [{}], [[{}, []]], [[[], {1: 2}]]])
def test_damaged_arguments(shared, arguments):
    assert error(request(shared, {"call": "apply", "function": "abs"}, *arguments))[0] == "CodecError"


def test_damaged_frames(shared):
    head = msgpack.pack({"call": "apply", "function": "len"})
    frames = msgpack.pack_frames([[np.zeros(20_000)], {}])
    for buffers in ([], [head], [head, frames[0]], [head, frames[0], frames[1][:-8]], [head, b"\xc1"]):
        assert error(shared.request("mux", "apply_request", buffers=buffers, metadata={"codec": "msgpack"}))[0] == "CodecError"
    reply = shared.request("mux", "apply_request", buffers=[head, *frames], metadata={"codec": "msgpack"})
    assert value(reply) == 20_000


def test_output_and_more_heads_than_are_kept(shared):
    shared.drain(0.1)
    for index in range(150):
        assert value(apply(shared, None, index, source=f"lambda x: (print({index}), x + {index})[1]")) == 2 * index
    texts = "".join(message["content"]["text"] for message in shared.drain() if message.msg_type == "stream")
    assert texts.split() == [str(index) for index in range(150)]
