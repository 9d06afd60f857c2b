"""`Cluster`: starts, watches and stops one controller and its engines."""

import asyncio
import inspect
import json
import logging
import os
import random
import string
import sys
import threading
import time

from traitlets import Any, Bool, Dict, Float, Instance, Integer, List, Unicode, default, observe, validate
from traitlets.config import Application, Config, LoggingConfigurable

from . import configuration, connecting, ending, guardian, profiles
from .adaptive import Adaptive
from .clusterfile import ClusterFile
from .local import LocalControllerLauncher, LocalEngineSetLauncher
from .loop import SynchronousForms, on_cluster_loop
from .registry import LauncherClass

_CHARACTERS = string.ascii_lowercase + string.digits


class Cluster(SynchronousForms, connecting.Connecting, Adaptive, ClusterFile, LoggingConfigurable):
    """One controller and its engines.

    Parameters
    ----------
    n : int, optional
        Engines to start. Default: one for each core.
    min, max : int, optional
        With one of them the cluster grows and shrinks with its work, within these bounds; `apus start --min --max` is what starts it, then.
    engines, controller : str or class
        How they are started: "local" (the default), the name of another launcher, or a launcher class.
    hosts : dict, list or str, optional
        With `engines="ssh"`: hosts with their numbers of engines, a list of hosts, or the path of a file of them.
    profile, profile_dir : str
        Name or path of the profile, where connection files and logs are. Default: that of IPython, else `default`.
    cluster_id : str
        Tells clusters of one profile apart. Default: a new one.
    controller_ip : str
        Address that the controller listens on; "*" is all. Default: this machine only.
    controller_location : str
        Name of the controller's host, for engines and clients on others.
    controller_args, engine_args : list of str
        Further arguments of the commands.
    delay : float
        Seconds between the starts of the controller and of the engines. Default: 0.
    engine_timeout : int
        Seconds that engines may take until they are ready. Default: 60.
    send_engines_connection_env : bool
        Whether engines get the connection file's text, and need no file. False: they are started at once, and wait for the file.
    load_profile : bool
        Whether the profile's `ipcluster_config` is read. What `config` and arguments say wins over it.
    shutdown_atexit : bool
        Whether the cluster ends with this process. It then ends even if this process is killed.
    cluster_file : str
        Path of the file by which others find the cluster. "": none is written.
    log_level : int
        Level of the cluster's own log; at 10 the output of the controller and of the engines is shown as it comes.
    parent, config
        As for every configurable object of traitlets.

    Each coroutine method has a blocking twin with the suffix `_sync`, which works in notebooks as well::

        with Cluster(n=4) as client:
            client[:].apply_sync(os.getpid)
    """

    shutdown_atexit = Bool(True, help="Whether the cluster ends with this process, however that ends.")
    cluster_id = Unicode(help="Tells clusters of one profile apart.").tag(to_dict=True)
    profile_dir = Unicode(help="Directory of the profile.").tag(to_dict=True)
    profile = Unicode("", help="Name of the profile.")
    cluster_file = Unicode(help="File by which others find the cluster; '' for none.")
    engine_timeout = Integer(60, config=True, help="Seconds that engines may take until they are ready.")
    send_engines_connection_env = Bool(
        True, config=True, help="Whether engines get the connection info in their environment; otherwise they wait for the file.")
    controller_launcher_class = LauncherClass(
        LocalControllerLauncher, kind="controller", config=True, help="How the controller is started: a name, or a class.")
    engine_launcher_class = LauncherClass(
        LocalEngineSetLauncher, kind="engine", config=True, help="How engines are started: a name, or a class.")
    controller_args = List(Unicode(), config=True, help="Further arguments of the controller.").tag(to_dict=True)
    controller_ip = Unicode(config=True, help="Address that the controller listens on.").tag(to_dict=True)
    controller_location = Unicode(config=True, help="Name of the controller's host.").tag(to_dict=True)
    engine_args = List(Unicode(), config=True, help="Further arguments of each engine.")
    delay = Float(0.0, config=True, help="Seconds between the starts of the controller and of the engines.").tag(to_dict=True)
    n = Integer(None, allow_none=True, config=True, help="Engines to start.").tag(to_dict=True)
    min = Integer(None, allow_none=True, help="Engines at least, of a cluster that follows its work.")
    max = Integer(None, allow_none=True, help="Engines at most, of a cluster that follows its work.")
    hosts = Any(help="Hosts of engines=\"ssh\": a dict with numbers of engines, a list, or the path of a file.")
    log_level = Integer(logging.INFO, help="Level of the cluster's own log.")
    load_profile = Bool(True, config=True, help="Whether the profile's ipcluster_config is read.")

    controller = Any(help="Launcher of the controller; None while there is none.")
    engines = Dict(help="Launchers of engine sets, by the set's id.")
    profile_config = Instance(Config, help="What the profile's configuration files say.")

    def __init__(self, *, engines=None, controller=None, **kwargs):
        self._file_lock = threading.RLock()
        for name, value in (("engine", engines), ("controller", controller)):
            if value is None:
                continue
            if f"{name}_launcher_class" in kwargs:
                raise TypeError(f"{name}_launcher_class is the longer name of {name.replace('engine', 'engines')!r}: give one of them")
            kwargs[f"{name}_launcher_class"] = value
        _require_known(type(self), kwargs)
        if "parent" not in kwargs and "config" not in kwargs:
            kwargs["parent"] = profiles.current_shell()
        super().__init__(**kwargs)

    # MARK: defaults

    @default("cluster_id")
    def _default_cluster_id(self):
        return f"{int(time.time())}-{''.join(random.choices(_CHARACTERS, k=4))}"

    @default("profile_dir")
    def _default_profile_dir(self):
        return profiles.default_directory(self.profile)

    @validate("profile_dir")
    def _absolute_profile_dir(self, proposal):
        return os.path.abspath(proposal.value) if proposal.value else proposal.value

    @default("cluster_file")
    def _default_cluster_file(self):
        return profiles.cluster_file(self.profile_dir, self.cluster_id)

    @default("log")
    def _default_log(self):
        if self.parent is None or self.parent is not profiles.current_shell():
            if getattr(self.parent, "log", None) is not None:
                return self.parent.log
            if Application.initialized():
                return Application.instance().log
        log = logging.getLogger(f"{__name__}.{self.cluster_id}")
        log.setLevel(self.log_level)
        if self.parent is not None:
            # In an IPython session people see what happens.
            log.handlers = [logging.StreamHandler(sys.stdout)]
            log.propagate = False
        return log

    @default("profile_config")
    def _default_profile_config(self):
        return configuration.load(self.profile_dir) if self.load_profile else Config()

    @default("config")
    def _default_config(self):
        return self.profile_config

    @validate("config")
    def _merge_profile_config(self, proposal):
        if not self.load_profile or not self.profile_config:
            return proposal.value
        merged = Config()
        merged.merge(self.profile_config)
        merged.merge(proposal.value)
        return merged

    @property
    def engine_set(self):
        """The launcher of the first engine set, which is the only one in most clusters; None while there is none."""
        return next(iter(self.engines.values()), None)

    @classmethod
    def _signature(cls):
        """What help and completion show: the traits are the parameters."""
        hidden = {"config", "controller_launcher_class", "engine_launcher_class", "profile_config", "controller", "engines"}
        defaults = {"engines": "local", "controller": "local", "config": None, "parent": None, "log": None}
        for name, trait in cls.class_traits().items():
            if name not in hidden:
                value = trait.default()
                defaults.setdefault(name, value if isinstance(value, (bool, int, float, list)) else None)
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Signature([inspect.Parameter(name, kind, default=value) for name, value in defaults.items()])

    def __repr__(self):
        directory, name = self.profile_dir, profiles.abbreviate(self.profile_dir)
        fields = [f"cluster_id={self.cluster_id!r}"]
        if name != directory:
            fields.append(f"profile={name!r}")
        else:
            home = os.path.expanduser("~") + os.path.sep
            fields.append(f"profile_dir={'~/' + directory[len(home):] if directory.startswith(home) else directory!r}")
        if self.controller is not None:
            fields.append(f"controller=<{self.controller.state}>")
        if self.engines:
            fields.append(f"engine_sets={list(self.engines)}")
        return f"<{type(self).__name__}({', '.join(fields)})>"

    # MARK: start

    @on_cluster_loop
    async def start_controller(self, **kwargs):
        """Start the controller; `get_connection_info` of the launcher tells when it is ready.

        Further arguments are traits of the launcher. Raises RuntimeError where it was started already.
        """
        if self.controller is not None:
            raise RuntimeError("the controller of this cluster was started already: stop_controller() comes first")
        self._refuse_to_replace()
        self._stop_at_exit()
        controller = self.controller_launcher_class(
            work_dir=".", parent=self, log=self.log, profile_dir=self.profile_dir, cluster_id=self.cluster_id, **kwargs)
        self._add_controller_arguments(controller)
        self._watch_controller(controller)
        self.log.debug("starting the controller with %s", type(controller).__name__)
        self.controller = controller
        try:
            await _result(controller.start())
        except BaseException:
            self.controller = None
            raise
        self.update_cluster_file()

    def _add_controller_arguments(self, controller):
        arguments = [f"--ip={self.controller_ip}"] if self.controller_ip else []
        if self.controller_location:
            arguments.append(f"--location={self.controller_location}")
        arguments += self.controller_args
        if not arguments:
            return
        if not hasattr(controller, "controller_args"):
            self.log.warning("%s takes no arguments for the controller: %s is left out", type(controller).__name__, arguments)
            return
        controller.controller_args = [*controller.controller_args, *arguments]

    @on_cluster_loop
    async def start_engines(self, n=None, engine_set_id=None, **kwargs):
        """Start engines.

        Parameters
        ----------
        n : int, optional
            How many. Default: the cluster's `n`, else one for each core.
        engine_set_id : str, optional
            Name of the set. Default: a new one.

        Further arguments are traits of the launcher. Returns the name of the set. It does not wait until the engines are ready:
        `Client.wait_for_engines` does. Raises RuntimeError with the controller's last words where that has ended.
        """
        if engine_set_id is None:
            engine_set_id = self._new_engine_set_id()
        self._stop_at_exit()
        engines = self.engine_launcher_class(
            work_dir=".", parent=self, log=self.log, profile_dir=self.profile_dir, cluster_id=self.cluster_id,
            engine_set_id=engine_set_id, **kwargs)
        if self.engine_args:
            engines.engine_args = [*engines.engine_args, *self.engine_args]
        if self.send_engines_connection_env and self.controller is not None:
            with self._raising_ends():
                info = await _result(self.controller.get_connection_info())
            # A new dict: the configuration's must not get the key.
            engines.environment = {**engines.environment, "IPP_CONNECTION_INFO": json.dumps(info["engine"])}
        n = getattr(engines, "engine_count", self.n if n is None else n)
        if n is None:
            n = os.cpu_count() or 1
        self.log.info("Starting %s engines with %s", n, type(engines))
        self.engines[engine_set_id] = engines
        try:
            await _result(engines.start(n))
        except BaseException:
            del self.engines[engine_set_id]
            raise
        self._watch_engines(engines, engine_set_id)
        self.update_cluster_file()
        return engine_set_id

    def _new_engine_set_id(self):
        name = base = str(int(time.time()))
        number = 1
        while name in self.engines:
            name = f"{base}-{number}"
            number += 1
        return name

    @on_cluster_loop
    async def start_cluster(self, n=None):
        """Start the controller, unless it runs, and n engines (default: the cluster's `n`). Returns the cluster."""
        if self.hosts is not None and not getattr(self.engine_launcher_class, "is_of_program", False):
            raise ValueError("hosts are for engines=\"ssh\"")
        if self._is_of_program and self.controller is None:
            await self._start_supervised(n)
            return self
        if self.controller is None:
            await self.start_controller()
        if self.delay:
            await asyncio.sleep(self.delay)
        await self.start_engines(n)
        return self

    # MARK: stop

    @on_cluster_loop
    async def stop_engines(self, engine_set_id=None):
        """Stop an engine set, or all, and return when the engines have ended. Raises KeyError where there is no such set."""
        if engine_set_id is None:
            await asyncio.gather(*[self.stop_engines(name) for name in list(self.engines)])
            return
        engines = self.engines[engine_set_id]
        self.log.info("Stopping engine(s): %s", engine_set_id)
        await _result(engines.stop())
        await _result(engines.get_output(remove=True))
        self.engines.pop(engine_set_id, None)
        self.update_cluster_file()

    @on_cluster_loop
    async def stop_controller(self):
        """Stop the controller and return when it has ended. Nothing happens where there is none."""
        controller = self.controller
        if controller is None:
            return
        if controller.running:
            self.log.info("Stopping controller")
            await _result(controller.stop())
            await _result(controller.get_output(remove=True))
        self.controller = None
        self.update_cluster_file()

    @on_cluster_loop
    async def stop_cluster(self):
        """Stop the controller and all engines, and return when they have ended."""
        if self._is_supervised or self._had_supervisor:
            return await self._stop_supervised()
        try:
            # First: an engine says goodbye to its controller, and waits a moment for one that is gone.
            await self.stop_engines()
        finally:
            await self.stop_controller()

    @on_cluster_loop
    async def restart_engines(self, engine_set_id=None):
        """Stop an engine set, or all, and start as many engines again under the same name."""
        if self._is_supervised:
            # Whoever watches over them would start others beside ours.
            with await self.connect_client() as client:
                client.restart_engines()
            return
        names = list(self.engines) if engine_set_id is None else [engine_set_id]
        counts = {name: self.engines[name].n for name in names}
        for name in names:
            await self.stop_engines(name)
            await self.start_engines(counts[name], name)

    # MARK: the number of engines

    def scale(self, n, force=False):
        """So many engines from now on: more are started, or some take no more tasks and end. See `Client.scale`.

        Works with clusters that `apus start` has started and watches over, and with those of `Cluster(min=…, max=…)`. Engines of a set that this cluster has started itself are added by
        `start_engines`, and go by `Client.drain(targets, stop=True)`. Raises RemoteError where nobody watches over the cluster.
        """
        with self.connect_client_sync() as client:
            return client.scale(n, force=force)

    def adapt(self, minimum, maximum):
        """As many engines as there is work for, from `minimum` to `maximum`. As `scale`."""
        with self.connect_client_sync() as client:
            return client.adapt(minimum, maximum)

    @on_cluster_loop
    async def signal_engines(self, signum, engine_set_id=None):
        """Send a signal to the engines of a set, or of all: SIGINT interrupts their tasks."""
        for name in list(self.engines) if engine_set_id is None else [engine_set_id]:
            self.log.info("Sending signal %s to engine(s) %s", signum, name)
            await _result(self.engines[name].signal(signum))

    async def stop_engine(self, engine_id):
        """Not there: engines are stopped by their sets."""
        raise NotImplementedError("one engine cannot be stopped by a launcher: Client.shutdown(targets=…) ends it")

    async def restart_engine(self, engine_id):
        """Not there: engines are restarted by their sets."""
        raise NotImplementedError("one engine cannot be restarted by a launcher: restart_engines restarts a set")

    async def signal_engine(self, signum, engine_id):
        """Not there: engines get signals by their sets."""
        raise NotImplementedError("one engine cannot be sent a signal by a launcher: Client.send_signal(…, targets=…) does it")

    # MARK: what happens by itself

    def _watch_controller(self, controller):
        self._watch(controller, "Controller stopped")

    def _watch_engines(self, engines, engine_set_id):
        self._watch(engines, f"engine set stopped {engine_set_id}")

    def _watch(self, launcher, title):
        def stopped(data=None):
            getattr(launcher, "_log_end", lambda _: self.log.info)(data)("%s: %s", title, data)
            self._update_file_after_end()

        launcher.on_stop(stopped)

    def _update_file_after_end(self):
        try:
            self.update_cluster_file()
        except OSError as error:
            # The profile may be gone by now: nobody waits for this.
            self.log.debug("the cluster file could not be updated: %s", error)

    def _stop_at_exit(self):
        if self.shutdown_atexit:
            ending.stop_at_exit(self)

    @observe("shutdown_atexit")
    def _shutdown_atexit_changed(self, change):
        for launcher in [self.controller, *self.engines.values()]:
            outlive = getattr(launcher, "outlive", None)
            if outlive is not None:
                outlive(not change["new"])
        self._guard_supervisor(change["new"])
        if self._is_running() and not self._is_supervised:
            (guardian.guard_file if change["new"] else guardian.release_file)(self.cluster_file)
            self._stop_at_exit()

    def write_cluster_file(self):
        super().write_cluster_file()
        # With what others have added it is needed when we are gone.
        goes_with_us = self.shutdown_atexit and self._is_running() and not self._has_others
        (guardian.guard_file if goes_with_us else guardian.release_file)(self.cluster_file)

    def remove_cluster_file(self):
        super().remove_cluster_file()
        guardian.release_file(self.cluster_file)


async def _result(value):
    """Launchers may do things at once, or as coroutines."""
    return await value if inspect.isawaitable(value) else value


def _require_known(cls, given):
    names = cls.class_trait_names()
    unknown = [name for name in given if name not in names]
    if not unknown:
        return
    import difflib

    near = difflib.get_close_matches(unknown[0], [*names, "engines", "controller"], 1)
    raise TypeError(f"{cls.__name__} has no parameter {unknown[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


Cluster.__signature__ = Cluster._signature()
