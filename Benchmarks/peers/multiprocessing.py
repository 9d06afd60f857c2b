"""The standard library's pool of processes."""

from __future__ import annotations

import multiprocessing
import platform

from harness.peer import PoolPeer


class Peer(PoolPeer):
    title = "multiprocessing"
    how = "`Pool`: `apply`, `apply_async`, `map`; values are arguments and results"

    @classmethod
    def version(cls):
        return platform.python_version()

    def start(self, workers):
        self.workers = workers
        self.pool = multiprocessing.Pool(workers)

    def stop(self):
        self.pool.close()
        self.pool.join()

    def call(self, function, *arguments):
        return self.pool.apply(function, arguments)

    def each(self, function, items):
        results = [self.pool.apply_async(function, (item,)) for item in items]
        return [result.get() for result in results]

    def map(self, function, items):
        return self.pool.map(function, items)
