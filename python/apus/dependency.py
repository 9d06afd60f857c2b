"""What tasks depend on: engines that can run them, and other tasks."""

from types import ModuleType

from .asyncresult import AsyncResult
from .canning import can, dependent
from .util import interactive


class depend:
    """Decorator: before the function runs on an engine, `df(*args, **kwargs)` is called there.

    If that returns False or raises UnmetDependency, another engine is tried.
    """

    def __init__(self, df, /, *args, **kwargs):
        self.f = df
        self.args = args
        self.kwargs = kwargs

    def __call__(self, f):
        return dependent(f, self.f, *self.args, **self.kwargs)


@interactive
def _require(*modules, **mapping):
    """Runs where the function will: its globals are the names there, and no module of ours need be. Engines of Apus have their own."""
    try:
        from ipyparallel.error import UnmetDependency
    except ImportError:
        from apus.error import UnmetDependency
    names = globals()
    for name in modules:
        try:
            exec(f"import {name}", names)
        except ImportError:
            raise UnmetDependency(name) from None
    for name, value in mapping.items():
        names[name] = value.get_object(names) if hasattr(value, "get_object") else value
    return True


def require(*objects, **mapping):
    """Decorator: modules (or their names) are imported on the engine before the function runs, and objects bound there.

    Functions and classes are bound under their own names, other objects under the name of their keyword. An engine that lacks a module
    is passed over.

    Raises TypeError for an object without a name.
    """
    names = []
    for obj in objects:
        if isinstance(obj, ModuleType):
            obj = obj.__name__
        if isinstance(obj, str):
            names.append(obj)
        elif hasattr(obj, "__name__"):
            mapping[obj.__name__] = obj
        else:
            raise TypeError(f"Objects other than modules and functions must be passed by kwarg, but got: {type(obj)}")
    return depend(_require, *names, **{name: can(obj) for name, obj in mapping.items()})


class Dependency(set):
    """Tasks that must have ended before another one may run (`after`), or where it may run (`follow`).

    dependencies: ids, AsyncResults, or the dict of `as_dict`. all: every one of them, or any. success, failure: which ends count; by
    default only success, and then the failure of one makes the task fail with ImpossibleDependency.

    Raises TypeError for other dependencies, ValueError if neither success nor failure counts.
    """

    all = True
    success = True
    failure = True

    def __init__(self, dependencies=(), all=True, success=True, failure=False):
        if isinstance(dependencies, dict):
            all = dependencies.get("all", all)
            success = dependencies.get("success", success)
            failure = dependencies.get("failure", failure)
            dependencies = dependencies.get("dependencies", ())
        if isinstance(dependencies, (str, AsyncResult)):
            dependencies = [dependencies]
        ids = []
        for dependency in dependencies:
            if isinstance(dependency, str):
                ids.append(dependency)
            elif isinstance(dependency, AsyncResult):
                ids += dependency.msg_ids
            else:
                raise TypeError(f"invalid dependency type: {type(dependency)!r}")
        if not (success or failure):
            raise ValueError("Must depend on at least one of successes or failures!")
        super().__init__(ids)
        self.all = all
        self.success = success
        self.failure = failure

    def _among(self, ids):
        return self.issubset(ids) if self.all else not self.isdisjoint(ids)

    def check(self, completed, failed=None):
        """Whether it is met, given the ids of tasks that have ended well and those that have failed."""
        counting = set(completed if self.success else ()) | set((failed or ()) if self.failure else ())
        return not self or self._among(counting)

    def unreachable(self, completed, failed=None):
        """Whether it can no longer be met."""
        hindering = set(() if self.success else completed) | set(() if self.failure else failed or ())
        if not self:
            return False
        return not self.isdisjoint(hindering) if self.all else self.issubset(hindering)

    def as_dict(self):
        """The form in which it travels."""
        return {"dependencies": list(self), "all": self.all, "success": self.success, "failure": self.failure}


__all__ = ["depend", "require", "dependent", "Dependency"]
