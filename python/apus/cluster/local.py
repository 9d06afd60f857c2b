"""Controller and engines as processes of this machine."""

import asyncio
import logging
import os
import subprocess
import sys
from textwrap import indent

from traitlets import Dict, Float, Integer, List, Unicode, default

from . import guardian, loop, profiles
from .arrival import Arrival
from .base import BaseLauncher, ControllerLauncher, EngineLauncher, LauncherError, NotRunning, ProcessStateError
from .processes import Process, signal_number

#: Of a log that is removed, this many bytes at the end are kept in memory.
_KEPT_OUTPUT = 256 * 1024


class LocalProcessLauncher(BaseLauncher):
    """Runs one process on this machine, in a session of its own, with its output in a file of the profile's log directory."""

    cmd_and_args = List(Unicode(), help="Command line, for launchers that are no controller and no engine.")
    poll_seconds = Integer(30, config=True, help="Accepted, without effect: the end of a process is noticed at once.")
    stop_seconds_until_kill = Integer(5, config=True, help="Seconds between SIGTERM and SIGKILL.")
    pid = Integer(-1).tag(to_dict=True)
    output_file = Unicode(help="File that takes the output.").tag(to_dict=True)

    #: A `Process`, once it was started.
    process = None
    _output = None
    _is_guarded = False
    _follower = None

    @default("output_file")
    def _default_output_file(self):
        return os.path.join(self.profile_dir, "log", f"{self.identifier}.log")

    def find_args(self):
        return self.cmd_and_args

    # MARK: start

    def start(self):
        """Start the process. Returns its id; raises ProcessStateError, or LauncherError where the program cannot be run."""
        if self.state != "before":
            raise ProcessStateError(f"{self.identifier} was started already and has the state {self.state!r}")
        arguments = self.args
        self.log.debug("starting %s: %r, output in %s", self.identifier, arguments, self.output_file)
        environment = os.environ.copy()
        # Another cluster's, where this one is started by one of its engines.
        environment.pop("IPP_CONNECTION_INFO", None)
        environment.update(self.get_env())
        os.makedirs(os.path.dirname(self.output_file), exist_ok=True)
        try:
            process = Process.spawn(arguments, output=self.output_file, environment=environment, directory=self.work_dir)
        except OSError as error:
            raise LauncherError(f"{self.identifier} could not be started: {error}") from error
        self.pid = process.pid
        self._follow(process)
        self.notify_start(process.pid)
        if self.log.isEnabledFor(logging.DEBUG):
            from .follower import Follower

            self._follower = Follower(self.output_file)
        process.on_end(self._process_ended)
        return process.pid

    def _follow(self, process):
        self.process = process
        if getattr(self._owner(), "shutdown_atexit", False):
            self._is_guarded = True
            guardian.guard(process.pid)
            if self.output_file:
                guardian.guard_file(self.output_file)

    def outlive(self, outlives):
        """Let it live on when this Python ends, or not."""
        if self.process is None or self.state != "running" or self._is_guarded != outlives:
            return
        self._is_guarded = not outlives
        (guardian.release if outlives else guardian.guard)(self.process.pid)
        if self.output_file:
            (guardian.release_file if outlives else guardian.guard_file)(self.output_file)

    @classmethod
    def from_dict(cls, d, **kwargs):
        launcher = super().from_dict(d, **kwargs)
        launcher._attach()
        return launcher

    def _attach(self):
        if self.pid <= 0:
            return
        try:
            process = Process.attach(self.pid)
        except ProcessLookupError as error:
            raise NotRunning(str(error)) from None
        self.state = "running"
        self._follow(process)
        process.on_end(self._process_ended)

    # MARK: end

    def _process_ended(self, process):
        if self._is_guarded:
            guardian.release(process.pid)
        if self._follower is not None:
            self._follower.close()
        self.notify_stop({"exit_code": process.exit_code, "pid": process.pid, "identifier": self.identifier})

    def _log_output(self, data=None):
        if self._is_stopping or not (data and data.get("exit_code")):
            # A good end: nobody needs its words any more, but whoever has the launcher may ask.
            self.get_output(remove=True)
        elif self._is_guarded and self.output_file:
            # The reader of the warning may want all of it.
            guardian.release_file(self.output_file)
        super()._log_output(data)

    def poll(self):
        """None while it runs, then its exit code ("unknown" where it was not our child)."""
        return None if self.process is None else self.process.poll()

    async def join(self, timeout=None):
        """Wait until it has ended. Raises TimeoutError."""
        if self.process is not None:
            await self._own_process().ended(timeout)

    def _own_process(self):
        # A launcher of the user's may have started it by `subprocess`.
        if isinstance(self.process, subprocess.Popen):
            if self.process.poll() is not None:
                ended = Process(self.process.pid, self.process)
                ended._notice()
                return ended
            return Process.of_child(self.process)
        return self.process

    async def stop(self):
        """SIGTERM, and SIGKILL where that does not end it within `stop_seconds_until_kill`."""
        if self.process is None:
            return
        self._is_stopping = True
        await loop.run(self._stop())

    async def _stop(self):
        from signal import SIGKILL, SIGTERM

        self.signal(SIGTERM)
        try:
            await self.join(self.stop_seconds_until_kill)
            return
        except TimeoutError:
            self.log.warning(
                "%s (process %d) did not end within %d s of SIGTERM: SIGKILL", self.identifier, self.process.pid,
                self.stop_seconds_until_kill)
        self.signal(SIGKILL)
        await self.join(self.stop_timeout)

    def signal(self, sig):
        """Send a signal: a number, or a name like "INT". Nothing happens where it has ended."""
        if self.state == "running" and self.process is not None:
            self.process.send_signal(signal_number(sig))

    # MARK: output

    def get_output(self, remove=False):
        """What it has written so far, as text. With `remove` the file goes, and the last 256 KiB are kept for later calls."""
        if self._output is not None:
            return self._output
        try:
            with open(self.output_file, "rb") as file:
                if remove:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - _KEPT_OUTPUT))
                output = file.read().decode(errors="replace")
        except OSError:
            return ""
        if remove:
            self._output = output
            try:
                os.remove(self.output_file)
            except OSError as error:
                self.log.warning("the log %s could not be removed: %s", self.output_file, error)
            if self._is_guarded:
                guardian.release_file(self.output_file)
        return output


class LocalControllerLauncher(LocalProcessLauncher, ControllerLauncher):
    """Runs a controller on this machine."""

    def find_args(self):
        return [*self.controller_cmd, *self.cluster_args, *self.controller_args]

    def get_env(self):
        # A client that asks for Dask gets its scheduler in the Python of the engines.
        return {"APUS_PYTHON": sys.executable, **super().get_env()}

    def start(self):
        profiles.create(self.profile_dir)
        paths = list(self.connection_files.values())
        self._arrival = Arrival(paths, accepts_old=self.reuses_connection_files)
        return super().start()


class LocalEngineLauncher(LocalProcessLauncher, EngineLauncher):
    """Runs one engine on this machine."""

    def find_args(self):
        return [*self.engine_cmd, *self.cluster_args, *self.engine_args]


class LocalEngineSetLauncher(LocalEngineLauncher):
    """Runs engines on this machine."""

    delay = Float(0.0, config=True, help="Seconds between the starts of two engines. Nothing needs to be waited for.")

    #: What runs each engine.
    launcher_class = LocalEngineLauncher
    launchers = Dict(help="Launchers of the engines that run, by their number in the set.")
    ended = Dict(help="Launchers of the engines that have ended, by their number.")
    stop_data = Dict()
    #: Each engine has its own.
    output_file = ""

    def __init__(self, work_dir=".", config=None, **kwargs):
        super().__init__(work_dir=work_dir, config=config, **kwargs)

    def find_args(self):
        return ["engine set"]

    def start(self, n):
        """Start n engines. Where one cannot be started, those before it are stopped.

        Returns their process ids; with a `delay`, an awaitable that gives them.
        """
        self.n = n
        if self.delay and n > 1:
            return self._start_with_pauses(n)
        try:
            return self._started([self._start_engine(str(number)) for number in range(n)])
        except BaseException:
            self._abandon()
            raise

    async def _start_with_pauses(self, n):
        pids = []
        try:
            for number in range(n):
                if number:
                    await asyncio.sleep(self.delay)
                pids.append(self._start_engine(str(number)))
            return self._started(pids)
        except BaseException:
            self._abandon()
            raise

    def _started(self, pids):
        self.notify_start(pids)
        if pids:
            # They may have ended already.
            self._set_ended_if_empty()
        return pids

    def _abandon(self):
        for launcher in list(self.launchers.values()):
            launcher._is_stopping = True
            launcher.signal("TERM")

    def _start_engine(self, number):
        launcher = self.launcher_class(
            work_dir=self.work_dir, parent=self, log=self.log, profile_dir=self.profile_dir, cluster_id=self.cluster_id,
            environment=self.environment, identifier=number, output_file=self._log_of(number))
        launcher.engine_cmd = list(self.engine_cmd)
        launcher.engine_args = list(self.engine_args)
        self.launchers[number] = launcher
        launcher.on_stop(self._engine_ended)
        return launcher.start()

    def _log_of(self, number):
        return os.path.join(self.profile_dir, "log", f"ipengine-{self.cluster_id}-{self.engine_set_id}-{number}.log")

    def to_dict(self):
        engines = {number: launcher.to_dict() for number, launcher in list(self.launchers.items())}
        return {**super().to_dict(), "engines": engines}

    @classmethod
    def from_dict(cls, d, **kwargs):
        engine_set = super().from_dict(d, **kwargs)
        for number, state in d.get("engines", {}).items():
            try:
                launcher = cls.launcher_class.from_dict(state, identifier=number, parent=engine_set)
            except NotRunning as error:
                engine_set.log.warning("engine %s of the set %s: %s", number, engine_set.engine_set_id, error)
                continue
            engine_set.launchers[number] = launcher
            launcher.on_stop(engine_set._engine_ended)
        if not engine_set.launchers:
            raise NotRunning(f"no engine of the set {engine_set.engine_set_id} is left")
        engine_set.n = len(engine_set.launchers)
        engine_set.state = "running"
        return engine_set

    def outlive(self, outlives):
        for launcher in list(self.launchers.values()):
            launcher.outlive(outlives)

    # MARK: end

    def _engine_ended(self, data):
        number = data["identifier"]
        launcher = self.launchers.pop(number, None)
        if launcher is not None:
            self.ended[number] = launcher
        self.stop_data.setdefault("engines", {})[number] = data
        self._set_ended_if_empty()

    def _set_ended_if_empty(self):
        if self.launchers or self.state != "running":
            return
        codes = [engine.get("exit_code") for engine in self.stop_data.get("engines", {}).values()]
        # One failure is the set's.
        known = [code for code in codes if code is not None]
        self.stop_data["exit_code"] = next(filter(None, known), known[0] if known else None)
        self.notify_stop(self.stop_data)

    def _log_output(self, data=None):
        # Each engine has done so.
        pass

    def signal(self, sig):
        for launcher in list(self.launchers.values()):
            launcher.signal(sig)

    def poll(self):
        if self.state == "before" or any(launcher.poll() is None for launcher in list(self.launchers.values())):
            return None
        return (self.stop_data or {}).get("exit_code") or 0

    async def join(self, timeout=None):
        """Wait until all engines have ended. Raises TimeoutError."""
        await asyncio.gather(*[launcher.join(timeout) for launcher in list(self.launchers.values())])

    async def stop(self):
        """Stop all engines at once."""
        self._is_stopping = True
        await asyncio.gather(*[launcher.stop() for launcher in list(self.launchers.values())])

    def get_output(self, remove=False):
        """What the engines have written: of each, `output_limit` lines at most."""
        parts = []
        for number, launcher in {**self.ended, **self.launchers}.items():
            # Of one that died by itself the log stays.
            output = launcher.get_output(remove=remove and number in self.launchers)
            if output:
                lines = output.splitlines(True)
                parts.append(f"Output of engine {number}")
                parts.append(indent("".join(lines[-self.output_limit:] if self.output_limit else lines), "  "))
        return "\n".join(parts)
