"""Profile directories: where a cluster's files are."""

import os
import re
import sys

_PREFIX = "profile_"
# What is in a profile, with the permissions of directories that hold secrets.
_PARTS = {"security": 0o700, "log": 0o777, "pid": 0o700, "startup": 0o777}


def current_shell():
    """The IPython shell that this code runs in, or None. IPython is not imported to find out."""
    module = sys.modules.get("IPython.core.interactiveshell")
    if module is None or not module.InteractiveShell.initialized():
        return None
    from IPython import get_ipython

    return get_ipython()


def ipython_dir():
    """The directory that holds all profiles."""
    paths = sys.modules.get("IPython.paths")
    if paths is not None:
        return paths.get_ipython_dir()
    return os.path.abspath(os.path.expanduser(os.environ.get("IPYTHONDIR") or os.path.join("~", ".ipython")))


def profile_directory(name):
    """The path of the profile of that name. It may not exist."""
    return os.path.join(ipython_dir(), _PREFIX + name)


def default_directory(name=""):
    """The profile directory that is meant where no path is given: of that name, else IPython's own, else `default`."""
    if not name:
        shell = current_shell()
        if shell is not None:
            return shell.profile_dir.location
    return profile_directory(name or "default")


def create(directory):
    """Make what is missing of a profile."""
    for part, mode in _PARTS.items():
        os.makedirs(os.path.join(directory, part), mode=mode, exist_ok=True)


def all_directories():
    """Every profile there is."""
    try:
        names = sorted(os.listdir(ipython_dir()))
    except OSError:
        return []
    paths = [os.path.join(ipython_dir(), name) for name in names if name.startswith(_PREFIX)]
    return [path for path in paths if os.path.isdir(path)]


def abbreviate(directory):
    """The profile's name where it lies in IPython's directory, else its path."""
    start = os.path.join(ipython_dir(), _PREFIX)
    return directory[len(start):] if directory.startswith(start) else directory


def connection_file(directory, cluster_id, kind):
    """The file that a controller writes for `kind`: "client" or "engine"."""
    middle = f"-{cluster_id}" if cluster_id else ""
    return os.path.join(directory, "security", f"ipcontroller{middle}-{kind}.json")


def cluster_file(directory, cluster_id):
    """The file that names the processes of a cluster."""
    return os.path.join(directory, "security", f"cluster-{cluster_id}.json")


def cluster_id(path):
    """The cluster's id, of the path of a cluster file."""
    return os.path.basename(path)[len("cluster-"):-len(".json")]


def files_of_controller(directory, cluster_id):
    """What a controller needs for as long as it lives, and the next one when it does not end in order."""
    files = [connection_file(directory, cluster_id, kind) for kind in ("client", "engine", "curve")]
    journal = f"journal-{cluster_id}" if cluster_id else "journal"
    return [*files, os.path.join(directory, journal), os.path.join(directory, "log", f"engines{cluster_id}.json")]


def cluster_files(directory):
    """The cluster files of a profile."""
    security = os.path.join(directory, "security")
    try:
        names = sorted(os.listdir(security))
    except OSError:
        return []
    return [os.path.join(security, name) for name in names if name.startswith("cluster-") and name.endswith(".json")]


def leftovers(directory):
    """Logs and connection files of a profile, whoever wrote them, and files that somebody was writing who was killed meanwhile."""
    found = []
    for part, pattern in (
            ("log", r".*"), ("security", r"ipcontroller-.*\.json|\.cluster-.*|" + _UNFINISHED), ("", _UNFINISHED), ("startup", _UNFINISHED)):
        folder = os.path.join(directory, part)
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        found += [os.path.join(folder, name) for name in names if re.fullmatch(pattern, name)]
    return [path for path in found if os.path.isfile(path)]


#: What the commands write goes to its place when it is whole.
_UNFINISHED = r".+\.[0-9]+-[0-9]+\.new"


def target(path):
    """What was to become of a file that is not whole; of others the path itself."""
    return path.rsplit(".", 2)[0] if re.fullmatch(_UNFINISHED, os.path.basename(path)) else path


def is_unnamed(path):
    """Whether it is what this package writes before it takes the place of a cluster's file."""
    return os.path.basename(path).startswith(".cluster-")


#: All that a controller writes into its journal.
_OF_JOURNAL = re.compile(r"[0-9]{8,}\.log|[0-9]{8,}(-[0-9]+)?\.damaged|(id|attempts|beginning\.json)(\..+\.new)?")


def journals(directory, in_use=False):
    """Journals that controllers have left in a profile: those that were set aside too, and with `in_use` those that are written at this moment."""
    found = []
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        path = os.path.join(directory, name)
        if name != "journal" and not name.startswith(("journal-", "journal.aside-")) or not os.path.isdir(path):
            continue
        # Somebody may have a directory of such a name.
        if not all(_OF_JOURNAL.fullmatch(each) for each in os.listdir(path)):
            continue
        lock = os.path.join(directory, "pid", f"ipcontroller{name[len('journal'):]}.lock")
        if in_use or not _is_held(lock):
            found.append(path)
    return found


def _is_held(lock):
    """Whether a controller of this host has its lock open; trying the lock would take it from one that begins at this moment."""
    try:
        with open(lock, encoding="utf-8") as file:
            pid = int(file.read())
        wanted = os.stat(lock)
        opened = f"/proc/{pid}/fd"
        return any(_is_same(os.path.join(opened, name), wanted) for name in os.listdir(opened))
    except (OSError, ValueError):
        return False


def _is_same(path, wanted):
    try:
        return os.path.samestat(os.stat(path), wanted)
    except OSError:
        return False
