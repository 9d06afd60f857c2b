"""loky, the pool of processes under joblib; small items go through joblib, which makes batches of them."""

from __future__ import annotations

from harness.peer import PoolPeer, missing

try:
    import joblib
    import loky
except ImportError:
    pass


class Peer(PoolPeer):
    title = "loky / joblib"
    how = "`get_reusable_executor`: `submit`; the map is `joblib.Parallel`, which makes batches"

    @classmethod
    def absent(cls):
        return missing("loky", "joblib")

    @classmethod
    def version(cls):
        return f"{loky.__version__} / {joblib.__version__}"

    def start(self, workers):
        self.workers = workers
        self.executor = loky.get_reusable_executor(max_workers=workers, timeout=None)

    def stop(self):
        # joblib has an executor of its own.
        joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
        self.executor.shutdown(wait=True)

    def call(self, function, *arguments):
        return self.executor.submit(function, *arguments).result()

    def each(self, function, items):
        futures = [self.executor.submit(function, item) for item in items]
        return [future.result() for future in futures]

    def map(self, function, items):
        return joblib.Parallel(n_jobs=self.workers)(joblib.delayed(function)(item) for item in items)
