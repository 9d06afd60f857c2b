"""The commands under ipyparallel's names."""

import os
import sys

from ._executable import find as path


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
