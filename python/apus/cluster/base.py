"""What all launchers have in common: their configuration, their states, and the story of a start and an end."""

import os
import threading

from traitlets import Any, Dict, Float, Integer, List, Unicode, default
from traitlets.config import LoggingConfigurable

from .. import _executable
from . import profiles


class LauncherError(Exception):
    """A launcher could not do what it was asked to."""


class ProcessStateError(LauncherError):
    """A launcher was asked for something that its state does not allow, like a second start."""


class UnknownStatus(LauncherError):
    """Whatever runs the processes does not tell how they are."""


class NotRunning(LauncherError):
    """What a launcher was to be attached to has ended."""


class BaseLauncher(LoggingConfigurable):
    """Starts, signals and stops a part of a cluster: the protocol of all launchers.

    A launcher is `before` its start, `running`, and `after` its end. A kind of launcher implements `start` (which may be a
    coroutine function; engine sets are given the number of engines), `stop` (a coroutine function that returns when everything has
    ended), `signal`, `poll`, `join` and `get_output`, calls `notify_start` and `notify_stop`, and tags with `to_dict=True` the traits
    from which `from_dict` can attach to what it started. Clusters call all of that on one thread.
    """

    stop_timeout = Integer(60, config=True, help="Seconds that a process may take to end before stop() raises TimeoutError.")
    output_limit = Integer(100, config=True, help="Lines of output at most that are shown when a process ends.")
    environment = Dict(config=True, help="Environment variables for the processes, beside those of this one.")

    work_dir = Unicode(".", help="Directory that the processes start in.")
    name = Unicode("process", help="ipcontroller or ipengine: for the names of logs.")
    identifier = Unicode(help="Name of this launcher in logs.")
    profile_dir = Unicode("").tag(to_dict=True)
    cluster_id = Unicode("").tag(to_dict=True)
    state = Unicode("before").tag(to_dict=True)
    start_data = Any()
    stop_data = Any()
    stop_callbacks = List()

    _is_stopping = False
    #: What others have said of it in the cluster's file.
    _others = {}

    def __init__(self, **kwargs):
        self._state_lock = threading.RLock()
        super().__init__(**kwargs)

    @default("identifier")
    def _default_identifier(self):
        parts = [self.name, self.cluster_id, getattr(self, "engine_set_id", ""), str(os.getpid())]
        return "-".join(part for part in parts if part)

    # MARK: what to run

    @property
    def args(self):
        """The command line of the process: a list of str."""
        return self.find_args()

    def find_args(self):
        """Put the command line together."""
        raise NotImplementedError(f"{type(self).__name__} does not say what to run")

    @property
    def arg_str(self):
        """The command line as text, for people."""
        return " ".join(self.args)

    @property
    def cluster_args(self):
        """Arguments that name the cluster: none, since the environment does."""
        return []

    @property
    def cluster_env(self):
        """Environment variables that name the cluster."""
        return {"IPP_CLUSTER_ID": self.cluster_id, "IPP_PROFILE_DIR": self.profile_dir}

    def get_env(self):
        """Environment variables of the processes, beside those of this one."""
        return {**self.cluster_env, **self.environment}

    @property
    def connection_files(self):
        """The paths of the two connection files, by kind: "client" and "engine"."""
        return {kind: profiles.connection_file(self.profile_dir, self.cluster_id, kind) for kind in ("client", "engine")}

    # MARK: states

    @property
    def running(self):
        """Whether it was started and has not ended."""
        return self.state == "running"

    def start(self):
        """Start it."""
        raise NotImplementedError(f"{type(self).__name__} cannot start anything")

    async def stop(self):
        """End it, and return when it has ended."""
        raise NotImplementedError(f"{type(self).__name__} cannot stop anything")

    def signal(self, sig):
        """Send it a signal: a number, or a name like "INT"."""
        raise NotImplementedError(f"{type(self).__name__} cannot send signals")

    async def join(self, timeout=None):
        """Wait until it has ended. Raises TimeoutError."""
        raise NotImplementedError(f"{type(self).__name__} cannot wait")

    def poll(self):
        """None while it runs or where that is not known, then its exit code."""
        return None

    def on_stop(self, callback):
        """Call `callback(stop_data)` when it has ended; now, if it has."""
        with self._state_lock:
            if self.state != "after":
                self.stop_callbacks.append(callback)
                return None
        return callback(self.stop_data)

    def notify_start(self, data):
        """For kinds of launchers: it runs now. Returns `data`."""
        self.log.debug("%s started: %s", self.identifier, data)
        self.start_data = data
        self.state = "running"
        return data

    def notify_stop(self, data):
        """For kinds of launchers: it has ended; `data` is a dict, with `exit_code` where that is known. Returns `data`."""
        with self._state_lock:
            if self.state == "after":
                return data
            self.stop_data = data
            self.state = "after"
            callbacks = list(self.stop_callbacks)
        self.log.debug("%s ended: %s", self.identifier, data)
        self._log_output(data)
        for callback in callbacks:
            callback(data)
        return data

    # MARK: output

    def get_output(self, remove=False):
        """What it has written, as text. With `remove`, the file that holds it goes, and the text is kept."""
        return ""

    def last_words(self):
        """The last lines of its output; empty where there are none."""
        lines = self.get_output().splitlines()
        return "\n".join(lines[-self.output_limit:] if self.output_limit else lines)

    def words_for_error(self):
        """The end of an error's sentence: its last words, and where they are from."""
        place = getattr(self, "output_file", "") or "its output"
        words = self.last_words()
        return f". The last of {place}:\n{words}" if words else f"; there are no words of it in {place}"

    def _log_output(self, data=None):
        words = self.last_words() if self.output_limit else ""
        if words:
            self._log_end(data)("Output of %s:\n%s", self.identifier, words)

    def _log_end(self, data):
        """The method of the log for what is said about an end: somebody may be about to raise it as an error."""
        failed = isinstance(data, dict) and bool(data.get("exit_code")) and not self._is_stopping
        return self.log.warning if failed and not getattr(self._owner(), "_raises_ends", 0) else self.log.debug

    def _owner(self):
        """The cluster that this belongs to, or None."""
        owner = self.parent
        while owner is not None and not hasattr(owner, "shutdown_atexit"):
            owner = getattr(owner, "parent", None)
        return owner

    # MARK: later

    def to_dict(self):
        """What another process needs to attach to it: a JSON object."""
        return {**self._others, **{name: getattr(self, name) for name in self.traits(to_dict=True)}}

    @classmethod
    def from_dict(cls, d, *, config=None, parent=None, **kwargs):
        """A launcher that is attached to what another one started. Raises NotRunning where that has ended."""
        launcher = cls(config=config, parent=parent, **kwargs)
        names = launcher.traits(to_dict=True)
        for name in names:
            if name in d:
                setattr(launcher, name, d[name])
        launcher._others = {name: value for name, value in d.items() if name not in names}
        return launcher


class ControllerLauncher(BaseLauncher):
    """Launcher of a controller."""

    name = Unicode("ipcontroller")
    controller_cmd = List(Unicode(), config=True, help="Command that runs a controller. Default: the program of Apus.")
    controller_args = List(Unicode(), config=True, help="Arguments for the controller.")
    connection_info_timeout = Float(60, config=True, help="Seconds that the controller may take to write its connection files.")

    _arrival = None

    @default("controller_cmd")
    def _default_controller_cmd(self):
        return _executable.command("controller")

    @property
    def reuses_connection_files(self):
        """Whether files that are there before the start may be those of the controller."""
        options = ("--reuse", "--restore", "--IPController.reuse_files")
        return any(argument.startswith(options) for argument in self.controller_args)

    async def get_connection_info(self, timeout=None):
        """Wait for the connection files of the controller, and read them.

        Parameters
        ----------
        timeout : float, optional
            Seconds; default: `connection_info_timeout`. Negative: no limit.

        Returns the contents of both files, by kind: "client" and "engine".

        Raises TimeoutError, and RuntimeError with the last lines of the controller's log where it ended before.
        """
        from .connections import connection_info

        return await connection_info(self, self.connection_info_timeout if timeout is None else timeout)


class EngineLauncher(BaseLauncher):
    """Launcher of engines."""

    name = Unicode("ipengine")
    engine_cmd = List(Unicode(), config=True, help="Command that runs an engine. Default: the program of Apus, with this Python.")
    engine_args = List(Unicode(), config=True, help="Arguments for each engine.")

    n = Integer(1).tag(to_dict=True)
    engine_set_id = Unicode()

    @default("engine_cmd")
    def _default_engine_cmd(self):
        return engine_command()


def engine_command():
    """The command that runs an engine in the Python that runs this."""
    import sys

    return _executable.command("engine", f"--python={sys.executable}")
