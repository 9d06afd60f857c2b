"""Calls that come as MessagePack: what Swift programs ask of a Python engine (docs/codecs.md, "Calls").

Frame 0 is the head, a map that says what to call and is the same for all tasks of a map; the frames behind it are the arguments. Arrays of
numbers come as NumPy arrays that look into the frames, and those of a result leave without a copy.
"""

import array
import builtins
import importlib
import sys
import weakref

from .. import msgpack
from .codecs import CodecError

#: Heads and functions that are kept, each; heads above this size are read every time.
_KEPT = 64
_LARGE_HEAD = 65536

_calls = {}
_sources = 0


def run(buffers, user_ns):
    """The value of a call. A coroutine is left to the caller."""
    if not buffers:
        raise CodecError("a msgpack task has at least one buffer: the head of its call")
    head = bytes(buffers[0])
    call = _calls.get(head)
    if call is None:
        call = _prepare(head, user_ns)
        if len(_calls) >= _KEPT:
            _forget()
        if len(head) <= _LARGE_HEAD:
            _calls[head] = call
    # Small frames are bytes; a copy makes their arrays as writable as those of large ones.
    frames = [bytearray(frame) if type(frame) is bytes else frame for frame in buffers[1:]]
    del buffers[:]
    return call(frames, user_ns)


def dump(value):
    """The frames of a result."""
    try:
        return msgpack.pack_frames(value)
    except msgpack.MsgPackError as error:
        raise CodecError(f"the result cannot leave the engine: {error}") from None


# -- heads


def _prepare(head, user_ns):
    """What a head asks for, as a function of the arguments' frames and the namespace."""
    try:
        wish = msgpack.unpack(head)
    except msgpack.MsgPackError as error:
        raise CodecError(f"the head of the call cannot be read: {error}") from None
    kind = wish.get("call") if type(wish) is dict else None
    if type(kind) is not str:
        raise CodecError("the head of a call is a map with the text 'call'")
    if kind == "apply":
        return _prepare_apply(wish, user_ns)
    if kind == "push":
        return _push
    if kind == "pull":
        return _prepare_pull(wish)
    if kind in ("actor", "closure"):
        raise CodecError(f"a call of the kind {kind!r} needs a Swift engine; this one runs Python", refused=True)
    raise CodecError(f"this engine does not know the call {kind!r}; it knows apply, push and pull", refused=True)


def _read(frames):
    if not frames:
        raise CodecError("the arguments of the call are missing")
    try:
        return msgpack.unpack_frames(frames)
    except msgpack.MsgPackError as error:
        raise CodecError(f"the arguments cannot be read: {error}") from None


def _prepare_apply(wish, user_ns):
    name, source = wish.get("function"), wish.get("source")
    if type(name) is str and source is None:
        parts = name.split(".")
        if not all(part.isidentifier() for part in parts):
            raise CodecError(f"{name!r} is no name of a function; for an expression use the source")

        def find(namespace):
            # Every time: the namespace changes, and the rest is found as quickly.
            return _find(name, parts, namespace)
    elif type(source) is str and name is None:
        function = _compile(source, user_ns)

        def find(namespace):
            return function
    else:
        raise CodecError("apply has either a function (its name) or a source, as text")
    runs_each = wish.get("each") is True
    discards = wish.get("discards") is True

    def apply(frames, namespace):
        arguments = _read(frames)
        if type(arguments) is not list or [type(part) for part in arguments] != [list, dict]:
            raise CodecError("the arguments of apply are an array of two: the positional ones, and a map of the others")
        positional, others = arguments
        if not all(type(name) is str for name in others):
            raise CodecError("the names of arguments are text")
        function = find(namespace)
        del frames, arguments
        result = _each(function, _columns(positional), others) if runs_each else function(*positional, **others)
        return _discard(result) if discards else result

    return apply


def _discard(result):
    """Nothing, after a coroutine was awaited."""
    from types import CoroutineType

    if type(result) is not CoroutineType:
        return None

    async def finish():
        await result

    return finish()


def _push(frames, namespace):
    values = _read(frames)
    if type(values) is not dict:
        raise CodecError("push has a map of names and values")
    for name in values:
        if type(name) is not str or not name.isidentifier():
            raise CodecError(f"{name!r} is no name of a variable")
    namespace.update(values)


def _prepare_pull(wish):
    names = wish.get("names")
    if type(names) is not list or not all(type(name) is str for name in names):
        raise CodecError("pull has the names of variables: 'names', an array of text")

    def pull(frames, namespace):
        for name in names:
            if name not in namespace:
                raise NameError(f"name {name!r} is not defined")
        return [namespace[name] for name in names]

    return pull


# -- functions


def _find(name, parts, namespace):
    """The function of a qualified name: of the namespace, of a module, or a built-in one."""
    first = parts[0]
    if first in namespace:
        found = namespace[first]
        try:
            for part in parts[1:]:
                found = getattr(found, part)
            return _callable(found, name)
        except AttributeError:
            # `import xml` does not bring `xml.etree`.
            if type(found) is not type(sys):
                raise
    if len(parts) == 1:
        found = getattr(builtins, first, None)
        if found is None:
            raise NameError(f"name {name!r} is not defined")
        return _callable(found, name)
    for count in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:count])
        found = sys.modules.get(module)
        if found is None:
            try:
                found = importlib.import_module(module)
            except ModuleNotFoundError as error:
                # Is it this module that is missing, or one that it needs?
                if error.name is None or not (module + ".").startswith(error.name + "."):
                    raise
                continue
        for part in parts[count:]:
            found = getattr(found, part)
        return _callable(found, name)
    raise ModuleNotFoundError(f"there is no function {name!r}: no module named {first!r}, and no such name in the engine's namespace", name=first)


def _callable(found, name):
    if not callable(found):
        raise TypeError(f"{name} is of type {type(found).__name__} and cannot be called")
    return found


def _compile(source, user_ns):
    """The function that the source is (an expression) or ends with (definitions). It knows the engine's namespace as its globals."""
    import ast
    import linecache
    from textwrap import dedent

    global _sources
    _sources += 1
    text = dedent(source).strip()
    file = f"<source {_sources}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    try:
        try:
            tree = ast.parse(text, file, "eval")
        except SyntaxError:
            tree = ast.parse(text, file)
        if isinstance(tree, ast.Expression):
            function = eval(compile(tree, file, "eval"), user_ns)
        else:
            function = _define(ast, tree, file, user_ns)
        function = _callable(function, "the value of the source")
        try:
            # Tracebacks need the source as long as there is the function, which for a large source is one task.
            weakref.finalize(function, linecache.cache.pop, file, None).atexit = False
        except TypeError:
            linecache.cache.pop(file, None)
        return function
    except BaseException:
        # The next try has another number.
        if not isinstance(sys.exc_info()[1], SyntaxError):
            linecache.cache.pop(file, None)
        raise


def _define(ast, tree, file, user_ns):
    """The last function of some statements. They run within a function: what they define finds each other, and nothing of it stays in
    the namespace."""
    names = [statement.name for statement in tree.body if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))]
    if not names:
        raise CodecError("the source is no expression, and defines no function")
    around = ast.parse("def around(): pass", file)
    around.body[0].body = [*tree.body, ast.Return(ast.Name(names[-1], ast.Load()))]
    ast.fix_missing_locations(around)
    made = {}
    exec(compile(around, file, "exec"), user_ns, made)
    return made["around"]()


def _forget():
    """The sources go with the functions."""
    _calls.clear()


# -- maps


def _columns(positional):
    """The arguments of a map as sequences of Python's own numbers and values, equally long."""
    if not positional:
        raise CodecError("a map has at least one array to go over")
    columns = []
    for index, argument in enumerate(positional):
        if hasattr(argument, "tolist"):
            argument = argument.tolist()
        if type(argument) not in (list, bytes):
            raise CodecError(f"argument {index} of a map is of type {type(argument).__name__}, not an array")
        columns.append(argument)
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise CodecError(f"the arrays of a map have different lengths: {', '.join(map(str, lengths))}")
    return columns


def _each(function, columns, others):
    code = getattr(function, "__code__", None)
    if code is not None and code.co_flags & 0x80:
        return _each_awaited(function, columns, others)
    if others:
        return _pack([function(*row, **others) for row in zip(*columns)])
    return _pack(list(map(function, *columns)))


async def _each_awaited(function, columns, others):
    return _pack([await function(*row, **others) for row in zip(*columns)])


def _pack(values):
    """Numbers of one type as a typed array: a tenth of the time and half of the bytes."""
    kinds = set(map(type, values))
    if len(kinds) != 1:
        return values
    kind = kinds.pop()
    if kind is float:
        return array.array("d", values)
    if kind is int:
        try:
            return array.array("q", values)
        except OverflowError:
            return values
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, (numpy.number, numpy.bool_)) and kind.__module__ == "numpy":
        return numpy.array(values)
    return values
