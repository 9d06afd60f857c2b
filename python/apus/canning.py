"""Canned objects: ipyparallel's form of the Python objects that plain pickle cannot carry.

The classes here have the states of `ipyparallel.serialize.canning` and travel under its names, but nothing of ipyparallel is imported:
a class writes itself into a pickle as `pkgutil.resolve_name("ipyparallel.serialize.canning:CannedBytes")`, which a stock client resolves to
its own class. `copyreg` carries that rule, so it also holds for cloudpickle and dill.
"""

import copyreg
import sys
from functools import partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType

from .error import UnmetDependency
from .wire import EngineFunction, WireType, by_name

_STOCK = "ipyparallel.serialize.canning:"


class _CodeConstructor:
    """Makes a code object from the positional arguments of `types.CodeType`."""

    def __call__(self, *args):
        return CodeType(*args)


code_ctor = _CodeConstructor()


def _reduce_code_constructor(_):
    return by_name("ipyparallel.serialize.codeutil:code_ctor")


_CODE_ATTRIBUTES = None


def _code_attributes():
    """The attributes of a code object, in the order of its constructor's parameters."""
    global _CODE_ATTRIBUTES
    if _CODE_ATTRIBUTES is None:
        # Reading the text is much cheaper than importing `inspect`.
        signature = CodeType.__text_signature__ or ""
        names = [part.partition("=")[0].strip() for part in signature.strip("()").split(",")]
        names = [name for name in names if name and name != "/"]
        if not names:
            import inspect

            names = list(inspect.signature(CodeType).parameters)
        _CODE_ATTRIBUTES = tuple("co_" + _renamed(name) for name in names)
    return _CODE_ATTRIBUTES


def _renamed(name):
    return {"codestring": "code", "constants": "consts"}.get(name, name)


def _reduce_code(code):
    return code_ctor, tuple(getattr(code, name) for name in _code_attributes())


copyreg.pickle(_CodeConstructor, _reduce_code_constructor)
copyreg.pickle(CodeType, _reduce_code)


class CannedObject(metaclass=WireType):
    """An object whose named attributes are canned; `hook` runs after they are restored."""

    wire_name = _STOCK + "CannedObject"
    buffers = ()

    def __init__(self, obj, keys=(), hook=None):
        import copy

        self.keys = keys
        self.obj = copy.copy(obj)
        self.hook = can(hook)
        for key in keys:
            setattr(self.obj, key, can(getattr(obj, key)))
        self.buffers = []

    def get_object(self, g=None):
        g = {} if g is None else g
        for key in self.keys:
            setattr(self.obj, key, uncan(getattr(self.obj, key), g))
        if self.hook:
            self.hook = uncan(self.hook, g)
            self.hook(self.obj, g)
        return self.obj


class Reference(CannedObject):
    """An expression that is evaluated where it arrives."""

    wire_name = _STOCK + "Reference"

    def __init__(self, name):
        if not isinstance(name, str):
            raise TypeError(f"a reference is a str, not {name!r}")
        self.name = name
        self.buffers = []

    def __repr__(self):
        return f"<Reference: {self.name!r}>"

    def get_object(self, g=None):
        return eval(self.name, {} if g is None else g)


class CannedCell(CannedObject):
    wire_name = _STOCK + "CannedCell"

    def __init__(self, cell):
        self.cell_contents = can(cell.cell_contents)

    def get_object(self, g=None):
        return CellType(uncan(self.cell_contents, g))


class CannedFunction(CannedObject):
    """A function as its code and what the code needs; rebuilt in its module, or in the user's namespace if that is `__main__`."""

    wire_name = _STOCK + "CannedFunction"

    def __init__(self, f):
        self.code = f.__code__
        self.defaults = [can(value) for value in f.__defaults__] if f.__defaults__ else None
        self.kwdefaults = can_dict(f.__kwdefaults__) if f.__kwdefaults__ else None
        self.annotations = can_dict(f.__annotations__) if f.__annotations__ else None
        self.closure = tuple(can(cell) for cell in f.__closure__) if f.__closure__ else None
        self.module = f.__module__ or "__main__"
        self.__name__ = f.__name__
        self.buffers = []

    @property
    def is_stateless(self):
        """Whether two functions made from this share nothing that a call could change."""
        return not (self.defaults or self.kwdefaults or self.annotations or self.closure)

    def get_object(self, g=None):
        replacement = replaced_function(self)
        if replacement is not None:
            return replacement
        return self.rebuild(g)

    def rebuild(self, g):
        """The function itself, never our version of it."""
        if not self.module.startswith("__"):
            __import__(self.module)
            g = sys.modules[self.module].__dict__
        if g is None:
            g = {}
        defaults = tuple(uncan(value, g) for value in self.defaults) if self.defaults else None
        closure = tuple(uncan(cell, g) for cell in self.closure) if self.closure else None
        function = FunctionType(self.code, g, self.__name__, defaults, closure)
        if self.kwdefaults:
            function.__kwdefaults__ = uncan_dict(self.kwdefaults, g)
        if self.annotations:
            function.__annotations__ = uncan_dict(self.annotations, g)
        return function


class CannedPartial(CannedObject):
    wire_name = _STOCK + "CannedPartial"

    def __init__(self, f):
        self.func = can(f.func)
        self.args = [can(value) for value in f.args]
        self.keywords = {key: can(value) for key, value in f.keywords.items()}
        self.buffers = []
        self.arg_buffer_counts = []
        self.keyword_buffer_counts = {}
        for canned in self.args:
            self.arg_buffer_counts.append(self._take_buffers(canned) or 0)
        for key in sorted(self.keywords):
            count = self._take_buffers(self.keywords[key])
            if count is not None:
                self.keyword_buffer_counts[key] = count

    def _take_buffers(self, canned):
        """Move the buffers of a part to the whole; None for what is not canned."""
        if not isinstance(canned, CannedObject):
            return None
        count = len(canned.buffers)
        self.buffers.extend(canned.buffers)
        canned.buffers = []
        return count

    def get_object(self, g=None):
        g = {} if g is None else g
        buffers = list(self.buffers)
        if buffers:
            for canned, count in zip(self.args, self.arg_buffer_counts):
                if count:
                    canned.buffers, buffers = buffers[:count], buffers[count:]
            for key in sorted(self.keyword_buffer_counts):
                count = self.keyword_buffer_counts[key]
                self.keywords[key].buffers, buffers = buffers[:count], buffers[count:]
        args = [uncan(value, g) for value in self.args]
        keywords = {key: uncan(value, g) for key, value in self.keywords.items()}
        return partial(uncan(self.func, g), *args, **keywords)


class CannedClass(CannedObject):
    """A class that was defined in `__main__`, with everything in its body."""

    wire_name = _STOCK + "CannedClass"

    def __init__(self, cls):
        self.name = cls.__name__
        self.old_style = False
        self._canned_dict = {key: can(value) for key, value in cls.__dict__.items() if key not in ("__weakref__", "__dict__")}
        self.parents = [can(parent) for parent in cls.mro()[1:]]
        self.buffers = []

    def get_object(self, g=None):
        parents = tuple(uncan(parent, g) for parent in self.parents)
        return type(self.name, parents, uncan_dict(self._canned_dict, g))


class CannedArray(CannedObject):
    """A numpy array as its shape, its type and its bytes; arrays that hold Python objects are pickled whole."""

    wire_name = _STOCK + "CannedArray"

    def __init__(self, array):
        dtype = array.dtype
        self.shape = array.shape
        self.dtype = dtype.descr if dtype.fields else dtype.str
        # The empty and the zero-dimensional array, too: their bytes do not tell their shape to every reader.
        self.pickled = sum(array.shape) == 0 or dtype.hasobject
        if self.pickled:
            from . import serialize

            self.buffers = [serialize.dumps(array)]
        else:
            from numpy import ascontiguousarray

            self.buffers = [memoryview(ascontiguousarray(array, dtype=None))]

    def get_object(self, g=None):
        data = self.buffers[0]
        if self.pickled:
            from . import serialize

            return serialize.loads(data)
        from numpy import frombuffer

        if type(data) is bytes and len(data) > 1024:
            # Users write into arrays that came in a frame of their own; the core hands out smaller frames as bytes.
            data = bytearray(data)
        return frombuffer(data, dtype=self.dtype).reshape(self.shape)


class CannedBytes(CannedObject):
    wire_name = _STOCK + "CannedBytes"

    def __init__(self, data):
        self.buffers = [data]

    def get_object(self, g=None):
        data = self.buffers[0]
        return data if isinstance(data, bytes) else bytes(data)


class CannedMemoryView(CannedBytes):
    wire_name = _STOCK + "CannedMemoryView"

    def get_object(self, g=None):
        return memoryview(self.buffers[0])


CannedBuffer = CannedMemoryView


class dependent(metaclass=WireType):
    """A function that first asks another one whether it may run here."""

    wire_name = "ipyparallel.controller.dependency:dependent"

    def __init__(self, f, df, /, *dargs, **dkwargs):
        self.f = f
        self.__name__ = getattr(f, "__name__", "f")
        self.df = df
        self.dargs = dargs
        self.dkwargs = dkwargs

    def check_dependency(self):
        if self.df(*self.dargs, **self.dkwargs) is False:
            raise UnmetDependency()

    def __call__(self, *args, **kwargs):
        return self.f(*args, **kwargs)


def can_dependent(obj):
    return CannedObject(obj, keys=("f", "df"), hook=uncan_dependent_hook)


def uncan_dependent_hook(dep, g=None):
    dep.check_dependency()


def _can_class(cls):
    return CannedClass(cls) if cls.__module__ == "__main__" else cls


#: Exact type -> what cans its instances. Users extend it. In an engine that imports ipyparallel, `hooks` links its own `can_map` to it.
can_map = {
    FunctionType: CannedFunction,
    partial: CannedPartial,
    bytes: CannedBytes,
    memoryview: CannedMemoryView,
    CellType: CannedCell,
    type: _can_class,
    dependent: can_dependent,
}

#: Types whose instances need no look-up at all: what most results are.
PLAIN = frozenset((int, float, str, bool, type(None), complex, BuiltinFunctionType))


def _numpy_canner(kind):
    """numpy is known once somebody else has imported it; arrays cannot exist before."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is getattr(numpy, "ndarray", None):
        can_map[kind] = CannedArray
        return CannedArray
    return None


def can(obj):
    """The object in the form in which it may be pickled."""
    kind = type(obj)
    if kind in PLAIN:
        return obj
    canner = can_map.get(kind)
    if canner is None and kind.__name__ == "ndarray":
        canner = _numpy_canner(kind)
    if canner is not None:
        if canner is CannedFunction and obj is uncan_dependent_hook:
            return EngineFunction("ipyparallel.serialize.canning:_uncan_dependent_hook")
        return canner(obj)
    for extend in extra_canners:
        canned = extend(obj)
        if canned is not obj:
            return canned
    return obj


#: Functions obj -> canned object, asked for what `can_map` does not know. Filled when ipyparallel itself is imported in this process.
extra_canners = []
#: Functions (obj, namespace) -> restored object, likewise.
extra_uncanners = []


def uncan(obj, g=None):
    """Inverse of `can`; `g` is the namespace of functions and references."""
    if isinstance(obj, CannedObject):
        return obj.get_object(g)
    if isinstance(obj, dict):
        return uncan_dict(obj, g)
    if len(uncan_map) > _OWN_UNCANNERS:
        for kind, uncanner in uncan_map.items():
            if isinstance(obj, kind):
                return uncanner(obj, g)
    for extend in extra_uncanners:
        obj = extend(obj, g)
    return obj


def can_dict(obj):
    return {key: can(value) for key, value in obj.items()} if type(obj) is dict else obj


def uncan_dict(obj, g=None):
    return {key: uncan(value, g) for key, value in obj.items()} if type(obj) is dict else obj


sequence_types = (list, tuple, set)


def can_sequence(obj):
    kind = type(obj)
    return kind([can(item) for item in obj]) if kind in sequence_types else obj


def uncan_sequence(obj, g=None):
    kind = type(obj)
    return kind([uncan(item, g) for item in obj]) if kind in sequence_types else obj


#: Class -> function (object, namespace) that restores its instances. Users extend it together with `can_map`.
uncan_map = {
    CannedObject: lambda obj, g: obj.get_object(g),
    dict: uncan_dict,
}
_OWN_UNCANNERS = len(uncan_map)


def replaced_function(canned):
    """Our own version of a function of ipyparallel, or None. Set by `stock`."""
    return None
