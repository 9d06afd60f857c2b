"""Tasks in other forms than ipyparallel's; the request's metadata names the form under `codec`.

cloudpickle: Apus's own Python client; see `apus.codec`.

msgpack: Swift programs; see `calls`.
"""

import sys
from functools import partial
from types import BuiltinFunctionType, FunctionType

from .. import canning

#: Small functions without a state of their own, as they come with every task of a map: frame -> what makes the function, given the namespace.
_functions = {}
_KEPT = 256
_LARGE_FUNCTION = 65536

#: The tasks of a program have the same few metadata: bytes -> codec.
_codecs = {}
_LARGE_METADATA = 1024

#: `apus.codec`, once there was a task in its form.
_own = None


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
    codec = _codecs.get(metadata, _codecs)
    if codec is _codecs:
        import json

        codec = json.loads(metadata).get("codec")
        if len(metadata) <= _LARGE_METADATA and isinstance(codec, (str, type(None))):
            if len(_codecs) >= _KEPT:
                _codecs.clear()
            _codecs[metadata] = codec
    return codec


def _is_coroutine(value):
    from types import CoroutineType

    return type(value) is CoroutineType


def _apply_pickled(kernel, codec, buffers):
    if codec is None:
        from .. import serialize

        function, args, kwargs = serialize.unpack_apply_message(buffers, kernel.user_ns)
        return serialize.serialize_object(function(*args, **kwargs))
    if codec != "cloudpickle":
        raise CodecError(
            f"this engine runs Python and does not know the codec {codec!r}; it knows msgpack, cloudpickle and ipyparallel's own", refused=True
        )
    if len(buffers) < 2:
        raise CodecError(f"a cloudpickle task has at least 2 buffers, not {len(buffers)}")
    global _own
    if _own is None:
        from .. import codec as _own

    namespace = kernel.user_ns
    held = _own.held_frames(buffers[0])
    if held:
        if len(buffers) < held + 2:
            raise CodecError(f"a task whose function has {held} frames of data has at least {held + 2} buffers, not {len(buffers)}")
        function = _own.load_held_function(buffers[: held + 1], namespace)
    else:
        function = _load_function(buffers[0], namespace)
    args, kwargs = _own.load_call(buffers[held + 1 :], namespace)
    # The frames are not needed while the task runs.
    del buffers[:]
    return _own.dump(function(*args, **kwargs))


def _load_function(blob, namespace):
    """The function of a task. Two tasks share nothing that a call could change, so only its stateless parts are kept."""
    if type(blob) is not bytes or len(blob) > _LARGE_FUNCTION:
        return _own.load([blob], namespace)
    kept = _functions.get(blob)
    if kept is None:
        loaded = _own.load_canned(blob)
        kept = _stateless(loaded)
        if kept is None:
            return canning.uncan(loaded, namespace)
        if len(_functions) >= _KEPT:
            _functions.clear()
        _functions[blob] = kept
    return kept(namespace)


def _stateless(loaded):
    """What makes a new function of this one for each task; None if there is something in it that a task could change."""
    kind = type(loaded)
    if kind is canning.CannedFunction:
        replacement = canning.replaced_function(loaded)
        if replacement is not None:
            return lambda namespace: replacement
        return loaded.rebuild if loaded.is_stateless else None
    if kind is canning.CannedPartial:
        # A map: our own function, and the user's as its argument.
        if loaded.keywords or loaded.buffers or not _is_importable(loaded.func):
            return None
        makers = [_stateless(arg) for arg in loaded.args]
        if None in makers:
            return None
        return lambda namespace: partial(loaded.func, *[make(namespace) for make in makers])
    return (lambda namespace: loaded) if _is_importable(loaded) else None


def _is_importable(function):
    """Whether a function came by its name, and so is the same for all tasks anyway."""
    if type(function) is BuiltinFunctionType:
        return True
    if type(function) is not FunctionType:
        return False
    module = sys.modules.get(function.__module__)
    return module is not None and module.__dict__.get(function.__name__) is function
