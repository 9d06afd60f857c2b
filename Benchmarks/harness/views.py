"""Peers with the interface of ipyparallel: a client whose views are used."""

from __future__ import annotations

from harness.peer import Peer


class ViewsPeer(Peer):
    """Subclasses start a cluster and set `client`."""

    client = None

    def connected(self, client) -> None:
        self.client = client
        self.direct = client[:]
        self.one = client[client.ids[0]]
        self.balanced = client.load_balanced_view()

    def call(self, function, *arguments):
        return self.balanced.apply_sync(function, *arguments)

    def call_direct(self, function, *arguments):
        return self.one.apply_sync(function, *arguments)

    def each(self, function, items):
        results = [self.balanced.apply_async(function, item) for item in items]
        return [result.get() for result in results]

    def everywhere(self, function):
        return self.direct.apply_sync(function)

    def map(self, function, items):
        return self.balanced.map_sync(function, items)

    def divided_map(self, function, items):
        return self.direct.map_sync(function, items)

    def push(self, value):
        self.direct.push({"pushed": value}, block=True)

    def prepare(self, size):
        self.direct.execute(
            f"from harness import works; whole, part = works.hold({size}), works.hold({size // self.workers})", block=True)

    def pull(self, size):
        return self.one.pull("whole", block=True)

    def scatter(self, value):
        self.direct.scatter("scattered", value, block=True)

    def gather(self, size):
        return self.direct.gather("part", block=True)
