"""Stops clusters when the interpreter exits in order. What happens when it does not is the guardian's."""

import atexit
import os
import sys
import weakref

_clusters = weakref.WeakSet()
_owner = None


def stop_at_exit(cluster):
    """Stop this cluster at exit, if its `shutdown_atexit` still says so then."""
    global _owner
    if _owner != os.getpid():
        # The first of this process. A forked child leaves alone what its parent has started.
        _clusters.clear()
        atexit.register(_stop_all, os.getpid())
        _owner = os.getpid()
    _clusters.add(cluster)


def _stop_all(owner):
    if os.getpid() != owner:
        return
    for cluster in list(_clusters):
        if not cluster.shutdown_atexit or not (cluster.controller is not None or cluster.engines):
            continue
        try:
            cluster.stop_cluster_sync()
        except Exception as error:
            print(f"{cluster} could not be stopped: {error}", file=sys.stderr)
