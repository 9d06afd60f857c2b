"""Dask's distributed scheduler with a process for each worker."""

from __future__ import annotations

import numpy

from harness import works
from harness.peer import Peer as Base
from harness.peer import missing

try:
    import dask
    import dask.bag
    import distributed
except ImportError:
    pass


class Peer(Base):
    title = "Dask"
    how = (
        "`LocalCluster` of single-threaded processes: `Client.submit`; the map is `dask.bag`, which makes partitions; "
        "`scatter` and `gather`")

    @classmethod
    def absent(cls):
        return missing("dask", "distributed")

    @classmethod
    def version(cls):
        return distributed.__version__

    def start(self, workers):
        self.workers = workers
        self.cluster = distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, memory_limit=0)
        self.client = distributed.Client(self.cluster)
        self.client.wait_for_workers(workers)
        self.names = list(self.client.scheduler_info(n_workers=-1)["workers"])

    def stop(self):
        self.client.close()
        self.cluster.close()

    def call(self, function, *arguments):
        return self.client.submit(function, *arguments, pure=False).result()

    def call_direct(self, function, *arguments):
        return self.client.submit(function, *arguments, pure=False, workers=self.names[:1]).result()

    def each(self, function, items):
        futures = [self.client.submit(function, item, pure=False) for item in items]
        return self.client.gather(futures)

    def everywhere(self, function):
        return self.client.gather([self.client.submit(function, pure=False, workers=[name]) for name in self.names])

    def map(self, function, items):
        return dask.bag.from_sequence(items).map(function).compute()

    def push(self, value):
        self.client.scatter(value, broadcast=True, hash=False)

    def prepare(self, size):
        make = lambda part: [  # noqa: E731
            self.client.submit(works.hold, part, pure=False, workers=[name]) for name in self.names]
        self.whole, self.parts = make(size), make(size // self.workers)
        distributed.wait(self.whole + self.parts)

    def pull(self, size):
        return self.client.gather(self.whole[0])

    def scatter(self, value):
        parts = numpy.array_split(value, self.workers)
        for name, part in zip(self.names, parts):
            self.client.scatter(part, workers=[name], hash=False)

    def gather(self, size):
        return numpy.concatenate(self.client.gather(self.parts))
