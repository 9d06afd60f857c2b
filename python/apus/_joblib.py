"""Engines as a backend of joblib."""

from joblib.parallel import AutoBatchingMixin, ParallelBackendBase


class IPythonParallelBackend(AutoBatchingMixin, ParallelBackendBase):
    """A backend of joblib on a view; without one, on the default cluster, which is started if it does not run."""

    def __init__(self, view=None, **kwargs):
        super().__init__(**kwargs)
        self._owns_client = view is None
        self._cluster = None
        self._view = self._default_view() if view is None else view

    def _default_view(self):
        import apus as ipp

        try:
            cluster = ipp.Cluster.from_file()
        except FileNotFoundError:
            cluster = self._cluster = ipp.Cluster()
            cluster.start_cluster_sync()
        else:
            if not cluster.engines:
                cluster.start_engines_sync()
        client = cluster.connect_client_sync()
        client.wait_for_engines(cluster.n or 1)
        return client.load_balanced_view()

    def effective_n_jobs(self, n_jobs):
        """As many as there are engines."""
        return len(self._view)

    def terminate(self):
        """Close what was opened here."""
        if self._owns_client:
            self._view.client.close()
        if self._cluster is not None:
            self._cluster.stop_cluster_sync()

    def apply_async(self, func, callback=None):
        """Send a batch of calls."""
        result = self._view.apply_async(func)
        if callback:
            result.add_done_callback(lambda done: callback(done.result()))
        return result

    submit = apply_async


def register(name="ipyparallel", make_default=False):
    """Make engines a backend of joblib under this name."""
    from joblib.parallel import register_parallel_backend

    return register_parallel_backend(name, IPythonParallelBackend, make_default=make_default)
