"""Clusters as dicts and as files: how another process, in Python or not, finds one and takes part in running it.

The schema is ipyparallel's, and `apus start`, `list` and `stop` write and read it too.
"""

import contextlib
import fcntl
import json
import os
import socket
import tempfile
import time
from importlib import import_module

from . import guardian
from .base import NotRunning
from .guardian import began
from .registry import abbreviate_launcher_class

#: What the class is called in files: readers of both packages know it.
_COMMON_NAME = "ipyparallel.cluster.cluster.Cluster"


#: Parts of a file that this class writes, and what it writes of them; `None` is what the cluster's traits are.
_OWN = {"cluster": None, "controller": {"class", "state"}, "engines": {"class", "sets"}}


class ClusterFile:
    """The part of `Cluster` that is about its file."""

    #: What others have put into the file, in its form: members that this class does not know, and engine sets that it has not started.
    _others = {}
    #: This object has written the file, or was made of it: what others put into it since is theirs, and stays.
    _is_file_known = False
    #: Engine sets that were this object's, with what tells their parts from others.
    _former_sets = {}
    #: Controllers that were, as `_identity` tells them.
    _own_controllers = frozenset()
    #: The launcher that the file named when this object was made of it.
    _known_supervisor = None

    @classmethod
    def _name_in_files(cls):
        from .cluster import Cluster

        return _COMMON_NAME if cls is Cluster else f"{cls.__module__}.{cls.__qualname__}"

    @classmethod
    def _class_of(cls, info):
        name = info.get("class") or ""
        if not name or name == cls._name_in_files() or name.startswith(("ipyparallel.", "apus.")):
            return cls
        module, _, class_name = name.rpartition(".")
        return getattr(import_module(module), class_name)

    def to_dict(self):
        """All that another process needs to take the cluster over: a JSON object."""
        info = {name: getattr(self, name) for name in self.traits(to_dict=True)}
        info["class"] = self._name_in_files()
        d = {"cluster": info}
        if self.controller is not None and self.controller.state != "after":
            d["controller"] = {
                "class": abbreviate_launcher_class(self.controller_launcher_class), "state": self.controller.to_dict()}
        sets = {name: engines.to_dict() for name, engines in self.engines.items() if engines.state != "after"}
        d["engines"] = {"class": abbreviate_launcher_class(self.engine_launcher_class), "sets": sets}
        return self._with_others(d)

    def _with_others(self, d):
        whole = dict(d)
        for name, value in self._others.items():
            if name not in _OWN:
                whole[name] = value
            elif name in d:
                whole[name] = {**value, **d[name]}
        if sets := self._others.get("engines", {}).get("sets"):
            whole["engines"]["sets"] = {**sets, **d["engines"]["sets"]}
        return whole

    def _remember_others(self, d):
        """Note what of a file is not this object's."""
        others = {}
        for name, value in d.items():
            if name not in _OWN:
                others[name] = value
            elif isinstance(value, dict):
                own = _OWN[name] or {*self.traits(to_dict=True), "class"}
                others[name] = {member: value[member] for member in value if member not in own}
        sets = (d.get("engines") or {}).get("sets") or {}
        ours = {*self.engines, *self._former_sets}
        others.setdefault("engines", {})["sets"] = {name: state for name, state in sets.items() if name not in ours}
        self._others = others

    def _read_file(self):
        try:
            with open(self.cluster_file, encoding="utf-8") as file:
                d = json.load(file)
        except (OSError, ValueError):
            # Whoever stops a cluster removes it.
            return {}
        return d if isinstance(d, dict) else {}

    def _is_of_another(self, d):
        """Whether a file is that of a cluster that came after this object's, which somebody had stopped."""
        identity = _identity(d.get("controller"))
        return identity is not None and identity not in self._own_controllers or _is_supervised(d) and not self._had_supervisor

    def _update_file_of_another(self, d):
        """Leave it as it is, but for engines that this object has started, and that run or have ended meanwhile."""
        sets = (d.get("engines") or {}).get("sets") or {}
        # Sets are named by the second: two may have one name.
        now = {name: state for name, state in sets.items() if not _parts(state) & self._former_sets.get(name, frozenset())}
        for name, engines in self.engines.items():
            if engines.state != "after":
                now[name if name not in now else f"{name}-{os.getpid()}"] = engines.to_dict()
        if now != sets:
            d.setdefault("engines", {"class": abbreviate_launcher_class(self.engine_launcher_class)})["sets"] = now
            self._write(d)
        guardian.release_file(self.cluster_file)

    def _refuse_to_replace(self):
        """Raise RuntimeError where another cluster runs under this name: it would lose its file, and its controller keeps ours from starting."""
        if not self.cluster_file:
            return
        d = self._read_file()
        state = (d.get("controller") or {}).get("state") or {}
        is_there = _identity(d.get("controller")) not in self._own_controllers and _lives(state)
        if is_there or _is_supervised(d) and not self._had_supervisor:
            raise RuntimeError(
                f"a cluster runs already under this name, by its file {self.cluster_file}: Cluster.from_file() attaches to it, another cluster_id starts "
                "one beside it, and 'apus stop' ends it")
        if _identity(d.get("controller")) not in self._own_controllers:
            # Of one that has ended nothing is to be kept, and our file comes to its place.
            self._is_file_known = False

    @property
    def _has_others(self):
        """Whether engine sets of others are left, as far as can be seen from here."""
        return any(_may_run(state) for state in self._others.get("engines", {}).get("sets", {}).values())

    @classmethod
    def from_dict(cls, d, **kwargs):
        """A cluster that is attached to the processes of another one, of which `d` came.

        Parts that have ended are left out. The cluster lives on when this process ends, unless `shutdown_atexit=True` is given.
        Further arguments are those of the constructor.
        """
        info = d["cluster"]
        specified = cls._class_of(info)
        if specified is not cls:
            return specified.from_dict(d, **kwargs)
        kwargs.setdefault("shutdown_atexit", False)
        cluster = cls(**kwargs)
        for name in cluster.traits(to_dict=True):
            if name in info:
                setattr(cluster, name, info[name])
        cluster._is_supervised = _is_supervised(d) or _is_of_commands(d)
        # Where that launcher is dead, only `apus stop` finds what it had begun and not named yet, and by the file as it is.
        cluster._had_supervisor = "supervisor" in d
        cluster._known_supervisor = _pid_of_supervisor(d)
        cluster._own_controllers = frozenset([_identity(d.get("controller"))])
        cluster._attach_controller(d.get("controller") or {})
        cluster._attach_engines(d.get("engines") or {})
        # Sets that have ended are nobody's.
        cluster._former_sets = {name: _parts(state) for name, state in ((d.get("engines") or {}).get("sets") or {}).items()}
        cluster._remember_others(d)
        cluster._is_file_known = True
        # That of another host looks as if all had ended: only there its file can be put right.
        is_here = not cluster._is_supervised and not cluster._had_supervisor and _host_of_controller(d) is None
        if is_here and cluster.to_dict() != d:
            cluster.update_cluster_file()
        cluster._stop_at_exit()
        return cluster

    def _attach_controller(self, d):
        if not d.get("state"):
            return
        self.controller_launcher_class = d["class"]
        try:
            self.controller = self.controller_launcher_class.from_dict(d["state"], parent=self)
        except NotRunning as error:
            self.log.warning("the controller of %r has ended: %s", self, error)
        else:
            self._watch_controller(self.controller)

    def _attach_engines(self, d):
        if not d:
            return
        self.engine_launcher_class = d["class"]
        for name, state in d.get("sets", {}).items():
            try:
                engines = self.engine_launcher_class.from_dict(state, engine_set_id=name, parent=self)
            except NotRunning as error:
                self.log.warning("the engine set %s of %r has ended: %s", name, self, error)
                continue
            self.engines[name] = engines
            self._watch_engines(engines, name)

    @classmethod
    def from_file(cls, cluster_file=None, *, profile=None, profile_dir=None, cluster_id="", **kwargs):
        """A cluster that runs already, by the file that it has written.

        Parameters
        ----------
        cluster_file : str, optional
            Its path. Without one it is looked for by the profile's name or directory, and the cluster's id. Without all of them
            it is the cluster that `apus start` has started.

        Further arguments are those of the constructor. Raises FileNotFoundError where there is no such cluster.
        """
        if cluster_file is None:
            kwargs["cluster_id"] = cluster_id
            if profile is not None:
                kwargs["profile"] = profile
            if profile_dir is not None:
                kwargs["profile_dir"] = profile_dir
            cluster_file = cls(**kwargs).cluster_file
        kwargs.setdefault("cluster_file", cluster_file)
        try:
            with open(cluster_file, encoding="utf-8") as file:
                d = json.load(file)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"no cluster runs there: there is no file {cluster_file}. 'apus list' shows those that run, 'apus start' starts one."
            ) from None
        except ValueError as error:
            raise ValueError(f"the cluster file {cluster_file} is damaged: {error}. 'apus clean' removes it.") from error
        return cls.from_dict(d, **kwargs)

    # MARK: the file

    def write_cluster_file(self):
        """Write the cluster's file: whole or not at all, readable by its owner only."""
        self._write(self.to_dict())
        self._is_file_known = True

    def _write(self, d):
        directory = os.path.dirname(self.cluster_file)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.log.debug("writing %s", self.cluster_file)
        descriptor, path = tempfile.mkstemp(dir=directory, prefix=".cluster-")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(d, file)
            os.replace(path, self.cluster_file)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise

    def remove_cluster_file(self):
        """Remove the cluster's file, if there is one."""
        try:
            os.remove(self.cluster_file)
        except FileNotFoundError:
            return
        self.log.debug("removed %s", self.cluster_file)

    def _is_running(self):
        parts = [self.controller, *self.engines.values()]
        # One that has ended may not have been told of yet: whoever stopped it has removed the file, which would come back for a moment.
        return any(part is not None and part.state != "after" and part.poll() is None for part in parts)

    def update_cluster_file(self):
        """Write the cluster's file, or remove it where nothing of the cluster runs. With `cluster_file=""` there is none."""
        if not self.cluster_file:
            return
        with self._file_lock, _locked(os.path.dirname(self.cluster_file)):
            if self._is_supervised:
                # A controller that has died is about to come back, and its launcher writes the file.
                return
            known = {name: _parts(engines.to_dict()) | self._former_sets.get(name, frozenset()) for name, engines in self.engines.items()}
            self._former_sets = {**self._former_sets, **known}
            if self.controller is not None:
                self._own_controllers |= {_identity({"state": self.controller.to_dict()})}
            # What a cluster before has left there is nobody's.
            d = self._read_file() if self._is_file_known else {}
            if self._is_of_another(d):
                return self._update_file_of_another(d)
            self._remember_others(d)
            # What others have added is to be found by whoever stops it.
            if self._is_running() or self._has_others:
                self.write_cluster_file()
            elif self._is_file_known:
                # One that this object has never seen is not its own.
                self.remove_cluster_file()


def _is_supervised(d):
    """Whether a launcher of `apus start` watches over the cluster: it may have died since it wrote the file."""
    try:
        state = d["supervisor"]["state"]
        return began(state["pid"]) is not None and state.get("began") in (None, began(state["pid"]))
    except (KeyError, TypeError):
        return False


def host_of_controller(path):
    """The host on which the controller or the launcher of a cluster's file is, or was, where that is another one; None where it is this one.

    Only there can be told whether it runs.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return _host_of_controller(json.load(file))
    except (OSError, ValueError):
        return None


def _host_of_controller(d):
    try:
        host, boot = d["apus"]["host"], d["apus"]["boot"]
    except (KeyError, TypeError):
        return None
    if "controller" not in d and "supervisor" not in d or host == socket.gethostname():
        return None
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            # The same host may have another name by now, as that of a container.
            return host if file.read().strip() != boot else None
    except OSError:
        return None


def _pid_of_supervisor(d):
    """The launcher that a file names; None where there is none."""
    try:
        return d["supervisor"]["state"]["pid"]
    except (KeyError, TypeError):
        return None


def _identity(controller):
    """What tells a controller in a file from all others; None where nothing does."""
    state = (controller or {}).get("state") or {}
    for name in ("job_id", "pid"):
        if state.get(name) not in (None, "", 0, -1):
            return name, str(state[name])
    return None


def _parts(state):
    """What tells the processes and jobs of an engine set in a file from others."""
    states = [state, *(state.get("engines") or {}).values()]
    return frozenset(identity for identity in (_identity({"state": each}) for each in states) if identity is not None)


def _lives(state):
    """Whether a process of a cluster runs: its number may be another's by now."""
    pid = state.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    moment = began(pid)
    if moment is None or state.get("began") not in (None, moment):
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read()
    except OSError:
        return True
    return b"IPP_PROFILE_DIR=" in variables or b"IPP_CLUSTER_ID=" in variables


def _may_run(state):
    """Whether a set of engines may run still: one whose engines are processes of this host says which those are."""
    engines = state.get("engines")
    if not engines or "apus" in state:
        return engines is None or "apus" in state
    return any(began(engine.get("pid", 0)) is not None for engine in engines.values())


def _is_of_commands(d):
    """Whether `apus start` keeps more of it in the file than launchers of this package know: hosts, jobs of one set. `apus stop` needs that."""
    states = [(d.get("controller") or {}).get("state") or {}, *((d.get("engines") or {}).get("sets") or {}).values()]
    return any("apus" in state for state in states)


@contextlib.contextmanager
def _locked(directory):
    """While nobody else changes cluster files there who asks for it, as `apus` does: by a lock on the directory, which leaves nothing behind."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.002)
            except OSError:
                # A file system without locks.
                break
        yield
    finally:
        os.close(descriptor)
