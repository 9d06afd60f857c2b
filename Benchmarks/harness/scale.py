"""How much of a work is done: as much as fits a time, so that a slow peer is measured as well as a fast one."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Sizes:
    """The bounds of one run."""

    #: Seconds that a measurement of a rate may take, about.
    budget: float
    #: Seconds of work for each worker, where tasks have a length.
    work: float
    #: Round trips, and the seconds after which they end.
    round_trips: int
    #: Seconds for the tasks before the second look at memory, and how many they are at most.
    memory_seconds: float
    memory_tasks: int
    #: Transfers of 1 MB and of 100 MB.
    small_transfers: int
    large_transfers: int
    #: With eight workers: tasks of so many milliseconds, and whether 100 MB are pushed.
    lengths_on_eight: tuple[int, ...]
    push_to_eight: bool


FULL = Sizes(4.0, 2.0, 500, 40.0, 100_000, 20, 5, (1, 10, 100), True)
QUICK = Sizes(0.8, 0.4, 100, 3.0, 100_000, 5, 1, (10,), False)


def seconds(call: Callable, *arguments) -> float:
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def fitting(run: Callable[[int], None], budget: float, first: int, most: int) -> tuple[int, float]:
    """Runs ever larger counts until one takes a good part of the budget: that count and the seconds it took.

    A run whose seconds did not grow with its count showed what the library takes for any count: then the count grows on.
    """
    count, before = min(first, most), None
    while True:
        took = seconds(run, count)
        grew = before is not None and took / before[1] > count / before[0] / 2
        if count >= most or took >= 10 * budget or (took >= budget / 2 and grew):
            return count, took
        if took >= budget / 2:
            following = 4 * count if before is None else 20 * count
        else:
            following = max(2 * count, int(min(count * 0.9 * budget / max(took, 1e-6), 20 * count)))
        before = (count, took)
        count = min(most, following)


def times(call: Callable, count: int, limit: float) -> list[float]:
    """Seconds of each of so many calls, fewer when the limit is over before."""
    found: list[float] = []
    end = time.perf_counter() + limit
    while len(found) < count and (not found or time.perf_counter() < end):
        found.append(seconds(call))
    return found


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def median(values: list[float]) -> float:
    return statistics.median(values)
