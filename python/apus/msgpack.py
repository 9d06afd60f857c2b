"""MessagePack, as Swift and Python values travel between each other (codec ``msgpack``; docs/codecs.md describes the bytes).

    data = pack({"mean": 0.5})            value = unpack(data)
    frames = pack_frames(big_array)       value = unpack_frames(frames)

Arrays of numbers (NumPy arrays, ``array.array``, typed memory views) travel as they lie in memory. They come back without being copied: as
NumPy arrays where NumPy is installed, else as memory views, read-only when the data is. Bytes in the structure are ``bytes``, bytes in a
frame of their own are a ``memoryview``. Tuples become lists; a NumPy array of several dimensions becomes a list of its rows.

Every header is the smallest that fits, and of two encoders of the same value each writes the same bytes. Data from outside never asks for more
memory than it has bytes for: what it cannot be is a ``MsgPackError``.
"""

from __future__ import annotations

import array
import struct
import sys
from typing import Any, Sequence

__all__ = ["Ext", "MsgPackError", "pack", "pack_frames", "unpack", "unpack_frames"]

#: Arrays and bytes from this size on become frames of their own.
OUT_OF_BAND = 65536
#: Values within values.
MAXIMUM_DEPTH = 200

# The extension type of a typed array: its struct format, as NumPy and memoryview name it too.
_FORMATS = {1: "d", 2: "f", 3: "q", 4: "i", 5: "h", 6: "b", 7: "Q", 8: "I", 9: "H", 10: "B", 11: "?"}
_BYTES = 10
_REFERENCE = 16
_SIZES = {kind: struct.calcsize(format) for kind, format in _FORMATS.items()}
# By meaning and size: the format "l" has another size on another system.
_KINDS = {("f", 8): 1, ("f", 4): 2, ("i", 8): 3, ("i", 4): 4, ("i", 2): 5, ("i", 1): 6, ("u", 8): 7, ("u", 4): 8, ("u", 2): 9, ("u", 1): 10, ("b", 1): 11}
_MEANINGS = {**dict.fromkeys("df", "f"), **dict.fromkeys("bhilqn", "i"), **dict.fromkeys("BHILQNc", "u"), "?": "b"}

_reference_body = struct.Struct("<B3xIQ")


class MsgPackError(ValueError):
    """The bytes are not MessagePack, or a value has none."""


class Ext:
    """An extension that is no typed array of ours, as it came."""

    __slots__ = ("type", "data")

    def __init__(self, type: int, data: bytes):
        self.type = type
        self.data = data

    def __repr__(self) -> str:
        return f"Ext({self.type}, {self.data!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ext) and (self.type, self.data) == (other.type, other.data)

    def __hash__(self) -> int:
        return hash((self.type, self.data))


# Writing


def pack(value: Any) -> bytes:
    """The value in one piece.

    Raises MsgPackError for what has no MessagePack, with the reason.
    """
    out = bytearray()
    _pack(value, out, None, 0, 0)
    return bytes(out)


def pack_frames(value: Any, out_of_band: int = OUT_OF_BAND) -> list:
    """The structure, and behind it the large arrays, whose memory is lent: do not change them before the frames are sent.

    ``out_of_band`` is in bytes; smaller arrays stay in the structure.
    """
    out = bytearray()
    frames: list = [b""]
    _pack(value, out, frames, max(1, out_of_band), 0)
    frames[0] = bytes(out)
    return frames


def _pack(value, out, frames, threshold, depth):
    kind = type(value)
    if kind is int:
        _pack_int(value, out)
    elif kind is str:
        _pack_text(value, out)
    elif kind is float:
        out += b"\xcb" + struct.pack(">d", value)
    elif value is None:
        out.append(0xC0)
    elif value is True:
        out.append(0xC3)
    elif value is False:
        out.append(0xC2)
    elif kind is list or kind is tuple:
        _enter(depth)
        _pack_count(len(value), out, 0x90, 15, None, 0xDC, 0xDD)
        for element in value:
            _pack(element, out, frames, threshold, depth + 1)
    elif kind is dict:
        _enter(depth)
        _pack_count(len(value), out, 0x80, 15, None, 0xDE, 0xDF)
        for key, element in value.items():
            _pack(key, out, frames, threshold, depth + 1)
            _pack(element, out, frames, threshold, depth + 1)
    elif kind is bytes or kind is bytearray:
        _pack_buffer(memoryview(value), _BYTES, out, frames, threshold)
    else:
        _pack_other(value, out, frames, threshold, depth)


def _pack_other(value, out, frames, threshold, depth):
    numpy = sys.modules.get("numpy")
    if isinstance(value, Ext):
        _pack_ext(value.type & 0xFF, value.data, out)
    elif isinstance(value, (memoryview, array.array)):
        _pack_view(memoryview(value), out, frames, threshold)
    elif numpy is not None and isinstance(value, numpy.ndarray):
        _pack_numpy(numpy, value, out, frames, threshold, depth)
    elif numpy is not None and isinstance(value, numpy.generic):
        _pack(_plain_item(value), out, frames, threshold, depth)
    else:
        # Subclasses travel as what they are made of.
        for base in (int, str, float, list, tuple, dict, bytes, bytearray):
            if isinstance(value, base):
                return _pack(base(value), out, frames, threshold, depth)
        raise MsgPackError(f"a {type(value).__module__}.{type(value).__qualname__} has no MessagePack: use None, bool, int, float, str, bytes, list, dict or an array of numbers")
    return None


def _plain_item(value):
    item = value.item()
    if type(item).__module__ == "numpy":
        raise MsgPackError(f"a numpy.{type(value).__name__} has no MessagePack")
    return item


def _enter(depth):
    if depth >= MAXIMUM_DEPTH:
        raise MsgPackError(f"more than {MAXIMUM_DEPTH} levels")


def _pack_int(value, out):
    if -32 <= value < 128:
        out.append(value & 0xFF)
    elif value >= 0:
        if value < 1 << 8:
            out += struct.pack(">BB", 0xCC, value)
        elif value < 1 << 16:
            out += struct.pack(">BH", 0xCD, value)
        elif value < 1 << 32:
            out += struct.pack(">BI", 0xCE, value)
        elif value < 1 << 64:
            out += struct.pack(">BQ", 0xCF, value)
        else:
            raise MsgPackError(f"an integer of {value.bit_length()} bits: 64 is the limit")
    elif value >= -1 << 7:
        out += struct.pack(">Bb", 0xD0, value)
    elif value >= -1 << 15:
        out += struct.pack(">Bh", 0xD1, value)
    elif value >= -1 << 31:
        out += struct.pack(">Bi", 0xD2, value)
    elif value >= -1 << 63:
        out += struct.pack(">Bq", 0xD3, value)
    else:
        raise MsgPackError(f"an integer of {value.bit_length()} bits: 63 and a sign is the limit")


def _pack_count(count, out, fixed, most_fixed, one, two, four):
    if count <= most_fixed:
        out.append(fixed | count)
    elif one is not None and count < 1 << 8:
        out += struct.pack(">BB", one, count)
    elif count < 1 << 16:
        out += struct.pack(">BH", two, count)
    elif count < 1 << 32:
        out += struct.pack(">BI", four, count)
    else:
        raise MsgPackError(f"{count} is more than a header can announce")


def _pack_text(value, out):
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise MsgPackError(f"text that is not Unicode: {error}") from None
    _pack_count(len(data), out, 0xA0, 31, 0xD9, 0xDA, 0xDB)
    out += data


def _pack_ext(type, data, out):
    count = len(data)
    if count in (1, 2, 4, 8, 16):
        out.append(0xD3 + count.bit_length())
    else:
        _pack_count(count, out, 0, -1, 0xC7, 0xC8, 0xC9)
    out.append(type)
    out += data


def _pack_buffer(view, kind, out, frames, threshold):
    """A flat view of bytes."""
    if frames is not None and view.nbytes >= threshold:
        _pack_ext(_REFERENCE, _reference_body.pack(kind, len(frames), view.nbytes), out)
        frames.append(view)
    elif kind == _BYTES:
        _pack_count(view.nbytes, out, 0, -1, 0xC4, 0xC5, 0xC6)
        out += view
    else:
        _pack_ext(kind, view, out)


def _pack_view(view, out, frames, threshold):
    format = view.format.lstrip("@=<")
    kind = _KINDS.get((_MEANINGS.get(format), view.itemsize))
    if kind is None:
        raise MsgPackError(f"an array of the format {view.format!r} has no MessagePack")
    if view.ndim != 1:
        raise MsgPackError("a memory view of several dimensions has no MessagePack: send a NumPy array or a list of rows")
    if not view.c_contiguous:
        view = memoryview(view.tobytes()).cast(_FORMATS[kind])
    _pack_buffer(view.cast("B"), kind, out, frames, threshold)


def _pack_numpy(numpy, value, out, frames, threshold, depth):
    if value.ndim == 0:
        return _pack(_plain_item(value), out, frames, threshold, depth)
    kind = _KINDS.get((value.dtype.kind, value.dtype.itemsize))
    if kind is None:
        raise MsgPackError(f"a NumPy array of {value.dtype} has no MessagePack: convert it to a number type of at most 8 bytes")
    if value.ndim > 1:
        _enter(depth)
        _pack_count(len(value), out, 0x90, 15, None, 0xDC, 0xDD)
        for row in value:
            _pack_numpy(numpy, row, out, frames, threshold, depth + 1)
        return None
    flat = numpy.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    return _pack_buffer(memoryview(flat.view(numpy.uint8)), kind, out, frames, threshold)


# Reading


def unpack(data, frames: Sequence = ()) -> Any:
    """The value of bytes (or any buffer), with the frames that stand behind the structure, if there are any."""
    view = memoryview(data).cast("B")
    reader = _Reader(view, frames)
    try:
        value = reader.value(0)
    except (IndexError, struct.error):
        raise MsgPackError(f"the bytes end early, after {len(view)}") from None
    if reader.position != len(view):
        raise MsgPackError(f"more bytes after the value, from {reader.position} on")
    return value


def unpack_frames(frames: Sequence) -> Any:
    """The value of what ``pack_frames``, or Swift's encoder, wrote."""
    if not frames:
        raise MsgPackError("no frame at all")
    return unpack(frames[0], frames[1:])


# Behind these headers stands one number.
_NUMBERS = {
    0xCA: struct.Struct(">f"), 0xCB: struct.Struct(">d"), 0xCC: struct.Struct(">B"), 0xCD: struct.Struct(">H"), 0xCE: struct.Struct(">I"),
    0xCF: struct.Struct(">Q"), 0xD0: struct.Struct(">b"), 0xD1: struct.Struct(">h"), 0xD2: struct.Struct(">i"), 0xD3: struct.Struct(">q"),
}  # fmt: skip
# Behind these stands one length.
_LENGTHS = {
    0xC4: struct.Struct(">B"), 0xC5: struct.Struct(">H"), 0xC6: struct.Struct(">I"), 0xC7: struct.Struct(">B"), 0xC8: struct.Struct(">H"),
    0xC9: struct.Struct(">I"), 0xD9: struct.Struct(">B"), 0xDA: struct.Struct(">H"), 0xDB: struct.Struct(">I"), 0xDC: struct.Struct(">H"),
    0xDD: struct.Struct(">I"), 0xDE: struct.Struct(">H"), 0xDF: struct.Struct(">I"),
}  # fmt: skip


class _Reader:
    __slots__ = ("view", "frames", "position")

    def __init__(self, view, frames):
        self.view = view
        self.frames = frames
        self.position = 0

    def value(self, depth):
        position = self.position
        header = self.view[position]
        self.position = position + 1
        if header < 0x80:
            return header
        if header >= 0xE0:
            return header - 256
        if 0xA0 <= header < 0xC0:
            return self.text(header & 0x1F)
        number = _NUMBERS.get(header)
        if number is not None:
            self.position = position + 1 + number.size
            return number.unpack_from(self.view, position + 1)[0]
        if header == 0xC0:
            return None
        if header == 0xC2 or header == 0xC3:
            return header == 0xC3
        if header < 0x90:
            return self.map(header & 0x0F, depth)
        if header < 0xA0:
            return self.array(header & 0x0F, depth)
        if 0xD4 <= header <= 0xD8:
            return self.ext(1 << header - 0xD4)
        length = _LENGTHS.get(header)
        if length is None:
            raise MsgPackError(f"0xC1 starts no value, at byte {position}")
        count = length.unpack_from(self.view, position + 1)[0]
        self.position = position + 1 + length.size
        if header >= 0xDE:
            return self.map(count, depth)
        if header >= 0xDC:
            return self.array(count, depth)
        if header >= 0xD9:
            return self.text(count)
        if header >= 0xC7:
            return self.ext(count)
        return bytes(self.slice(count))

    def slice(self, count):
        start = self.position
        end = start + count
        if end > len(self.view):
            raise MsgPackError(f"the bytes end early, at byte {start}")
        self.position = end
        return self.view[start:end]

    def text(self, count):
        start = self.position
        try:
            return str(self.slice(count), "utf-8")
        except UnicodeDecodeError:
            raise MsgPackError(f"text that is not UTF-8, at byte {start}") from None

    def array(self, count, depth):
        self.enter(count, depth)
        value = self.value
        depth += 1
        return [value(depth) for _ in range(count)]

    def map(self, count, depth):
        self.enter(2 * count, depth)
        result = {}
        depth += 1
        for _ in range(count):
            start = self.position
            key = self.value(depth)
            if type(key) is list:
                key = _tuple(key)
            try:
                result[key] = None
            except TypeError:
                raise MsgPackError(f"a key that Python cannot hash, at byte {start}") from None
            result[key] = self.value(depth)
        return result

    def enter(self, count, depth):
        if depth >= MAXIMUM_DEPTH:
            raise MsgPackError(f"more than {MAXIMUM_DEPTH} levels, at byte {self.position}")
        if count > len(self.view) - self.position:
            raise MsgPackError(f"the bytes end early: {count} values at byte {self.position}")

    def ext(self, count):
        start = self.position
        type = self.view[start]
        self.position = start + 1
        data = self.slice(count)
        if type == _REFERENCE:
            return self.reference(data, start)
        if type in _FORMATS and type != _BYTES:
            return _typed(data, type, start)
        return Ext(type - 256 if type >= 128 else type, bytes(data))

    def reference(self, data, start):
        if len(data) != _reference_body.size or bytes(data[1:4]) != b"\0\0\0" or data[0] not in _FORMATS:
            raise MsgPackError(f"a malformed reference to a frame, at byte {start}")
        kind, index, count = _reference_body.unpack(data)
        if not 1 <= index <= len(self.frames):
            raise MsgPackError(f"a reference to frame {index} of {len(self.frames) + 1}, at byte {start}")
        frame = memoryview(self.frames[index - 1]).cast("B")
        if frame.nbytes != count:
            raise MsgPackError(f"frame {index} has {frame.nbytes} bytes, not {count}")
        return frame if kind == _BYTES else _typed(frame, kind, start)


def _tuple(value):
    return tuple(_tuple(element) if type(element) is list else element for element in value)


def _typed(data, kind, start):
    if data.nbytes % _SIZES[kind]:
        raise MsgPackError(f"{data.nbytes} bytes of elements of {_SIZES[kind]} bytes, at byte {start}")
    if kind == 11 and bytes(data).strip(b"\0\1"):
        raise MsgPackError(f"a Boolean that is neither 0 nor 1, at byte {start}")
    numpy = _numpy()
    if numpy is None:
        return data.cast(_FORMATS[kind])
    return numpy.frombuffer(data, numpy.dtype(_FORMATS[kind]))


_numpy_module: Any = False


def _numpy():
    """NumPy, if it is installed; looked for when the first array comes, because it takes its time."""
    global _numpy_module
    if _numpy_module is False:
        try:
            import numpy
        except ImportError:
            numpy = None
        _numpy_module = numpy
    return _numpy_module
