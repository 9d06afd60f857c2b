"""Apus: its own client, controller and Python engines."""

from __future__ import annotations

from harness.peer import missing
from harness.views import ViewsPeer

try:
    import apus
except ImportError:
    pass


class Peer(ViewsPeer):
    title = "Apus"
    how = "`Cluster`, a load-balanced view (`apply_async` one message each; `map_sync` makes batches), a direct view for values"

    @classmethod
    def absent(cls):
        return missing("apus", "apus.client", "apus.cluster")

    @classmethod
    def version(cls):
        return apus.__version__

    def start(self, workers):
        self.workers = workers
        self.cluster = apus.Cluster(n=workers)
        self.connected(self.cluster.start_and_connect_sync())

    def stop(self):
        self.client.close()
        self.cluster.stop_cluster_sync()
