"""Launchers by name: those of this package, and those that other packages announce as entry points."""

import functools
from importlib import import_module

from traitlets import TraitError, Type

# Entry points of both groups are looked at: packages with launchers for ipyparallel exist already.
_GROUPS = ("apus.{}_launchers", "ipyparallel.{}_launchers")
_KINDS = ("controller", "engine")
_HERE = __package__

#: Names of our own: kind -> name -> class, by module.
_OWN = {
    "controller": {
        "local": ("local", "LocalControllerLauncher"),
        "mpi": ("mpi", "MPIControllerLauncher"),
        "batch": ("batch", "BatchControllerLauncher"),
        "pbs": ("batchsystems", "PBSControllerLauncher"),
        "sge": ("batchsystems", "SGEControllerLauncher"),
        "slurm": ("batchsystems", "SlurmControllerLauncher"),
        "lsf": ("batchsystems", "LSFControllerLauncher"),
        "htcondor": ("batchsystems", "HTCondorControllerLauncher"),
        "ssh": ("ssh", "SSHControllerLauncher"),
    },
    "engine": {
        "local": ("local", "LocalEngineSetLauncher"),
        "mpi": ("mpi", "MPIEngineSetLauncher"),
        "batch": ("batch", "BatchEngineSetLauncher"),
        "pbs": ("batchsystems", "PBSEngineSetLauncher"),
        "sge": ("batchsystems", "SGEEngineSetLauncher"),
        "slurm": ("batchsystems", "SlurmEngineSetLauncher"),
        "lsf": ("batchsystems", "LSFEngineSetLauncher"),
        "htcondor": ("batchsystems", "HTCondorEngineSetLauncher"),
        "ssh": ("ssh", "SSHEngineSetLauncher"),
    },
}
#: What ipyparallel has and Apus has not.
_ABSENT = {"sshproxy", "winhpc"}


def _own(kind, name):
    module, class_name = _OWN[kind][name]
    return getattr(import_module(f"{_HERE}.{module}"), class_name)


def _entry_points(kind):
    """Entry points of other packages: name -> entry point."""
    from importlib.metadata import entry_points

    found = {}
    for group in _GROUPS:
        for point in entry_points(group=group.format(kind)):
            # Those of ipyparallel itself have their counterparts here.
            if not point.value.startswith("ipyparallel."):
                found.setdefault(point.name.lower(), point)
    return found


def find_launcher_class(name, kind):
    """Return the launcher class of a name.

    Parameters
    ----------
    name : str
        "local", "mpi", "slurm", …, in upper or lower case, or a name that another package has announced.
    kind : str
        "controller" or "engine".

    Raises KeyError where there is none, with the names there are.
    """
    if kind not in _KINDS:
        raise ValueError(f"kind should be 'controller' or 'engine', not {kind!r}")
    key = name.lower()
    if key in _OWN[kind]:
        return _own(kind, key)
    others = _entry_points(kind)
    if key in others:
        return others[key].load()
    known = ", ".join(sorted({*_OWN[kind], *others}))
    if key in _ABSENT:
        raise KeyError(f"the launcher {name!r} of ipyparallel is not in Apus, which has {known}")
    raise KeyError(f"there is no {kind} launcher {name!r}; there are {known}")


@functools.lru_cache
def abbreviate_launcher_class(cls):
    """The shortest name of a launcher class: what cluster files say."""
    named = getattr(cls, "entrypoint_name", None)
    if named:
        return named
    value = f"{cls.__module__}:{cls.__name__}"
    for kind in _KINDS:
        for name, (module, class_name) in _OWN[kind].items():
            if value == f"{_HERE}.{module}:{class_name}":
                return name
        for name, point in _entry_points(kind).items():
            if point.value == value:
                return name
    return value


class LauncherClass(Type):
    """A trait whose value is a launcher class; it takes names, and paths of classes, of Apus's own or in ipyparallel's package."""

    def __init__(self, *args, kind, **kwargs):
        self.kind = kind
        super().__init__(*args, klass=object, **kwargs)

    def validate(self, obj, value):
        if isinstance(value, str):
            value = self._find(value)
        return super().validate(obj, value)

    def _find(self, name):
        if "." not in name and ":" not in name:
            try:
                return find_launcher_class(name, self.kind)
            except KeyError as error:
                raise TraitError(f"Cluster.{self.kind}_launcher_class: {error.args[0]}") from None
        path, _, class_name = name.replace(":", ".").rpartition(".")
        if path.startswith("ipyparallel.cluster"):
            # The same class of ours.
            path = f"{_HERE}.launcher"
        try:
            return getattr(import_module(path), class_name)
        except (ImportError, AttributeError) as error:
            raise TraitError(f"Cluster.{self.kind}_launcher_class: {name!r} cannot be imported: {error}") from error
