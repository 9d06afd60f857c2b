"""Tasks between parties of Apus: the codec that a request's metadata calls `cloudpickle`.

Frame 0 of a task is its function, frame 1 a pickle of `(args, kwargs)` of protocol 5, and the further frames are that pickle's large buffers
in order. A function that holds much data has frames of its own for it (`HELD`): frame 0 says how many, and they follow it. A result is a pickle and its buffers. What plain pickle would take by name, or not at all, is canned as ipyparallel has it
(functions, classes of `__main__`, references), at the top level of the arguments and one level deep in small containers; what even that
cannot carry goes through cloudpickle.
"""

import io
import pickle
import struct
from types import FunctionType

from . import canning, serialize
from .canning import can, can_map
from .wire import EngineFunction

#: Value of `codec` in the metadata.
NAME = "cloudpickle"
PROTOCOL = 5

#: Bytes above which a buffer leaves its pickle, and above which a bytes object does (which then is copied once more where it arrives).
OUT_OF_BAND = 1024
_LARGE_BYTES = 1 << 16

#: Above this a pickle is not searched for canned objects, but read as if it had some.
_LARGE_PICKLE = 1 << 18

#: Types that are what they are. Containers of less than `_ITEMS` items are looked into, as ipyparallel does.
_ATOMS = frozenset((int, float, str, bool, type(None), complex))
_ITEMS = serialize.ITEM_THRESHOLD

_pickle_dumps, _pickle_loads = pickle.dumps, pickle.loads


class _LargeBytes:
    """A bytes object that leaves the pickle and is bytes again where it arrives."""

    __slots__ = ("data",)

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return bytes, (pickle.PickleBuffer(self.data),)


def _reduce_memoryview(view):
    return memoryview, (pickle.PickleBuffer(view if view.contiguous else view.tobytes()),)


# -- writing


def _is_special(value):
    """Whether plain pickle would not do: what `can_map` names, but bytes and arrays, which protocol 5 carries without a copy."""
    kind = type(value)
    if kind in _ATOMS:
        return False
    if kind is bytes:
        return len(value) >= _LARGE_BYTES
    if kind in can_map:
        return kind.__name__ != "ndarray"
    return bool(canning.extra_canners) and can(value) is not value


def _needs_preparation(value):
    kind = type(value)
    if kind in _ATOMS:
        return False
    if kind is list or kind is tuple or kind is set:
        return len(value) < _ITEMS and any(map(_is_special, value))
    if kind is dict:
        return len(value) < _ITEMS and any(map(_is_special, value.values()))
    return _is_special(value)


def _prepare_item(value):
    kind = type(value)
    if kind is bytes:
        return _LargeBytes(value) if len(value) >= _LARGE_BYTES else value
    if kind is memoryview or kind.__name__ == "ndarray":
        return value
    return can(value)


def _prepare(value):
    """The value in the form in which it may be pickled."""
    kind = type(value)
    if kind is list or kind is tuple or kind is set:
        return kind([_prepare_item(item) for item in value]) if len(value) < _ITEMS else value
    if kind is dict:
        return {key: _prepare_item(item) for key, item in value.items()} if len(value) < _ITEMS else value
    return _prepare_item(value)


class _Frames(list):
    """The buffers that left a pickle."""

    def keep(self, buffer):
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND:
            return True
        self.append(raw)
        return False


def _reduce_canned_bytes(canned):
    """As those of a function's cells, which may be large."""
    data = canned.buffers[0] if canned.buffers else b""
    if type(data) is not bytes or len(data) < _LARGE_BYTES:
        return canned.__reduce_ex__(PROTOCOL)
    constructor, arguments, state = canned.__reduce_ex__(PROTOCOL)[:3]
    return constructor, arguments, {**state, "buffers": [pickle.PickleBuffer(data)]}


def _dump(obj, prepared):
    """The frames of an object. prepared: something in it was canned."""
    frames = _Frames()
    try:
        if not prepared:
            data = _pickle_dumps(obj, PROTOCOL, buffer_callback=frames.keep)
        else:
            file = io.BytesIO()
            pickler = pickle.Pickler(file, PROTOCOL, buffer_callback=frames.keep)
            pickler.dispatch_table = _tables.table()
            pickler.dump(obj)
            data = file.getbuffer()
    except Exception as error:
        del frames[:]
        data = _dump_by_value(obj, frames, error)
    return [data, *frames]


class _Tables:
    """What pickles canned objects: `copyreg`'s table, and memoryviews and large bytes, which their parts may be."""

    def __init__(self):
        self._table = None

    def table(self):
        if self._table is None:
            import copyreg
            from collections import ChainMap

            own = {memoryview: _reduce_memoryview, canning.CannedBytes: _reduce_canned_bytes}
            self._table = ChainMap(own, copyreg.dispatch_table)
        return self._table


_tables = _Tables()


def _dump_by_value(obj, frames, error):
    """Functions and classes deep inside of an object need cloudpickle. What it cannot pickle either fails as plain pickle did."""
    try:
        import cloudpickle
    except ImportError:
        raise error from None
    try:
        return cloudpickle.dumps(obj, PROTOCOL, buffer_callback=frames.keep)
    except Exception:
        raise error from None


def dump(value):
    """The frames of one object: the result of a task."""
    if type(value) in _ATOMS:
        return [_pickle_dumps(value, PROTOCOL)]
    if _needs_preparation(value):
        return _dump(_prepare(value), True)
    return _dump(value, False)


NO_ARGUMENTS = _pickle_dumps(((), {}), PROTOCOL)


def dump_call(args, kwargs):
    """The frames of the arguments of a call; `[None]` if there are pickled ones among them, for which only ipyparallel's form will do."""
    is_simple = not kwargs
    for arg in args:
        if type(arg) not in _ATOMS:
            is_simple = False
            break
    if is_simple:
        return [_pickle_dumps((args, kwargs), PROTOCOL)] if args else [NO_ARGUMENTS]
    args = tuple(args)
    if serialize.PrePickled in map(type, args) or (kwargs and serialize.PrePickled in map(type, kwargs.values())):
        return [None]
    if any(map(_needs_preparation, args)) or (kwargs and any(map(_needs_preparation, kwargs.values()))):
        return _dump((tuple(map(_prepare, args)), {key: _prepare(value) for key, value in kwargs.items()}), True)
    return _dump((args, kwargs), False)


# -- functions


class _Function:
    """The pickle of a function, and what it was made of."""

    __slots__ = ("code", "module", "name", "defaults", "cells", "annotations", "blob", "is_plain")

    def __init__(self, function, blob):
        self.code = function.__code__
        self.module = function.__module__
        self.name = function.__name__
        self.defaults = function.__defaults__
        self.cells = _cells(function)
        self.annotations = dict(function.__annotations__)
        self.blob = blob
        self.is_plain = not (self.defaults or self.cells or self.annotations)

    def fits_plain(self, function):
        """As `fits`, for a function that was nothing but its code."""
        return (
            function.__code__ is self.code
            and function.__defaults__ is None
            and function.__closure__ is None
            and function.__kwdefaults__ is None
            and function.__name__ == self.name
            and function.__module__ == self.module
            and not function.__annotations__
        )

    def fits(self, function):
        """Whether the pickle would be the same for this function, which has the same code object."""
        return (
            function.__code__ is self.code
            and function.__module__ == self.module
            and function.__name__ == self.name
            and function.__kwdefaults__ is None
            and (function.__defaults__ is self.defaults or _are_same(function.__defaults__, self.defaults))
            and (function.__closure__ is None or _are_same(_cells(function), self.cells))
            and function.__annotations__ == self.annotations
        )


def _cells(function):
    try:
        return tuple(cell.cell_contents for cell in function.__closure__ or ())
    except ValueError:
        # A cell that has no value yet.
        return None


#: Values that never change and of which equal ones are alike. 0.0 and -0.0 are equal and not alike, so floats must be the same object.
_ALIKE = frozenset((int, str, bytes, bool, type(None)))


def _are_same(ours, theirs):
    if ours is None or theirs is None or len(ours) != len(theirs):
        return False
    for one, other in zip(ours, theirs):
        if one is other:
            if type(one) not in _ALIKE and type(one) is not float:
                return False
        elif type(one) is not type(other) or type(one) not in _ALIKE or one != other:
            return False
    return True


def _may_be_kept(function):
    """Whether the function consists of nothing that can change unseen."""
    cells = _cells(function)
    if cells is None or function.__kwdefaults__:
        return False
    plain = _ALIKE | {float}
    return all(type(value) in plain for value in (*cells, *(function.__defaults__ or ()))) and all(
        type(value) is str or value is None or getattr(value, "__module__", None) == "builtins" for value in function.__annotations__.values()
    )


#: id of a code object -> _Function, which keeps the code object and so its id.
_functions = {}
_KEPT = 256


#: What frame 0 begins with where frames of the function's data follow it, and how many these are. No pickle begins so.
HELD = struct.Struct("<4sI")
_HELD_MARK = b"\0apf"
#: Bytes of a function's data from which on it travels in frames of its own.
_MUCH_HELD = 1 << 18
#: More frames than that are not made of a function.
_MOST_HELD = 32


def dump_function(function):
    """The frame of a function, or a tuple of frames for one that holds much data: these are copies, which any number of tasks can share.

    The same function is pickled once as long as nothing in it changes. Raises what pickling it raises.
    """
    kind = type(function)
    if kind is FunctionType:
        code = function.__code__
        kept = _functions.get(id(code))
        if kept is not None and (kept.fits_plain(function) if kept.is_plain else kept.fits(function)):
            return kept.blob
        blob = _join(_dump(can(function), True))
        if _may_be_kept(function):
            if len(_functions) >= _KEPT:
                _functions.clear()
            _functions[id(code)] = _Function(function, blob)
        return blob
    if kind is EngineFunction:
        blob = _functions.get(function.path)
        if blob is None:
            blob = _functions[function.path] = _pickle_dumps(function, PROTOCOL)
        return blob
    return _join(_dump(_prepare(function), True))


def task_frames(function, arguments):
    """The frames of a task: those of `dump_function` and of `dump_call`."""
    return [*function, *arguments] if type(function) is tuple else [function, *arguments]


def _join(frames):
    """The frame, or the frames, of a function of which these are pickle and buffers."""
    if len(frames) == 1:
        return bytes(frames[0])
    held = frames[1:]
    if sum(frame.nbytes for frame in held) >= _MUCH_HELD and len(held) <= _MOST_HELD:
        from ._loader import load_core

        keep = load_core().keep_frame
        return (HELD.pack(_HELD_MARK, len(held)) + bytes(frames[0]), *map(keep, held))
    return _pickle_dumps(_BufferedFunction([bytes(frame) for frame in frames]), PROTOCOL)


class _BufferedFunction:
    """A function with its large buffers."""

    def __init__(self, frames):
        self.frames = frames

    def __reduce__(self):
        return load_frames, (self.frames,)


def load_frames(frames):
    """What `_BufferedFunction` is where it arrives: the canned function."""
    return _read(frames[0], map(bytearray, frames[1:]))[0]


# -- reading


def _as_writable(frame):
    """Arrays can be written to where they arrive; the core hands out small frames as bytes."""
    return bytearray(frame) if type(frame) is bytes else frame


def _writable(frames):
    return list(map(_as_writable, frames))


def _read(data, buffers):
    """Return (object, whether something in it may be canned)."""
    if type(data) is bytes:
        if len(data) <= _LARGE_PICKLE and b"ipyparallel" not in data:
            return _pickle_loads(data, buffers=buffers), False
        if len(data) <= _LARGE_PICKLE:
            return serialize.StockUnpickler(io.BytesIO(data), buffers=buffers).load(), True
    elif len(data) <= _LARGE_PICKLE:
        return _read(bytes(data), buffers)
    return serialize.StockUnpickler(serialize.Reader(data), buffers=buffers).load(), True


def _uncan(value, g):
    """Inverse of `_prepare`."""
    kind = type(value)
    if kind is list or kind is tuple or kind is set:
        return kind([canning.uncan(item, g) for item in value]) if len(value) < _ITEMS else value
    if kind is dict:
        return {key: canning.uncan(item, g) for key, item in value.items()} if len(value) < _ITEMS else value
    return canning.uncan(value, g)


def load(frames, g=None):
    """The object of these frames; `g` is the namespace of its functions and references."""
    if len(frames) == 1:
        data = frames[0]
        if type(data) is bytes and len(data) <= _LARGE_PICKLE and b"ipyparallel" not in data:
            return _pickle_loads(data)
        value, is_canned = _read(frames[0], ())
    else:
        value, is_canned = _read(frames[0], _writable(frames[1:]))
    return _uncan(value, g) if is_canned else value


def load_canned(data):
    """The object of one frame as it came, still canned."""
    return _read(data, ())[0]


def held_frames(data):
    """How many frames of its data follow the frame of a function. Raises ValueError for a number that none has."""
    if len(data) < HELD.size or bytes(data[: HELD.size - 4]) != _HELD_MARK:
        return 0
    count = HELD.unpack_from(data)[1]
    if not 0 < count <= _MOST_HELD:
        raise ValueError(f"a function has from 1 to {_MOST_HELD} frames of data, not {count}")
    return count


def load_held_function(frames, g=None):
    """The function of `dump_function`'s tuple. What it holds is this task's alone."""
    value, is_canned = _read(frames[0][HELD.size :], _writable(frames[1:]))
    return _uncan(value, g) if is_canned else value


def load_each(frames, g=None):
    """The objects of these frames, one after another: each takes as many buffers as its pickle asks for."""
    rest = iter(_writable(frames))
    values = []
    for data in rest:
        value, is_canned = _read(bytes(data), rest)
        values.append(_uncan(value, g) if is_canned else value)
    return values


def load_first(frames, g=None):
    """Return (first object, frames that were left over)."""
    rest = iter(frames)
    value, is_canned = _read(bytes(next(rest)), map(_as_writable, rest))
    return (_uncan(value, g) if is_canned else value), list(rest)


def load_call(frames, g=None):
    """Inverse of `dump_call`."""
    (args, kwargs), is_canned = _read(frames[0], _writable(frames[1:]) if len(frames) > 1 else ())
    if is_canned:
        args = tuple([_uncan(value, g) for value in args])
        kwargs = {key: _uncan(value, g) for key, value in kwargs.items()}
    return args, kwargs
