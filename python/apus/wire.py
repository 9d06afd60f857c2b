"""How our classes and functions write themselves into a pickle: under the names that a stock peer of ipyparallel knows."""

import copyreg


class WireType(type):
    """The type of classes that travel under another name than their own: their attribute `wire_name`, as `module:name`."""


def by_name(path):
    """The reduction of what the other end knows by this name."""
    # Imported late: an engine that has no canned results does not need it.
    from pkgutil import resolve_name

    return resolve_name, (path,)


def _reduce_wire_type(cls):
    return by_name(cls.wire_name)


copyreg.pickle(WireType, _reduce_wire_type)


class EngineFunction:
    """A function that every engine has under a name of ipyparallel's: stock engines import it, ours have their own.

    Called in this process, it is our own function of that name, or what the name imports.
    """

    def __init__(self, path):
        self.path = path
        self.__name__ = path.rpartition(":")[2]

    def __reduce__(self):
        return by_name(self.path)

    def __call__(self, *args, **kwargs):
        from .serialize import resolve

        return resolve(self.path)(*args, **kwargs)

    def __repr__(self):
        return f"<EngineFunction {self.path}>"
