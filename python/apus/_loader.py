"""Finds and loads the compiled core (`apus._core`)."""

import sys

_INSTALLED_NAME = "_core.abi3.so"


def _candidates(environment):
    """Files that may be the core, best first."""
    import os

    named = environment.get("APUS_CORE")
    if named:
        # A person who names a file wants that file and no other.
        return [named]
    package = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(package))
    return [
        os.path.join(package, _INSTALLED_NAME),
        os.path.join(root, ".build", "release", "lib_core.so"),
        os.path.join(root, ".build", "debug", "lib_core.so"),
    ]


_pauses_at_forks = False


def _pause_at_forks(core):
    """The core's threads stand still while this process forks: what they hold, the child would hold for ever."""
    global _pauses_at_forks
    if not _pauses_at_forks:
        import os

        _pauses_at_forks = True
        # The core's own functions: one in Python could be interrupted before it calls them.
        os.register_at_fork(before=core.fork, after_in_parent=core.fork_over, after_in_child=core.forked)
    return core


def load_core():
    """Return the module `apus._core`.

    Looked for in this order: the file that the environment variable APUS_CORE names, `_core.abi3.so` beside this package, and, in a
    source checkout, the products of `swift build` (release, then debug).

    Raises ImportError with the places that were looked at.
    """
    name = "apus._core"
    loaded = sys.modules.get(name)
    if loaded is not None:
        # Perhaps by the ordinary import.
        return _pause_at_forks(loaded)
    import os
    from importlib.machinery import ExtensionFileLoader, ModuleSpec

    candidates = _candidates(os.environ)
    for path in candidates:
        if os.path.exists(path):
            loader = ExtensionFileLoader(name, path)
            spec = ModuleSpec(name, loader, origin=path)
            module = loader.create_module(spec)
            loader.exec_module(module)
            sys.modules[name] = module
            return _pause_at_forks(module)
    raise ImportError(
        "the compiled core of Apus was not found; looked for " + ", ".join(candidates) + ". Build it with `swift build --product _core`."
    )
