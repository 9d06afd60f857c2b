"""Clusters: a controller and engines that are started, watched and stopped from Python.

This package needs traitlets, which every installation of IPython has: clusters and launchers are configured by it.
"""

try:
    import traitlets.config  # noqa: F401
except ImportError as error:
    raise ImportError("apus.cluster needs the package 'traitlets': pip install traitlets") from error

from .cluster import Cluster
from .manager import ClusterManager, clean_cluster_files

__all__ = ["Cluster", "ClusterManager", "clean_cluster_files"]


def __getattr__(name):
    if name == "launcher":
        # With all kinds of launchers, which most clusters do without.
        import importlib

        return importlib.import_module(".launcher", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
