"""Clusters that grow and shrink with their work, and those on other hosts: the program `apus` starts them, stays with them, and ends them."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile

from traitlets.config import LazyConfigValue

from .._executable import command
from . import guardian
from .clusterfile import _is_supervised, _pid_of_supervisor
from .registry import abbreviate_launcher_class

#: `apus start`: there is such a cluster already.
_ALREADY_RUNNING = 10
#: `apus stop`: there is no such cluster any more.
_ALREADY_STOPPED = 11


class Adaptive:
    """The part of `Cluster` for clusters that a launcher of `apus start` watches over."""

    #: A launcher of `apus start` watches over the cluster, and writes its file.
    _is_supervised = False
    _had_supervisor = False
    #: The launcher that this object has started.
    _supervisor = None

    @property
    def _is_adaptive(self):
        return self.min is not None or self.max is not None

    @property
    def _is_of_program(self):
        """Whether `apus start` is to start it."""
        return self._is_adaptive or any(
            getattr(launcher, "is_of_program", False) for launcher in (self.controller_launcher_class, self.engine_launcher_class))

    @property
    def _first_engines(self):
        """Engines that are there from the beginning."""
        if not self._is_adaptive:
            return self._started
        return self.min if self.min is not None else min(self.n or 1, self.max)

    #: Engines that `apus start` has started, of a cluster that keeps its size.
    _started = 0

    async def _start_supervised(self, n):
        environment = {**os.environ, "APUS_PYTHON": sys.executable}
        # Another cluster's, where this one is started by one of its engines.
        environment.pop("IPP_CONNECTION_INFO", None)
        before = self._named_supervisor()
        # A directory that only its owner may enter: what engines get in their environment may be secret.
        with tempfile.TemporaryDirectory(prefix="apus-start-") as folder:
            words = self._words(n, self._write_settings(folder), self._write_hosts(folder))
            self.log.debug("apus starts the cluster: %r", words)
            start = subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                said = await self._follow_start(start, before)
                if start.returncode:
                    raise RuntimeError(f"the cluster could not be started: {said}")
                with open(self.cluster_file, encoding="utf-8") as file:
                    d = json.load(file)
                self._attach_controller(d["controller"])
                self._started = sum(engines["n"] for engines in d["engines"]["sets"].values())
            except BaseException:
                await asyncio.shield(self._stop_failed_start(start.returncode, before))
                raise
        self._is_supervised = True
        self._guard_named_supervisor(before)
        if self.shutdown_atexit:
            self._stop_at_exit()

    async def _follow_start(self, start, before):
        """Return what the command had to say when it has ended."""

        def follow():
            while True:
                try:
                    output, errors = start.communicate(timeout=0.1)
                    return errors.strip() or output.strip()
                except subprocess.TimeoutExpired:
                    # A start may take long, and its launcher must not outlive us if we are killed meanwhile.
                    self._guard_named_supervisor(before)

        following = asyncio.ensure_future(asyncio.to_thread(follow))
        try:
            return await asyncio.shield(following)
        except BaseException:
            # Nobody waits for the cluster any more.
            if start.poll() is None:
                start.terminate()
            await asyncio.shield(following)
            raise

    def _named_supervisor(self):
        """The launcher that the cluster's file names; None where there is none."""
        return _pid_of_supervisor(self._read_file())

    def _guard_named_supervisor(self, before):
        """Let the launcher of this start end with us, as soon as it is known."""
        pid = self._named_supervisor()
        if pid is None or pid in (before, self._supervisor):
            return
        self._supervisor = pid
        if self.shutdown_atexit:
            guardian.guard_supervisor(pid)

    async def _stop_failed_start(self, code, before):
        """A start that failed may have left a cluster that serves on: without some of its engines, for example."""
        if self._supervisor is None and self._named_supervisor() in (None, before):
            return
        if code == _ALREADY_RUNNING:
            # Somebody else's.
            if self._supervisor is not None:
                guardian.release_supervisor(self._supervisor)
            self._supervisor = None
            return
        try:
            await self._stop_supervised()
        except RuntimeError as error:
            self.log.warning("%s", error)

    def _write_settings(self, folder):
        """Write what is configured of launchers into a file, and return its path: everybody can read command lines."""
        settings = {section: _plain(traits) for section, traits in self.config.items() if section.endswith("Launcher")}
        if isinstance(self.hosts, dict):
            settings.setdefault("SSHEngineSetLauncher", {})["engines"] = _plain(self.hosts)
        path = os.path.join(folder, "settings.json")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(settings, file)
        return path

    def _write_hosts(self, folder):
        """Return the path of a file of hosts; None where they are not lines."""
        if self.hosts is None or isinstance(self.hosts, dict):
            return None
        if isinstance(self.hosts, (str, os.PathLike)):
            return os.path.abspath(os.path.expanduser(self.hosts))
        path = os.path.join(folder, "hosts")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{host}\n" for host in self.hosts)
        return path

    def _words(self, n, settings, hosts):
        """The command that starts it, with what this object was told."""
        from . import profiles

        kind = "with min and max" if self._is_adaptive else "on other hosts"
        if self.cluster_file != profiles.cluster_file(self.profile_dir, self.cluster_id):
            raise ValueError(f"a cluster {kind} has its file in the profile: leave out cluster_file")
        if not self.load_profile:
            raise ValueError(f"a cluster {kind} reads the profile's configuration: leave out load_profile")
        words = [
            "start", "--daemonize", "--Cluster.stay=True", f"--config={settings}", f"--profile-dir={self.profile_dir}", f"--cluster-id={self.cluster_id}",
            f"--engines={abbreviate_launcher_class(self.engine_launcher_class)}",
            f"--controller={abbreviate_launcher_class(self.controller_launcher_class)}", f"--Cluster.engine_timeout={self.engine_timeout}"]
        n = self.n if n is None else n
        given = {"-n": n, "--min": self.min, "--max": self.max, "--ip": self.controller_ip or None, "--location": self.controller_location or None,
                 "--delay": self.delay or None, "--hosts": hosts}
        words += [f"{option}={value}" for option, value in given.items() if value is not None]
        if "journal" not in self.config.Cluster and "journal_sync" not in self.config.Cluster:
            # This object knows one controller, and nothing of those that come after it.
            words.append("--no-journal")
        if not self.send_engines_connection_env:
            words.append("--Cluster.send_engines_connection_env=False")
        if self.engine_args:
            words.append(f"--EngineLauncher.engine_args={self.engine_args!r}")
        if self.controller_args:
            words += ["--", *self.controller_args]
        return command(*words)

    async def _stop_supervised(self):
        """Whoever watches over the engines would start others beside those that were stopped one by one."""
        named = self._named_supervisor()
        if named is not None and named not in (self._supervisor, self._known_supervisor) and _is_supervised(self._read_file()):
            # Ours has been stopped by somebody, and another one started.
            self.log.warning("the cluster %s is another one by now, and goes on: Cluster.from_file() attaches to it", self.cluster_file)
            return self._forget_supervised()
        self.log.info("Stopping cluster")
        words = command("stop", f"--profile-dir={self.profile_dir}", f"--cluster-id={self.cluster_id}")
        done = await asyncio.to_thread(subprocess.run, words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode not in (0, _ALREADY_STOPPED):
            raise RuntimeError(f"the cluster could not be stopped: {done.stderr.strip()}")
        self._forget_supervised()

    def _forget_supervised(self):
        if self._supervisor is not None:
            guardian.release_supervisor(self._supervisor)
        self._is_supervised, self._supervisor = False, None
        self.controller = None
        self.engines.clear()

    def _guard_supervisor(self, ends_with_us):
        if self._supervisor is not None:
            (guardian.guard_supervisor if ends_with_us else guardian.release_supervisor)(self._supervisor)


def _plain(value):
    """A value of the configuration as JSON has it."""
    if isinstance(value, LazyConfigValue):
        # `c.Class.trait.append(…)`, of a trait that nobody has set otherwise.
        value = value.get_value({} if isinstance(value.to_dict().get("update"), dict) else [])
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
