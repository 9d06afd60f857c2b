"""mpi4py's pool of MPI processes, spawned by the program as its documentation recommends."""

from __future__ import annotations

import shutil

from harness.peer import PoolPeer, missing


class Peer(PoolPeer):
    title = "mpi4py"
    how = "`MPIPoolExecutor`: `submit`, `map` (one message each)"
    listens_openly = True

    @classmethod
    def absent(cls):
        if shutil.which("mpiexec") is None:
            return "there is no MPI (no mpiexec)"
        return missing("mpi4py")

    @classmethod
    def version(cls):
        import mpi4py

        return mpi4py.__version__

    def start(self, workers):
        from mpi4py.futures import MPIPoolExecutor

        self.workers = workers
        self.executor = MPIPoolExecutor(max_workers=workers)

    def stop(self):
        self.executor.shutdown(wait=True)

    def call(self, function, *arguments):
        return self.executor.submit(function, *arguments).result()

    def each(self, function, items):
        futures = [self.executor.submit(function, item) for item in items]
        return [future.result() for future in futures]

    def map(self, function, items):
        return list(self.executor.map(function, items))
