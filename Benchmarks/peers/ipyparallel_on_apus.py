"""The stock client, unchanged, on Apus's controller and engines."""

from __future__ import annotations

import os
from pathlib import Path

import processes
from temporary_cluster import TemporaryCluster

from harness.peer import missing
from harness.views import ViewsPeer

try:
    import ipyparallel
except ImportError:
    pass


class Peer(ViewsPeer):
    title = "ipyparallel client on Apus"
    how = "the stock client on `apus start`"

    @classmethod
    def absent(cls):
        if not (Path(os.environ.get("APUS_BENCH_BIN", "")) / "ipcluster").exists():
            return "there is no installation of Apus"
        return missing("ipyparallel")

    @classmethod
    def version(cls):
        return ipyparallel.__version__

    def start(self, workers):
        self.workers = workers
        self.cluster = TemporaryCluster(os.environ["APUS_BENCH_BIN"], n=workers)
        # What it starts is found, measured and ended with all else of this run.
        self.cluster.mark = os.environ.get(processes.MARK, self.cluster.mark)
        self.cluster.start()
        self.connected(self.cluster.client())

    def stop(self):
        self.cluster.stop()
