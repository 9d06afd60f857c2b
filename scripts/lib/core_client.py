"""The core's client without the Python package around it: for measurements and tests of the way of the bytes alone."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

DIRECT, BROADCAST, COALESCING = 2, 4, 5
METADATA = b'{"codec":"cloudpickle"}'


def function(source: str) -> bytes:
    """The one function of a source, as it travels: by value, for this module is not there on the engines."""
    import cloudpickle

    space: dict = {}
    exec(source, space)  # noqa: S102  the callers' own text
    (found,) = (value for name, value in space.items() if name != "__builtins__")
    return cloudpickle.dumps(found)


class CoreClient:
    """One client of a cluster that was installed to ``prefix``."""

    def __init__(self, prefix: Path, connection: str):
        sys.path.insert(0, str(prefix / "lib" / "apus" / "python"))
        try:
            from apus._loader import load_core
        finally:
            sys.path.pop(0)
        self.core = load_core()
        self.handle = self.core.client_open(connection, "core", 10_000, 100_000, 1 << 34)

    @property
    def engines(self) -> list[int]:
        return [engine[0] for engine in self.core.client_engines(self.handle)]

    def run(self, requests: list[tuple]) -> list[list]:
        """Each request is a route, engines, a function and its arguments. Gives each reply's buffers, in the order of the requests."""
        order: list[int] = []
        for route, targets, blob, arguments in requests:
            buffers: list[pickle.PickleBuffer] = []
            body = pickle.dumps((arguments, {}), 5, buffer_callback=buffers.append)
            numbers = self.core.client_submit(
                self.handle, route, targets, "apply_request", b"{}", METADATA,
                [blob, body, *(buffer.raw() for buffer in buffers)], 0, -1)
            order += numbers
        replies: dict[int, list] = {}
        self.core.client_lead(self.handle)
        try:
            while len(replies) < len(order):
                self.core.client_wait(self.handle, -1)
                for event in self.core.client_take(self.handle):
                    if event[1] in (0, 1, 2):
                        if event[1] != 0:
                            raise RuntimeError(bytes(event[4]).decode())
                        replies[event[0]] = event[5]
        finally:
            self.core.client_unlead(self.handle)
        return [replies[number] for number in order]

    def results(self, requests: list[tuple]) -> list:
        return [pickle.loads(buffers[0], buffers=buffers[1:]) for buffers in self.run(requests)]

    def close(self) -> None:
        self.core.client_close(self.handle)
