"""Clusters that grow and shrink with their work: the program `apus` starts them, stays with them, and ends them."""

import asyncio
import json
import os
import subprocess
import sys

from .._executable import command
from . import guardian
from .registry import abbreviate_launcher_class

#: `apus stop`: there is no such cluster any more.
_ALREADY_STOPPED = 11


class Adaptive:
    """The part of `Cluster` for clusters that a launcher of `apus start` watches over."""

    #: A launcher of `apus start` watches over the cluster, and writes its file.
    _is_supervised = False
    #: The launcher that this object has started.
    _supervisor = None

    @property
    def _is_adaptive(self):
        return self.min is not None or self.max is not None

    @property
    def _first_engines(self):
        """Engines that are there from the beginning."""
        return self.min if self.min is not None else min(self.n or 1, self.max)

    async def _start_supervised(self, n):
        words = self._words(n)
        self.log.debug("starting a cluster that follows its work: %r", words)
        environment = {**os.environ, "APUS_PYTHON": sys.executable}
        # Another cluster's, where this one is started by one of its engines.
        environment.pop("IPP_CONNECTION_INFO", None)
        done = await asyncio.to_thread(subprocess.run, words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the cluster could not be started: {done.stderr.strip() or done.stdout.strip()}")
        with open(self.cluster_file, encoding="utf-8") as file:
            d = json.load(file)
        self._is_supervised = True
        self._supervisor = d["supervisor"]["state"]["pid"]
        self._attach_controller(d["controller"])
        if self.shutdown_atexit:
            guardian.guard_supervisor(self._supervisor)
            self._stop_at_exit()

    def _words(self, n):
        """The command that starts it, with what this object was told."""
        from . import profiles

        if self.cluster_file != profiles.cluster_file(self.profile_dir, self.cluster_id):
            raise ValueError("a cluster with min and max has its file in the profile: leave out cluster_file")
        if not self.load_profile:
            raise ValueError("a cluster with min and max reads the profile's configuration: leave out load_profile")
        words = [
            "start", "--daemonize", f"--profile-dir={self.profile_dir}", f"--cluster-id={self.cluster_id}",
            f"--engines={abbreviate_launcher_class(self.engine_launcher_class)}",
            f"--controller={abbreviate_launcher_class(self.controller_launcher_class)}", f"--Cluster.engine_timeout={self.engine_timeout}"]
        n = self.n if n is None else n
        given = {"-n": n, "--min": self.min, "--max": self.max, "--ip": self.controller_ip or None, "--location": self.controller_location or None,
                 "--delay": self.delay or None}
        words += [f"{option}={value}" for option, value in given.items() if value is not None]
        if not self.send_engines_connection_env:
            words.append("--Cluster.send_engines_connection_env=False")
        if self.engine_args:
            words.append(f"--EngineLauncher.engine_args={self.engine_args!r}")
        for section, traits in sorted(self.config.items()):
            if section.endswith("Launcher"):
                words += [f"--{section}.{name}={value if isinstance(value, str) else repr(value)}" for name, value in sorted(traits.items())]
        if self.controller_args:
            words += ["--", *self.controller_args]
        return command(*words)

    async def _stop_supervised(self):
        """Whoever watches over the engines would start others beside those that were stopped one by one."""
        self.log.info("Stopping cluster")
        words = command("stop", f"--profile-dir={self.profile_dir}", f"--cluster-id={self.cluster_id}")
        done = await asyncio.to_thread(subprocess.run, words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode not in (0, _ALREADY_STOPPED):
            raise RuntimeError(f"the cluster could not be stopped: {done.stderr.strip()}")
        if self._supervisor is not None:
            guardian.release_supervisor(self._supervisor)
        self._is_supervised, self._supervisor = False, None
        self.controller = None
        self.engines.clear()

    def _guard_supervisor(self, ends_with_us):
        if self._supervisor is not None:
            (guardian.guard_supervisor if ends_with_us else guardian.release_supervisor)(self._supervisor)
