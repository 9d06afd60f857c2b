"""Measures one peer, in a process of its own: a JSON object a line, as soon as it is known.

`python -m harness.measure NAME [--quick]`. Lines hold `numbers`, `error` (with `of`, the measurement that failed), `absent`
or `peer` (its title, version and how it is used).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
from typing import Callable, TextIO

from harness import loopback, measurements
from harness.peer import Peer
from harness.scale import FULL, QUICK, seconds

#: Seconds after which one measurement is given up.
LIMIT = 150


class TooLong(Exception):
    """A measurement was given up."""


class Run:
    """The measurements of one peer, one after another; what fails is told, and the next goes on."""

    def __init__(self, peer: Peer, quick: bool, output: TextIO):
        self.peer = peer
        self.output = output
        self.sizes = QUICK if quick else FULL
        self.numbers: dict[str, float] = {}

    def tell(self, **line) -> None:
        print(json.dumps(line), file=self.output, flush=True)

    def step(self, name: str, measure: Callable[[], dict[str, float]]) -> bool:
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(LIMIT)
        try:
            found = measure()
        except Exception as error:  # noqa: BLE001  whatever a library raises
            self.tell(of=name, error=f"{type(error).__name__}: {error}"[:300])
            return False
        finally:
            signal.alarm(0)
        self.numbers |= found
        self.tell(numbers=found)
        return True

    def two(self) -> None:
        """Everything, with two workers."""
        if self.step("start", lambda: measurements.start(self.peer, 2)):
            for name in ("idle", "round_trip", "tasks", "after_tasks", "small_items"):
                self.step(name, lambda: getattr(measurements, name)(self.peer, self.sizes))
            self.step("lengths", lambda: self.lengths((1, 10, 100)))
            for megabytes in (1, 100):
                self.transfers(("push", "scatter", "pull", "gather"), megabytes)
            self.transfers(("push_bytes",), 100)
        self.step("stop", lambda: {"stop_s": seconds(self.peer.stop)})

    def eight(self) -> None:
        """With eight workers, which may be more than there are processors: so the tasks only wait."""
        if self.step("start of eight", lambda: measurements.start(self.peer, 8, "start_8")):
            self.step("lengths on eight", lambda: self.lengths(self.sizes.lengths_on_eight))
            if self.sizes.push_to_eight:
                self.transfers(("push",), 100)
        self.step("stop of eight", lambda: {"stop_8_s": seconds(self.peer.stop)})

    def lengths(self, chosen: tuple[int, ...]) -> dict[str, float]:
        return measurements.lengths(self.peer, self.sizes, chosen, self.numbers.get("map_items_per_s", 1000.0))

    def transfers(self, names: tuple[str, ...], megabytes: int) -> None:
        for name in names:
            if getattr(self.peer, name.partition("_")[0]) is not None:
                self.step(f"{name} of {megabytes} MB", lambda: measurements.transfer(self.peer, self.sizes, name, megabytes))


def give_up(*_: object) -> None:
    raise TooLong(f"not done within {LIMIT} s")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    # What libraries print must not come between the lines.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Before any library is imported: a thread would stay behind.
    isolated = loopback.alone()
    module = importlib.import_module(f"peers.{arguments.name}")
    why = module.Peer.absent()
    if module.Peer.listens_openly and not isolated:
        why = "it listens on all interfaces, and this system gives it no network of its own"
    if why is not None:
        print(json.dumps({"absent": why}), file=output, flush=True)
        return 0
    run = Run(module.Peer(), arguments.quick, output)
    run.tell(peer={"title": run.peer.title, "version": run.peer.version(), "how": run.peer.how})
    run.two()
    # A peer is started once.
    run.peer = module.Peer()
    run.eight()
    return 0


if __name__ == "__main__":
    sys.exit(main())
