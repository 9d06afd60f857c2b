"""Tasks in other forms than ipyparallel's; the request's metadata names the form under `codec`.

cloudpickle: Apus's own Python client. Frame 0 is the function (a pickle by cloudpickle), frame 1 a pickle of `(args, kwargs)` whose large
buffers are out of band (protocol 5): they are the further frames, in order. A result is frame 0, with its buffers behind it.

msgpack: Swift programs; see `calls`.
"""

import pickle

#: Buffers from this size on leave the pickle.
_OUT_OF_BAND = 1024

_functions = {}


class CodecError(ValueError):
    """A task whose form is wrong.

    refused: the form is of a kind that this engine does not know and another may, so that a scheduler should try the next one.
    """

    def __init__(self, text, refused=False):
        super().__init__(text)
        self.refused = refused


def apply(kernel, buffers, metadata):
    """Run a task. Returns (frames of the result, codec of the result)."""
    codec = _codec(metadata)
    if codec == "msgpack":
        from . import calls

        value = calls.run(buffers, kernel.user_ns)
        if _is_coroutine(value):
            value = kernel.background.complete(value)
        return calls.dump(value), codec
    return _apply_pickled(kernel, codec, buffers), codec


async def apply_async(kernel, buffers, metadata):
    """As `apply`, inside the running event loop: a call of a coroutine function waits there."""
    codec = _codec(metadata)
    if codec == "msgpack":
        from . import calls

        value = calls.run(buffers, kernel.user_ns)
        if _is_coroutine(value):
            value = await kernel.background.complete_within(value)
        return calls.dump(value), codec
    return _apply_pickled(kernel, codec, buffers), codec


def _codec(metadata):
    import json

    return json.loads(metadata).get("codec")


def _is_coroutine(value):
    from types import CoroutineType

    return type(value) is CoroutineType


def _apply_pickled(kernel, codec, buffers):
    if codec is None:
        from . import serialize

        function, args, kwargs = serialize.unpack_apply_message(buffers, kernel.user_ns)
        return serialize.serialize_object(function(*args, **kwargs))
    if codec != "cloudpickle":
        raise CodecError(
            f"this engine runs Python and does not know the codec {codec!r}; it knows msgpack, cloudpickle and ipyparallel's own", refused=True
        )
    if len(buffers) < 2:
        raise CodecError(f"a cloudpickle task has at least 2 buffers, not {len(buffers)}")
    function = _load_function(buffers[0])
    args, kwargs = pickle.loads(buffers[1], buffers=buffers[2:])
    return dump(function(*args, **kwargs))


def _load_function(blob):
    """The same function comes with every task of a map: its last few forms are kept."""
    if len(blob) > 65536:
        return pickle.loads(blob)
    key = bytes(blob)
    function = _functions.get(key)
    if function is None:
        if len(_functions) >= 64:
            _functions.clear()
        function = _functions[key] = pickle.loads(key)
    return function


def dump(obj):
    """The frames of a result."""
    frames = []

    def keep(buffer):
        raw = buffer.raw()
        if raw.nbytes < _OUT_OF_BAND:
            return True
        frames.append(raw)
        return False

    try:
        data = pickle.dumps(obj, 5, buffer_callback=keep)
    except Exception:
        # Functions and classes of `__main__` need more.
        import cloudpickle

        del frames[:]
        data = cloudpickle.dumps(obj, 5, buffer_callback=keep)
    return [data, *frames]
