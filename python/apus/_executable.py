"""Finds the program `apus`: the controller, and what starts engines.

Nothing is imported here that an engine does not have loaded already.
"""

import os
import sys

_NAME = "apus"


def _candidates(environment):
    """Files that may be the program, best first. A name without a directory is looked for on PATH."""
    named = environment.get("APUS_BIN")
    if named:
        # A person who names a file, or the directory it is in, wants that one and no other.
        return [os.path.join(named, _NAME) if os.path.isdir(named) else named]
    packages = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    root = os.path.dirname(packages)
    return [
        # Of an environment or a prefix: the package lies in PREFIX/lib/python3.N/site-packages, or in PREFIX/lib/apus/python.
        os.path.join(os.path.dirname(os.path.dirname(root)), "bin", _NAME),
        # Of `pip install --target`.
        os.path.join(packages, "bin", _NAME),
        # Of a checkout.
        os.path.join(root, ".build", "release", _NAME),
        os.path.join(root, ".build", "debug", _NAME),
        os.path.join(os.path.dirname(sys.executable), _NAME),
        _NAME,
    ]


def find():
    """Return the path of the program `apus`.

    Looked for in this order: the file or directory that the environment variable APUS_BIN names; in the environment or prefix that
    this package was installed into, or, in a source checkout, among the products of `swift build` (release, then debug); beside the
    interpreter; on PATH.

    Raises FileNotFoundError with the places that were looked at.
    """
    candidates = _candidates(os.environ)
    for candidate in candidates:
        path = _on_path(candidate) if os.path.basename(candidate) == candidate else candidate
        if path and os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    places = ", ".join("PATH" if place == _NAME else place for place in candidates)
    raise FileNotFoundError(
        f"the program 'apus' was not found; looked for {places}. Install Apus, or name the program in the variable APUS_BIN."
    )


def _on_path(name):
    for directory in os.get_exec_path():
        path = os.path.join(directory, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def command(*words):
    """The arguments that run one of its commands: `command("controller")` is `["/…/apus", "controller"]`."""
    return [find(), *words]
