"""What a library must be able to do to be measured."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from typing import Any, Callable, Sequence

from harness import works


def missing(*modules: str) -> str | None:
    """Why a peer is absent, if one of these modules is."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    return None


class Peer(ABC):
    """One library with some workers. An instance is started once and stopped once.

    The functions are those of `harness.works`. A method that a library has nothing for is left out (`None`), and the
    table has a dash there.
    """

    #: As the tables call it.
    title: str
    #: What a reader must know to compare: which of its ways the library was used by.
    how: str = ""
    #: It listens on all interfaces of the machine: then it runs only where it can have a network of its own.
    listens_openly = False

    @classmethod
    def absent(cls) -> str | None:
        """Why it cannot run here, or None."""
        return None

    @classmethod
    def version(cls) -> str:
        return ""

    @abstractmethod
    def start(self, workers: int) -> None:
        """Start the workers. What has to be imported for that, is imported by the module: it is not measured."""

    @abstractmethod
    def stop(self) -> None:
        """End them, until nothing is left."""

    @abstractmethod
    def call(self, function: Callable, *arguments: Any) -> Any:
        """The result of one task, on whichever worker is free."""

    @abstractmethod
    def each(self, function: Callable, items: Sequence) -> list:
        """The results of as many tasks as there are items, each submitted by a call of its own, all of them before one is read."""

    @abstractmethod
    def map(self, function: Callable, items: Sequence) -> list:
        """The library's own map with nothing said about chunks."""

    def everywhere(self, function: Callable) -> list:
        """A result from each worker. For a library that cannot name workers: from as many tasks as can keep all busy."""
        return self.each(function, range(2 * self.workers))

    #: The same on a worker that is named: `call_direct(function, *arguments)`.
    call_direct: Callable | None = None
    #: A map that divides the items evenly among the workers, in one message each.
    divided_map: Callable | None = None

    # Values. `value` is an array of bytes (or bytes, for push).

    #: `push(value)`: afterwards every worker has it.
    push: Callable | None = None
    #: `prepare(size)`, not measured: every worker gets an array of that size to give back.
    prepare: Callable | None = None
    #: `pull(size)`: one worker's array.
    pull: Callable | None = None
    #: `scatter(value)`: each worker has its part.
    scatter: Callable | None = None
    #: `gather(size)`: the whole from the parts that the workers have.
    gather: Callable | None = None

    workers: int = 0


class PoolPeer(Peer):
    """A library whose workers have no names: values travel as arguments and results.

    Two items given to `each` reach two workers, when the work takes as long as moving a large array does.
    """

    def push(self, value):
        assert self.each(works.length, [value] * self.workers) == [len(value)] * self.workers

    def prepare(self, size):
        for part in {size, size // self.workers}:
            self.each(works.prepare, [part] * (4 * self.workers))

    def pull(self, size):
        return self.call(works.hold, size)

    def scatter(self, value):
        import numpy

        parts = numpy.array_split(value, self.workers)
        assert sum(self.each(works.length, parts)) == len(value)

    def gather(self, size):
        import numpy

        return numpy.concatenate(self.each(works.hold, [size // self.workers] * self.workers))
