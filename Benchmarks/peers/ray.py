"""Ray on one host: tasks, and its shared-memory store for values."""

from __future__ import annotations

import os

import numpy

from harness import works
from harness.peer import Peer as Base
from harness.peer import missing

# No reports to the outside, and nothing that listens for others.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}

try:
    import ray
    import ray.util.multiprocessing
except ImportError:
    pass


class Peer(Base):
    title = "Ray"
    how = (
        "remote functions; the map is `ray.util.multiprocessing.Pool.map`, which makes chunks; values go through its object store, "
        "a reading task on each worker")
    listens_openly = True

    @classmethod
    def absent(cls):
        return missing("ray")

    @classmethod
    def version(cls):
        return ray.__version__

    def start(self, workers):
        self.workers = workers
        ray.init(
            num_cpus=workers, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False, logging_level="error",
            object_store_memory=1_500_000_000)
        self.remote = {}
        self.pool = None

    def stop(self):
        ray.shutdown()

    def _remote(self, function):
        if function not in self.remote:
            self.remote[function] = ray.remote(function)
        return self.remote[function]

    def call(self, function, *arguments):
        return ray.get(self._remote(function).remote(*arguments))

    def each(self, function, items):
        remote = self._remote(function)
        return ray.get([remote.remote(item) for item in items])

    def everywhere(self, function):
        remote = self._remote(function)
        return ray.get([remote.remote() for _ in range(2 * self.workers)])

    def map(self, function, items):
        if self.pool is None:
            # Its actors live on, and must not hold the processors that tasks need.
            self.pool = ray.util.multiprocessing.Pool(self.workers, ray_remote_args={"num_cpus": 0})
        return self.pool.map(function, items)

    def push(self, value):
        assert self.each(works.length, [ray.put(value)] * self.workers) == [len(value)] * self.workers

    def prepare(self, size):
        for part in {size, size // self.workers}:
            self.each(works.prepare, [part] * (4 * self.workers))

    def pull(self, size):
        return self.call(works.hold, size)

    def scatter(self, value):
        parts = [ray.put(part) for part in numpy.array_split(value, self.workers)]
        assert sum(self.each(works.length, parts)) == len(value)

    def gather(self, size):
        return numpy.concatenate(self.each(works.hold, [size // self.workers] * self.workers))
