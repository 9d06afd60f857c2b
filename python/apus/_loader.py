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


def load_core():
    """Return the module `apus._core`.

    Looked for in this order: the file that the environment variable APUS_CORE names, `_core.abi3.so` beside this package, and, in a
    source checkout, the products of `swift build` (release, then debug).

    Raises ImportError with the places that were looked at.
    """
    name = "apus._core"
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
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
            return module
    raise ImportError(
        "the compiled core of Apus was not found; looked for " + ", ".join(candidates) + ". Build it with `swift build --product _core`."
    )
