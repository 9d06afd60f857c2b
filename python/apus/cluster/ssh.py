"""Controller and engines on other hosts: the program `apus` starts them over ssh, with these settings, and stays with the cluster."""

from traitlets import Any, Dict, Float, Integer, List, Unicode

from .base import BaseLauncher, ControllerLauncher, EngineLauncher, LauncherError


class SSHLauncher(BaseLauncher):
    """What is to be known of hosts. `apus start` is what reaches them: one connection of `ssh` to each, which is kept."""

    #: `Cluster` has `apus start` start what launchers of this kind stand for.
    is_of_program = True

    ssh_cmd = List(Unicode(), ["ssh"], config=True, help="Command for a host.")
    ssh_args = List(Unicode(), config=True, help="Its further arguments.")
    scp_cmd = List(Unicode(), ["scp"], config=True, help="Accepted, without effect: files go over the connection that is there.")
    scp_args = List(Unicode(), config=True, help="Accepted, without effect.")
    connect_timeout = Float(10, config=True, help="Seconds that a host may take to be connected to.")
    user = Unicode("", config=True, help="User name on hosts that are named without one.")
    hostname = Unicode("", config=True, help="The controller's host.")
    location = Unicode("", config=True, help="The same with a user: user@host.")
    to_send = List(config=True, help="Files to send first: pairs (path here, path there, from the home directory on).")
    to_fetch = List(config=True, help="Accepted, without effect.")
    remote_profile_dir = Unicode("", config=True, help="Profile directory there, from the home directory on.")
    remote_python = Unicode("python3", config=True, help="The interpreter there, which has the package apus.")
    poll_seconds = Integer(60, config=True, help="Accepted, without effect: how often a host is asked depends on what happens.")

    def _not_alone(self):
        return LauncherError(
            f"{type(self).__name__}: what is on other hosts is started and stopped with its cluster: Cluster(…).start_cluster(), stop_cluster()")

    def start(self, n=None):
        raise self._not_alone()

    async def stop(self):
        raise self._not_alone()

    def signal(self, sig):
        raise LauncherError(f"{type(self).__name__} sends no signals: Client.send_signal(…) does, to any engine")


class SSHControllerLauncher(SSHLauncher, ControllerLauncher):
    """The controller on another host, `hostname`. Its connection files come here."""


class SSHEngineLauncher(SSHLauncher, EngineLauncher):
    """An engine of another host."""


class SSHEngineSetLauncher(SSHEngineLauncher):
    """Engines of other hosts."""

    engines = Dict(
        config=True, help="Hosts with their numbers of engines: {'host1': 2, 'user@host2:2222': {'n': 4, 'engine_args': ['--debug']}}.")
    delay = Any(0, config=True, help="Accepted, without effect: all engines of a host are started at once.")
