"""Objects as frames, in the layout of ipyparallel's apply messages.

One object is a pickle followed by its large buffers: frame 0 pickles the container of canned objects, and every buffer above a threshold is
a frame of its own, in the order in which the canned objects are met.
"""

import io

try:
    # The compiled half of `pickle`; the other half imports `re` and more, which an idle engine does not need.
    import _pickle as _stdlib
except ImportError:  # another implementation of Python
    import pickle as _stdlib

from . import canning
from .canning import CannedFunction, CannedObject, Reference, can, can_map, uncan, uncan_map  # noqa: F401

#: What a stock peer of this interpreter writes: 4 up to Python 3.13, 5 from 3.14 on.
PROTOCOL = 4
import sys as _sys

if _sys.version_info >= (3, 14):
    PROTOCOL = 5

#: Bytes above which a buffer travels outside the pickle, and items below which a container is looked into.
BUFFER_THRESHOLD = 1024
ITEM_THRESHOLD = 64

_CONTAINERS = (list, tuple, set)

#: (module, name) -> object: the globals of ipyparallel that are read without importing it. In an engine, `stock` adds functions.
known_globals = {
    **{
        ("ipyparallel.serialize.canning", cls.__name__): cls
        for cls in (
            CannedObject, canning.Reference, canning.CannedCell, CannedFunction, canning.CannedPartial, canning.CannedClass,
            canning.CannedArray, canning.CannedBytes, canning.CannedMemoryView,
        )
    },
    ("ipyparallel.serialize.canning", "CannedBuffer"): canning.CannedMemoryView,
    ("ipyparallel.serialize.canning", "_uncan_dependent_hook"): canning.uncan_dependent_hook,
    ("ipyparallel.serialize.codeutil", "code_ctor"): canning.code_ctor,
    ("ipyparallel.controller.dependency", "dependent"): canning.dependent,
}  # fmt: skip


def _know_errors():
    from . import error

    for name in error.__all__:
        known_globals["ipyparallel.error", name] = getattr(error, name)


_know_errors()


def _known(module, name):
    """What a global of a pickle means here; None if it is to be imported."""
    if module.startswith("ipyparallel"):
        return known_globals.get((module, name))
    if name == "resolve_name" and module == "pkgutil":
        return resolve
    return None


def resolve(path):
    """What a name of the form `module:name` means here: how our own peers write ipyparallel's names (see `wire`)."""
    module, _, name = path.partition(":")
    found = known_globals.get((module, name))
    if found is not None:
        return found
    from pkgutil import resolve_name

    return resolve_name(path)


class StockUnpickler(_stdlib.Unpickler):
    """Reads ipyparallel's names as our light classes and functions."""

    def find_class(self, module, name):
        found = _known(module, name)
        return super().find_class(module, name) if found is None else found


#: Bytes above which a pickle is read where it lies. Below, one copy costs less than calls of Python for each of its frames.
_LARGE = 1 << 18


class Reader:
    """What an unpickler needs of a file, over a buffer: large objects are copied once, from the message into themselves."""

    def __init__(self, data):
        self._rest = memoryview(data).cast("B")

    def _next(self, size):
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def read(self, size):
        return self._next(size).tobytes()

    def readinto(self, target):
        found = self._next(len(target))
        target[: len(found)] = found
        return len(found)

    def readline(self):
        # Protocol 4 has lines in rare opcodes only, and short ones.
        end = 0
        while end < len(self._rest):
            position = self._rest[end : end + 256].tobytes().find(b"\n")
            if position >= 0:
                return self.read(end + position + 1)
            end += 256
        return self.read(len(self._rest))


def _plain_loads(data):
    # From protocol 4 on a pickle comes in frames of 64 KiB, with large objects between them; before, in single bytes.
    if len(data) > _LARGE and data[0] == 0x80 and data[1] >= 4:
        return StockUnpickler(Reader(data)).load()
    data = bytes(data) if not isinstance(data, bytes) else data
    if b"ipyparallel" in data:
        return StockUnpickler(io.BytesIO(data)).load()
    return _stdlib.loads(data)


def _plain_dumps(obj):
    return _stdlib.dumps(obj, PROTOCOL)


loads = _plain_loads
dumps = _plain_dumps
#: What pickles in this process: "pickle", "cloudpickle" or "dill".
mode = "pickle"


def use_pickle():
    """Pickle with the standard library; functions are canned."""
    global loads, dumps, mode
    loads, dumps, mode = _plain_loads, _plain_dumps, "pickle"
    canning.can_map[type(use_pickle)] = CannedFunction


def use_cloudpickle():
    """Pickle with cloudpickle, which also carries functions and classes of `__main__` inside other objects."""
    global loads, dumps, mode
    import cloudpickle

    loads, mode = _plain_loads, "cloudpickle"
    dumps = lambda obj: cloudpickle.dumps(obj, PROTOCOL)  # noqa: E731
    canning.can_map.pop(type(use_pickle), None)


def use_dill():
    """Pickle with dill."""
    global loads, dumps, mode
    import dill

    class Unpickler(dill.Unpickler):
        def find_class(self, module, name):
            found = _known(module, name)
            return super().find_class(module, name) if found is None else found

    class Pickler(dill.Pickler):
        # dill writes classes its own way and would not ask `copyreg` about ours.
        dispatch = type(dill.Pickler.dispatch)(dill.Pickler.dispatch)

    Pickler.dispatch[canning.WireType] = lambda pickler, cls: pickler.save_reduce(*canning.by_name(cls.wire_name), obj=cls)

    def dill_dumps(obj):
        file = io.BytesIO()
        Pickler(file, PROTOCOL).dump(obj)
        return file.getvalue()

    loads = lambda data: Unpickler(io.BytesIO(data)).load()  # noqa: E731
    dumps, mode = dill_dumps, "dill"
    canning.can_map.pop(type(use_pickle), None)


class PrePickled:
    """An object that was serialised beforehand."""

    def __init__(self, obj):
        self.buffers = serialize_object(obj)


known_globals["ipyparallel.serialize.serialize", "PrePickled"] = PrePickled


def _size(buffer):
    return buffer.nbytes if isinstance(buffer, memoryview) else len(buffer)


def _extract_buffers(canned, threshold, into):
    if not isinstance(canned, CannedObject) or not canned.buffers:
        return
    for index, buffer in enumerate(canned.buffers):
        if _size(buffer) > threshold:
            canned.buffers[index] = None
            into.append(buffer)
        elif isinstance(buffer, memoryview):
            canned.buffers[index] = buffer.tobytes()


def _restore_buffers(canned, frames):
    if isinstance(canned, CannedObject) and canned.buffers:
        for index, buffer in enumerate(canned.buffers):
            if buffer is None:
                canned.buffers[index] = frames.pop(0)


def serialize_object(obj, buffer_threshold=BUFFER_THRESHOLD, item_threshold=ITEM_THRESHOLD):
    """The frames of an object: bytes first, then its large buffers as bytes or memoryviews, not copied."""
    kind = type(obj)
    if kind in canning.PLAIN:
        return [dumps(obj)]
    if kind is PrePickled:
        return list(obj.buffers)
    buffers = []
    if kind in _CONTAINERS and len(obj) < item_threshold:
        canned = kind([can(item) for item in obj])
        for item in canned:
            _extract_buffers(item, buffer_threshold, buffers)
    elif kind is dict and len(obj) < item_threshold:
        canned = {}
        for key in sorted(obj):
            value = canned[key] = can(obj[key])
            _extract_buffers(value, buffer_threshold, buffers)
    else:
        canned = can(obj)
        _extract_buffers(canned, buffer_threshold, buffers)
    return [dumps(canned), *buffers]


def _take_object(frames, g):
    """Restore the first object and remove its frames from the list."""
    canned = loads(frames.pop(0))
    kind = type(canned)
    if kind in _CONTAINERS and len(canned) < ITEM_THRESHOLD:
        if frames:
            for item in canned:
                _restore_buffers(item, frames)
        return kind([uncan(item, g) for item in canned])
    if kind is dict and len(canned) < ITEM_THRESHOLD:
        restored = {}
        for key in sorted(canned):
            value = canned[key]
            _restore_buffers(value, frames)
            restored[key] = uncan(value, g)
        return restored
    _restore_buffers(canned, frames)
    return uncan(canned, g)


def deserialize_object(frames, g=None):
    """Return (object, frames that were left over)."""
    frames = list(frames)
    return _take_object(frames, g), frames


#: Small pickles that a client sends with every task of a map, by their bytes: functions without state, and shapes of calls.
_functions = {}
_calls = {}
_REMEMBERED = 256
_REMEMBERED_SIZE = 8192


def _remember(table, data, value):
    if len(table) >= _REMEMBERED:
        table.clear()
    table[data] = value


def _take_function(frames, g):
    data = frames[0]
    if type(data) is not bytes or len(data) > _REMEMBERED_SIZE:
        return _take_object(frames, g)
    found = _functions.get(data)
    if found is None:
        canned = loads(data)
        if type(canned) is not CannedFunction or not canned.is_stateless:
            return _take_object(frames, g)
        found = canned, canning.replaced_function(canned)
        _remember(_functions, data, found)
    del frames[0]
    canned, replacement = found
    return canned.rebuild(g) if replacement is None else replacement


def _shape(data):
    """(number of arguments, number of their frames, names of the keywords)."""
    shape = _calls.get(data) if type(data) is bytes else None
    if shape is None:
        info = loads(data)
        shape = info["nargs"], info["narg_bufs"], tuple(info["kw_keys"])
        if type(data) is bytes and len(data) <= _REMEMBERED_SIZE:
            _remember(_calls, data, shape)
    return shape


def unpack_apply_message(frames, g=None):
    """Return (function, args, kwargs) of an apply message.

    Raises ValueError where the frames contradict their own counts.
    """
    frames = list(frames)
    if len(frames) < 2:
        raise ValueError(f"an apply message has at least 2 buffers, not {len(frames)}")
    function = _take_function(frames, g)
    if not frames:
        raise ValueError("an apply message ends after its function")
    count, split, keys = _shape(frames.pop(0))
    if not frames and not count and not keys:
        return function, (), {}
    arg_frames, kwarg_frames = frames[:split], frames[split:]
    args = [_take_object(arg_frames, g) for _ in range(count)]
    kwargs = {key: _take_object(kwarg_frames, g) for key in keys}
    if arg_frames or kwarg_frames:
        raise ValueError("an apply message has more buffers than its arguments use")
    return function, args, kwargs


def pack_apply_message(function, args, kwargs, buffer_threshold=BUFFER_THRESHOLD, item_threshold=ITEM_THRESHOLD):
    """The frames of a call: inverse of `unpack_apply_message`."""
    arg_frames = [frame for arg in args for frame in serialize_object(arg, buffer_threshold, item_threshold)]
    keys = sorted(kwargs)
    kwarg_frames = [frame for key in keys for frame in serialize_object(kwargs[key], buffer_threshold, item_threshold)]
    info = {"nargs": len(args), "narg_bufs": len(arg_frames), "kw_keys": keys}
    return [*serialize_object(function), _plain_dumps(info), *arg_frames, *kwarg_frames]


__all__ = [
    "Reference", "PrePickled", "can_map", "uncan_map", "can", "uncan", "use_dill", "use_cloudpickle", "use_pickle", "serialize_object",
    "deserialize_object", "pack_apply_message", "unpack_apply_message",
]  # fmt: skip
