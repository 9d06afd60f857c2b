"""Clusters of this machine's profiles, by name."""

import json
import os
import shutil

from traitlets import Dict
from traitlets.config import LoggingConfigurable

from . import profiles
from .cluster import Cluster
from .clusterfile import host_of_controller


class ClusterManager(LoggingConfigurable):
    """Knows clusters by the key `<profile>:<cluster id>`."""

    clusters = Dict(help="The clusters, by key.")

    @staticmethod
    def _cluster_key(cluster):
        return f"{profiles.abbreviate(cluster.profile_dir)}:{cluster.cluster_id}"

    @staticmethod
    def _cluster_files_in_profile_dir(profile_dir):
        return profiles.cluster_files(profile_dir)

    def load_clusters(
        self, *, profile_dirs=None, profile_dir=None, profiles=None, profile=None, init_default_clusters=False, **kwargs
    ):
        """Look for clusters that run, and forget those that do not any more.

        Parameters
        ----------
        profile_dirs, profile_dir, profiles, profile
            Where to look: profile directories, one directory, names of profiles, or one name. Without any of them: all profiles.
        init_default_clusters : bool
            Whether to add a cluster that does not run, with the id "", for each profile in which none runs.

        Returns the clusters, by key.
        """
        for key, cluster in list(self.clusters.items()):
            # One that was never started stays.
            if cluster.controller is not None and not cluster._is_running():
                self.log.info("the cluster %s has ended", key)
                del self.clusters[key]
        known = {cluster.cluster_file for cluster in self.clusters.values()}
        for directory in _directories(profile_dirs, profile_dir, profiles, profile):
            files = self._cluster_files_in_profile_dir(directory)
            if init_default_clusters and not files:
                cluster = Cluster(profile_dir=directory, cluster_id="", parent=self)
                self.clusters.setdefault(self._cluster_key(cluster), cluster)
            for path in files:
                if path not in known:
                    self._load(path)
        return self.clusters

    def _load(self, path):
        try:
            cluster = Cluster.from_file(path, parent=self)
        except Exception as error:
            self.log.warning("the cluster file %s was not loaded: %s", path, error)
            return
        if cluster._is_running():
            self.clusters[self._cluster_key(cluster)] = cluster

    def new_cluster(self, **kwargs):
        """Make a cluster, which is not started. Arguments are those of `Cluster`.

        Returns its key and the cluster. Raises KeyError where the key is taken.
        """
        cluster = Cluster(parent=self, **kwargs)
        key = self._cluster_key(cluster)
        if key in self.clusters:
            raise KeyError(f"there is a cluster {key} already")
        self.clusters[key] = cluster
        return key, cluster

    def get_cluster(self, cluster_id):
        """The cluster of a key. Raises KeyError."""
        return self.clusters[cluster_id]

    def remove_cluster(self, cluster_id):
        """Forget the cluster of a key, which goes on if it runs. Raises KeyError."""
        del self.clusters[cluster_id]


def _directories(directories, directory, names, name):
    if directories is not None:
        return directories
    if directory is not None:
        return [directory]
    if names is None and name is not None:
        names = [name]
    if names is None:
        return profiles.all_directories()
    paths = [profiles.profile_directory(each) for each in names]
    for path in paths:
        if not os.path.isdir(path):
            raise FileNotFoundError(f"there is no profile directory {path}")
    return paths


def clean_cluster_files(profile_dirs=None, *, log=None, force=False):
    """Remove what ended clusters have left: cluster files, logs, connection files and journals.

    Parameters
    ----------
    profile_dirs : list of str or str, optional
        Default: all profiles.
    force : bool
        Whether to remove those of clusters that run, too.

    Raises ValueError where a cluster runs, unless forced. What a controller needs that may run on another host, which has the profile too, stays,
    unless forced.
    """
    if profile_dirs is None:
        profile_dirs = profiles.all_directories()
    elif isinstance(profile_dirs, str):
        profile_dirs = [profile_dirs]
    for directory in profile_dirs:
        kept, is_elsewhere = set(), False
        for path in profiles.cluster_files(directory):
            if not force:
                if host := host_of_controller(path):
                    if log:
                        log.warning("%s is that of a cluster on %s, and may run there: its journal and its connection files stay", path, host)
                    is_elsewhere = True
                    kept.update([path, *profiles.files_of_controller(directory, profiles.cluster_id(path))])
                    continue
                _require_ended(path, log)
            _remove(path, log)
        for path in profiles.leftovers(directory):
            # Which cluster's file is to become of one that this package writes, its name does not say.
            if profiles.target(path) not in kept and not (is_elsewhere and profiles.is_unnamed(path)):
                _remove(path, log)
        for path in profiles.journals(directory, in_use=force):
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)


def _require_ended(path, log):
    try:
        cluster = Cluster.from_file(path)
    except Exception as error:
        if log:
            log.warning("the cluster file %s was not understood: %s", path, error)
        if _names_foreign_engines(path):
            raise ValueError(
                f"{path} names engines that the command 'apus start' has started elsewhere: 'apus stop' ends them. "
                "force=True removes the file all the same, and nothing finds them then.") from error
        return
    if cluster._is_running():
        raise ValueError(f"{cluster} runs: stop_cluster(), or 'apus stop', ends it. force=True removes its files all the same, and nothing finds its processes then.")


def _names_foreign_engines(path):
    """Whether a launcher of the commands that this package does not have, such as ssh, keeps engines in the file."""
    try:
        with open(path, encoding="utf-8") as file:
            sets = json.load(file)["engines"]["sets"].values()
        return any("apus" in state for state in sets)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _remove(path, log):
    try:
        os.remove(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if log:
            log.error("%s could not be removed: %s", path, error)
        return
    if log:
        log.debug("removed %s", path)
