"""Stock ipyparallel: its own client, controller and engines."""

from __future__ import annotations

from harness.peer import missing
from harness.views import ViewsPeer

try:
    import ipyparallel
except ImportError:
    pass


class Peer(ViewsPeer):
    title = "ipyparallel"
    how = "`Cluster`, a load-balanced view (`apply_async`, `map_sync`: one message each), a direct view for values"

    @classmethod
    def absent(cls):
        return missing("ipyparallel")

    @classmethod
    def version(cls):
        return ipyparallel.__version__

    def start(self, workers):
        self.workers = workers
        self.cluster = ipyparallel.Cluster(n=workers, log_level=40)
        self.connected(self.cluster.start_and_connect_sync())

    def stop(self):
        self.client.close()
        self.cluster.stop_cluster_sync()
