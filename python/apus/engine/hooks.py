"""What happens when the user's code imports certain modules in an engine."""

import sys
from importlib.machinery import PathFinder


class _Finder:
    """Calls a function after a module was imported for the first time."""

    def __init__(self, actions):
        self.actions = actions

    def find_spec(self, name, path=None, target=None):
        if name not in self.actions:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.actions.pop(name))
        return spec


class _Loader:
    """The real loader, and the action afterwards."""

    def __init__(self, loader, action):
        self._loader = loader
        self._action = action

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._action(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)


def install(kernel):
    """Prepare this process for code that knows ipyparallel's engines."""
    actions = {
        "IPython": lambda module: kernel.make_shell(),
        "asyncio": lambda module: kernel.background.adopt(),
        "ipyparallel": lambda module: _bind(module, kernel),
        "ipyparallel.engine.datapub": _replace_publish_data,
        "ipyparallel.serialize.canning": _link_canning,
        "comm": lambda module: _provide_comms(module, kernel),
        "getpass": _refuse_getpass,
    }
    for name in list(actions):
        module = sys.modules.get(name)
        if module is not None:
            actions.pop(name)(module)
    sys.meta_path.insert(0, _Finder(actions))


def _replace_publish_data(module):
    """ipyparallel's own insists on ipykernel's shell."""
    from . import stock

    module.publish_data = stock.publish_data


def _link_canning(module):
    """Custom entries of ipyparallel's `can_map` work here, and its `uncan` knows our canned objects."""
    from .. import canning

    known = set(module.can_map)
    module.uncan_map[canning.CannedObject] = lambda obj, g: obj.get_object(g)

    def can(obj):
        kind = type(obj)
        if kind in known or kind not in module.can_map:
            return obj
        return module.can_map[kind](obj)

    def uncan(obj, g):
        return obj.get_object(g) if isinstance(obj, module.CannedObject) else obj

    canning.extra_canners.append(can)
    canning.extra_uncanners.append(uncan)


def _bind(module, kernel):
    from . import frontends

    module.bind_kernel = lambda **options: frontends.bind(kernel, **options)


def _provide_comms(module, kernel):
    from . import comms

    comms.install(module, kernel)


def _refuse_getpass(module):
    from .streams import refuse_input

    module.getpass = refuse_input
