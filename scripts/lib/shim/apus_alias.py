"""A pytest plugin: every `ipyparallel…` that a test imports is Apus's own; only `ipyparallel.tests` is the stock one, as it was shipped.

So the cases of ipyparallel's suite, which say `import ipyparallel as ipp`, run against `apus`. What has no counterpart cannot be imported,
and the module that needs it fails.
"""

import importlib
import importlib.util
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

#: Where the stock package is; looked up before it is hidden.
_STOCK = importlib.util.find_spec("ipyparallel").submodule_search_locations[0]

#: ipyparallel's module -> ours. A list: names are looked for in each of them. An empty one: a package that only holds others.
_COUNTERPARTS = {
    "ipyparallel": ["apus"],
    "ipyparallel.error": "apus.error",
    "ipyparallel.util": "apus.util",
    "ipyparallel.datapub": "apus.datapub",
    "ipyparallel.joblib": "apus.joblib",
    "ipyparallel.serialize": ["apus.serialize"],
    "ipyparallel.serialize.serialize": "apus.serialize",
    "ipyparallel.serialize.canning": "apus.canning",
    "ipyparallel.serialize.codeutil": "apus.canning",
    "ipyparallel.controller": [],
    "ipyparallel.controller.dependency": "apus.dependency",
    "ipyparallel.engine": [],
    "ipyparallel.engine.datapub": "apus.datapub",
    "ipyparallel.client": [],
    "ipyparallel.client.client": "apus.client",
    "ipyparallel.client.view": ["apus.views", "apus.directview", "apus.loadbalanced", "apus.broadcast", "apus.executor", "apus.lazymap"],
    "ipyparallel.client.asyncresult": "apus.asyncresult",
    "ipyparallel.client.remotefunction": "apus.remotefunction",
    "ipyparallel.client.map": "apus.partition",
    "ipyparallel.client.magics": "apus.magics",
    "ipyparallel.client._joblib": "apus._joblib",
    "ipyparallel.cluster": "apus.cluster",
    "ipyparallel.cluster.launcher": "apus.cluster.launcher",
    "ipyparallel.cluster.cluster": "apus.cluster.cluster",
}


class _Facade(ModuleType):
    """A module whose names are those of one or several of ours."""

    def __getattr__(self, name):
        if not name.startswith("__"):
            for module in self._modules:
                try:
                    return getattr(importlib.import_module(module), name)
                except AttributeError:
                    pass
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    @property
    def __all__(self):
        return list(importlib.import_module(self._modules[0]).__all__)


class _Counterpart(Loader):
    def __init__(self, target):
        self._target = target

    def create_module(self, spec):
        if isinstance(self._target, str):
            return None
        module = _Facade(spec.name)
        module._modules = self._target
        return module

    def exec_module(self, module):
        if isinstance(self._target, str):
            # The import system goes on with what stands here.
            sys.modules[module.__name__] = importlib.import_module(self._target)


class _Alias(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "ipyparallel" and not name.startswith("ipyparallel."):
            return None
        if name == "ipyparallel.tests":
            return PathFinder.find_spec(name, [_STOCK])
        if name.startswith("ipyparallel.tests."):
            return PathFinder.find_spec(name, path)
        counterpart = _COUNTERPARTS.get(name)
        if counterpart is None:
            raise ModuleNotFoundError(f"{name} has no counterpart in apus", name=name)
        is_package = any(other.startswith(name + ".") for other in _COUNTERPARTS)
        return ModuleSpec(name, _Counterpart(counterpart), origin="apus", is_package=is_package)


def _install():
    loaded = [name for name in sys.modules if name == "ipyparallel" or name.startswith("ipyparallel.")]
    if loaded:
        raise RuntimeError(f"the stock package was imported before: {loaded}")
    sys.meta_path.insert(0, _Alias())
    import zmq

    # Its counterpart here: results say the same of what was sent.
    zmq.MessageTracker = importlib.import_module("apus.asyncresult").SendTracker
    # The suite replaces some names in modules, and expects that the package has bound them before.
    apus = importlib.import_module("apus")
    for name in apus.__all__:
        getattr(apus, name)
    if os.environ.get("APUS_ALIAS_ENGINES") == "stock":
        importlib.import_module("apus.cluster.launcher").ipengine_cmd_argv = [sys.executable, "-m", "ipyparallel.engine"]


_install()
