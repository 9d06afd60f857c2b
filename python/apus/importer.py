"""Imports that happen here and on engines."""

import builtins
import sys
from contextlib import contextmanager

from .util import interactive


@interactive
def _import_there(name, fromlist, level):
    """Runs on the engine: its globals are the user's names."""
    import sys

    names = globals()
    module = __import__(name, fromlist=fromlist, level=level)
    if fromlist:
        for key in fromlist:
            names[key] = getattr(module, key)
    else:
        names[name.partition(".")[0]] = module
        names[name] = sys.modules[name]


@contextmanager
def sync_imports(view, local=True, quiet=False):
    """See `DirectView.sync_imports`."""
    if not local:
        raise NotImplementedError("remote-only imports not yet implemented")
    # This generator, contextlib's `__enter__`, and then who wrote the `with`.
    context = sys._getframe(2)
    original = builtins.__import__
    seen, results = set(), []

    def import_both(name, globals=None, locals=None, fromlist=(), level=0):
        # Only what the block itself imports, not what those modules import.
        if sys._getframe(1) is not context:
            return original(name, globals, locals, fromlist, level)
        builtins.__import__ = original
        try:
            module = original(name, globals, locals, fromlist, level)
            key = name, tuple(fromlist or ())
            if level <= 0 and key not in seen:
                seen.add(key)
                if not quiet:
                    what = f"{','.join(fromlist)} from {name}" if fromlist else name
                    print(f"importing {what} on engine(s)")
                results.append(view.apply_async(_import_there, name, list(fromlist or ()), level))
            return module
        finally:
            builtins.__import__ = import_both

    builtins.__import__ = import_both
    try:
        yield
    finally:
        builtins.__import__ = original
    for result in results:
        result.get()
