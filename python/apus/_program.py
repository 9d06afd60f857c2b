"""The program `apus`, as Python finds it, and the commands under ipyparallel's names."""

import os
import sys


def path():
    """Return the path of the program `apus` that belongs to this package.

    It is the one that the environment variable APUS_PROGRAM names, or else the one in `bin` of the environment or prefix that the package
    was installed into, or, in a source checkout, the product of `swift build` (release, then debug), or the first on PATH.

    Raises FileNotFoundError with the places that were looked at.
    """
    named = os.environ.get("APUS_PROGRAM")
    if named:
        # A person who names a file wants that file and no other.
        return named
    for candidate in _candidates():
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    import shutil

    found = shutil.which("apus")
    if found:
        return found
    raise FileNotFoundError(f"the program apus was not found; looked for {', '.join(_candidates())}, and on PATH")


def _candidates():
    above = [os.path.dirname(os.path.abspath(__file__))]
    for _ in range(4):
        above.append(os.path.dirname(above[-1]))
    yield os.path.join(above[4], "bin", "apus")  # PREFIX/lib/python3.N/site-packages/apus, PREFIX/lib/apus/python/apus
    yield os.path.join(above[1], "bin", "apus")  # pip install --target
    for configuration in ("release", "debug"):
        yield os.path.join(above[2], ".build", configuration, "apus")
    yield os.path.join(os.path.dirname(sys.executable), "apus")


def _become(name):
    """Run ipyparallel's own command of that name where ipyparallel is installed, and otherwise Apus's, under the same process id.

    Both packages bring commands of these names, and whichever is installed last has written the files: so they do the same whichever
    it was.
    """
    import importlib.util

    if importlib.util.find_spec("ipyparallel") is not None:
        from importlib.metadata import distribution

        for entry in distribution("ipyparallel").entry_points:
            if entry.group == "console_scripts" and entry.name == name:
                return entry.load()()
    sys.stdout.flush()
    # The program goes by the name that it is called under.
    os.execv(path(), [name, *sys.argv[1:]])


def ipcluster():
    """The command `ipcluster`."""
    return _become("ipcluster")


def ipcontroller():
    """The command `ipcontroller`."""
    return _become("ipcontroller")


def ipengine():
    """The command `ipengine`."""
    return _become("ipengine")
