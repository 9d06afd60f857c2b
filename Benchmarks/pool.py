"""The measurements of the Swift client for `multiprocessing.Pool`: prints one flat JSON object. Started by harness/native.py."""

from __future__ import annotations

import array
import json
import multiprocessing
import statistics
import sys
import time


def same(value):
    return value


def square(value):
    return value * value


def length(value):
    return len(value)


def timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    quick = "--quick" in sys.argv
    tasks, trips, items, arrays = (5_000, 300, 200_000, 3) if quick else (100_000, 3_000, 2_000_000, 15)
    numbers = array.array("d", range(1_000_000))
    with multiprocessing.Pool(2) as pool:
        pool.map(same, range(1000))
        unbatched = timed(lambda: sum(1 for _ in pool.imap(same, range(tasks), chunksize=1)))
        round_trips = sorted(timed(lambda: pool.apply(same, (1,))) for _ in range(trips))
        mapped = timed(lambda: pool.map(square, range(items)))
        sent = statistics.median(timed(lambda: pool.apply(length, (numbers,))) for _ in range(arrays))
    print(json.dumps({
        "tasks_per_s": tasks / unbatched,
        "round_trip_ms": 1000 * statistics.median(round_trips),
        "round_trip_p99_ms": 1000 * round_trips[len(round_trips) * 99 // 100],
        "map_items_per_s": items / mapped,
        "array_8mb_ms": 1000 * sent,
    }))


if __name__ == "__main__":
    main()
