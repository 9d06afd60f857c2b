"""The Python end of the codec `msgpack`: the vectors that the Swift tests read too, and hostile input."""

from __future__ import annotations

import array
import importlib.util
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Loaded by its path: the checkout's own, whatever is installed.
_spec = importlib.util.spec_from_file_location("apus_msgpack_under_test", ROOT / "python" / "apus" / "msgpack.py")
codec = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(codec)
numpy = pytest.importorskip("numpy")

SEED = int(os.environ.get("APUS_SEED", random.randrange(1 << 32)))


def same(a, b) -> bool:
    """Equal in type and value, arrays and NaN included."""
    if isinstance(a, numpy.ndarray) or isinstance(b, numpy.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, memoryview) or isinstance(b, memoryview):
        return bytes(a) == bytes(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float):
        return math.isnan(a) and math.isnan(b) or a == b and math.copysign(1, a) == math.copysign(1, b)
    return a == b


def vectors() -> list:
    """`name | structure | frame …`, in hexadecimal."""
    found = []
    for line in (Path(__file__).parent / "vectors.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, *frames = (field.strip() for field in line.split("|"))
            found.append((name, [bytes.fromhex(frame) for frame in frames]))
    return found


# The values of the vectors. Swift has the same list under the same names.
VALUES = {
    "nil": None,
    "true": True,
    "false": False,
    "positive fixint": 127,
    "negative fixint": -32,
    "uint 8": 255,
    "uint 16": 65_535,
    "uint 32": 4_294_967_295,
    "uint 64": 18_446_744_073_709_551_615,
    "int 8": -128,
    "int 16": -32_768,
    "int 32": -2_147_483_648,
    "int 64": -9_223_372_036_854_775_808,
    "float 64": -1.5,
    "fixstr": "hällo",
    "str 8": "a" * 32,
    "bin 8": b"\0\1\xff",
    "fixarray": ["a", "b"],
    "array 16": [str(i) for i in range(16)],
    "nested": [[["x"], []], [], [[]]],
    "fixmap": {"a": "b"},
    "integer keys": {5: True},
    "maps": {"k": {"0": None}},
    "structure": {"id": -7, "value": 0.25, "name": "ärmel", "isValid": True},
    "enumeration": {"circle": {"radius": 2.0}},
    "unlabelled payload": {"named": {"_0": "a", "_1": 3}},
    "doubles": numpy.array([1.0, 2.0]),
    "no doubles": numpy.array([], "f8"),
    "floats": numpy.array([1.5], "f4"),
    "ints": numpy.array([1, -1, 2**62], "i8"),
    "int32s": numpy.array([1, -1], "i4"),
    "int16s": numpy.array([1, -1, 300], "i2"),
    "int8s": numpy.array([1, -1], "i1"),
    "uint64s": numpy.array([2**64 - 1], "u8"),
    "uint32s": numpy.array([2**32 - 1, 7], "u4"),
    "uint16s": numpy.array([65_535], "u2"),
    "bools": numpy.array([True, False, True]),
    "rows": [numpy.array([1.0, 2.0]), numpy.array([3.0])],
    "frames": {"a": numpy.array([1.0, 2.0, 3.0])},
    "frame of bytes": bytes(range(20)),
    "two frames": [numpy.array([1, 2, 3, 4], "i4"), numpy.array([5], "i4"), numpy.array([6, 7, 8, 9], "i4")],
}
#: The vectors' frames are the arrays of at least this many bytes.
THRESHOLD = 16
FRAMED = {"frames", "frame of bytes", "two frames"}


def write(name):
    return codec.pack_frames(VALUES[name], THRESHOLD) if name in FRAMED else [codec.pack(VALUES[name])]


def test_every_vector_has_a_value():
    assert [name for name, _ in vectors()] == list(VALUES)


@pytest.mark.parametrize("name, frames", vectors(), ids=lambda value: value if isinstance(value, str) else "")
def test_vectors(name, frames):
    assert [bytes(frame) for frame in write(name)] == frames
    assert same(codec.unpack_frames(frames), VALUES[name]) or bytes(codec.unpack_frames(frames)) == VALUES[name]


def anything(rng: random.Random, depth: int = 0):
    kind = rng.randrange(9 if depth > 4 else 12)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        value = rng.getrandbits(rng.randrange(64))
        return rng.choice([value, -value])
    if kind == 3:
        return rng.uniform(-1e9, 1e9)
    if kind == 4:
        return rng.choice([math.inf, -0.0, 5e-324])
    if kind == 5:
        return rng.choice(["", "ü", "a" * 31, "b" * 32, "🐦" * 100, "\0"])
    if kind == 6:
        return rng.randbytes(rng.choice([0, 1, 255, 256, 70_000]))
    if kind in (7, 8):
        dtype = rng.choice(["f8", "f4", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "?"])
        return numpy.frombuffer(rng.randbytes(8 * rng.randrange(20)), "u1").astype(dtype)
    count = rng.choice([0, 1, 3, 15, 16, 30])
    if kind in (9, 10):
        return [anything(rng, depth + 1) for _ in range(count)]
    return {rng.choice([rng.randrange(1000), f"key {rng.random()}"]): anything(rng, depth + 1) for _ in range(count)}


def test_round_trips_of_anything():
    rng = random.Random(SEED)
    for _ in range(150):
        value = anything(rng)
        assert same(codec.unpack(codec.pack(value)), value), f"APUS_SEED={SEED}"
        assert same(codec.unpack_frames(codec.pack_frames(value, rng.randrange(200))), value) or isinstance(value, bytes), f"APUS_SEED={SEED}"


def plain(value) -> bool:
    if isinstance(value, numpy.ndarray):
        return False
    if isinstance(value, list):
        return all(map(plain, value))
    return all(map(plain, value.values())) if isinstance(value, dict) else True


def test_the_same_bytes_as_the_usual_library():
    msgpack = pytest.importorskip("msgpack")
    rng = random.Random(SEED)
    compared = 0
    while compared < 100:
        value = anything(rng, 3)
        if plain(value):
            compared += 1
            data = msgpack.packb(value)
            assert codec.pack(value) == data, f"APUS_SEED={SEED}"
            assert same(codec.unpack(data), value), f"APUS_SEED={SEED}"


def test_arrays_are_views():
    numbers = numpy.arange(100_000.0)
    frames = codec.pack_frames(numbers)
    assert len(frames) == 2 and numpy.shares_memory(numpy.frombuffer(frames[1]), numbers)
    back = codec.unpack_frames(frames)
    assert numpy.shares_memory(back, numbers)
    data = codec.pack(numbers)
    assert not codec.unpack(data).flags.writeable
    assert codec.unpack(bytearray(data)).flags.writeable


def test_other_arrays():
    for source in [array.array("d", [1, 2]), memoryview(array.array("d", [1, 2])), numpy.array([1, 2], ">f8"), numpy.array([1, 9, 2.0])[::2]]:
        assert same(codec.unpack(codec.pack(source)), numpy.array([1.0, 2.0]))
    for dtype in "bhilqBHILQfd?":
        assert same(codec.unpack(codec.pack(array.array(dtype if dtype != "?" else "b", [1, 0]))), numpy.array([1, 0], dtype if dtype != "?" else "b")) or dtype == "B"
    assert same(codec.unpack(codec.pack(numpy.eye(2))), [numpy.array([1.0, 0.0]), numpy.array([0.0, 1.0])])
    assert codec.unpack(codec.pack([numpy.float32(1.5), numpy.int8(-3), numpy.bool_(True), numpy.array(2.5), (1, (2,))])) == [1.5, -3, True, 2.5, [1, [2]]]
    assert codec.unpack(codec.pack(numpy.arange(3, dtype="u1"))) == b"\0\1\2"
    assert codec.unpack(codec.pack({(1, 2): 3, b"x": 4})) == {(1, 2): 3, b"x": 4}
    assert codec.unpack(codec.pack(codec.Ext(-1, b"1234"))) == codec.Ext(-1, b"1234")


def test_without_numpy():
    program = (
        "import sys; sys.modules['numpy'] = None; sys.path.insert(0, sys.argv[1]); import msgpack as codec, array;"
        "back = codec.unpack(codec.pack(array.array('d', [1, 2])));"
        "assert type(back) is memoryview and back.format == 'd' and list(back) == [1.0, 2.0];"
        "assert 'numpy' not in [m for m in sys.modules if sys.modules[m]]"
    )
    subprocess.run([sys.executable, "-I", "-c", program, str(ROOT / "python" / "apus")], check=True, timeout=60)


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, 1 << 64, -(1 << 63) - 1, "\ud800", 1j, numpy.array([1j]), numpy.array(["a"]), numpy.array([object()]), numpy.longdouble(1), memoryview(numpy.eye(2))],
    ids=repr,
)
def test_what_has_no_messagepack(value):
    with pytest.raises(codec.MsgPackError):
        codec.pack([value])


def test_depth():
    def nested(levels):
        value = []
        for _ in range(levels - 1):
            value = [value]
        return value

    assert codec.unpack(codec.pack(nested(200))) == nested(200)
    with pytest.raises(codec.MsgPackError, match="levels"):
        codec.pack(nested(201))
    with pytest.raises(codec.MsgPackError, match="levels"):
        codec.unpack(b"\x91" * 100_000 + b"\x90")
    endless = []
    endless.append(endless)
    with pytest.raises(codec.MsgPackError, match="levels"):
        codec.pack(endless)


@pytest.mark.parametrize(
    "data",
    ["", "c1", "cd01", "a261", "a180", "91", "dfffffffff", "ddffffffff01", "dbffffffff", "c6ffffffff", "c9ffffffff01", "0101", "c70301000000", "d50b0002", "818001",
     "d8100100000001000000" + "08" + "00" * 7],
)  # fmt: skip
def test_refusals(data):
    with pytest.raises(codec.MsgPackError):
        codec.unpack(bytes.fromhex(data))


def test_references_are_checked():
    structure, *frames = codec.pack_frames([numpy.arange(100.0), b"x" * 100], 50)
    assert len(frames) == 2
    for wrong in [[structure], [structure, frames[0]], [structure, frames[1], frames[0]], []]:
        with pytest.raises(codec.MsgPackError):
            codec.unpack_frames(wrong)


def test_damage():
    rng = random.Random(SEED)
    for _ in range(300):
        data = bytearray(codec.pack(anything(rng, 2)))[:2000]
        for _ in range(10):
            damaged = bytearray(data)
            for _ in range(rng.randrange(1, 4)):
                if damaged:
                    place = rng.randrange(len(damaged))
                    if rng.random() < 0.3:
                        del damaged[place:]
                    else:
                        damaged[place] = rng.randrange(256)
            try:
                codec.unpack(damaged)
            except codec.MsgPackError:
                pass
            except Exception as error:
                raise AssertionError(f"APUS_SEED={SEED} {damaged.hex()}") from error
