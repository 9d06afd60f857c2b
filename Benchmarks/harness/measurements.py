"""What is measured of a peer. Each function gives numbers by the keys of `harness.rows`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Callable

import processes

from harness import works
from harness.peer import Peer
from harness.scale import Sizes, fitting, median, percentile, seconds, times

MB = 1_000_000


def start(peer: Peer, workers: int, name: str = "start") -> dict[str, float]:
    """Until each worker has given a result."""
    began = time.perf_counter()
    peer.start(workers)
    ready = time.perf_counter() - began
    peer.everywhere(works.nothing)
    return {f"{name}_ready_s": ready, f"{name}_first_result_s": time.perf_counter() - began}


def memory(name: str) -> dict[str, float]:
    """All processes but this one, and this one, which is the user's program."""
    found = processes.processes(os.environ[processes.MARK])
    sizes = [processes.memory(process.pid) for process in found]
    return {
        f"{name}_processes": len(found),
        f"{name}_pss_mb": sum(size["pss"] for size in sizes) / 1e6,
        f"{name}_rss_mb": sum(size["rss"] for size in sizes) / 1e6,
        f"{name}_client_pss_mb": processes.memory(os.getpid())["pss"] / 1e6,
    }


def idle(peer: Peer, sizes: Sizes) -> dict[str, float]:
    # What a start leaves behind, as threads that end, is gone then.
    time.sleep(0.5)
    return memory("idle")


def round_trip(peer: Peer, sizes: Sizes) -> dict[str, float]:
    found = {}
    for name, call in (("round_trip", peer.call), ("direct_round_trip", peer.call_direct)):
        if call is None:
            continue
        times(lambda: call(works.nothing), 20, 2.0)
        taken = times(lambda: call(works.nothing), sizes.round_trips, 5 * sizes.budget)
        found[f"{name}_ms"] = 1000 * median(taken)
        found[f"{name}_p99_ms"] = 1000 * percentile(taken, 0.99)
    return found


def tasks(peer: Peer, sizes: Sizes) -> dict[str, float]:
    """How many a second, and the processor time that one costs in each of the parties."""
    spent: dict[str, float] = {}

    def run(count: int) -> None:
        nonlocal spent
        before = processor_seconds()
        peer.each(works.nothing, range(count))
        spent = {role: now - before.get(role, 0.0) for role, now in processor_seconds().items()}

    count, took = fitting(run, sizes.budget, 100, 100_000)
    return {"tasks_per_s": count / took, "tasks": count} | {f"cpu_{role}_us": 1e6 * each / count for role, each in spent.items()}


def processor_seconds() -> dict[str, float]:
    """Of this process, the `client`, and of the others by their role; whatever is no controller and no engine is `other`."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {"client": time.process_time()}
    for process in processes.processes(os.environ[processes.MARK]):
        try:
            words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        role = process.role if process.role in ("controller", "engine") else "other"
        found[role] = found.get(role, 0.0) + (int(words[11]) + int(words[12])) / tick
    return found


def after_tasks(peer: Peer, sizes: Sizes) -> dict[str, float]:
    """Memory when many tasks have come and gone, five thousand at a time under way, results read and dropped."""
    done = 0
    end = time.perf_counter() + sizes.memory_seconds
    part = 500
    while done < sizes.memory_tasks and time.perf_counter() < end:
        part = min(part, sizes.memory_tasks - done)
        took = seconds(lambda: peer.each(works.nothing, range(part)))
        done += part
        part = max(100, min(5000, int(part * sizes.memory_seconds / 5 / max(took, 1e-3))))
    return {"after_tasks": done} | memory("after")


def small_items(peer: Peer, sizes: Sizes) -> dict[str, float]:
    found = {}
    for name, run in (("map", peer.map), ("divided_map", peer.divided_map)):
        if run is None:
            continue

        def whole(count: int) -> None:
            result = run(works.square, range(count))
            assert len(result) == count and result[-1] == (count - 1) ** 2

        # Some libraries start something of their own for a map.
        whole(100)
        count, took = fitting(whole, sizes.budget, 200, 1_000_000)
        found |= {f"{name}_items_per_s": count / took, f"{name}_items": count}
    return found


def lengths(peer: Peer, sizes: Sizes, chosen: tuple[int, ...], rate: float) -> dict[str, float]:
    """Share of the ideal, in percent, for tasks that take a known time. `rate`: what the peer's map can do at all."""
    found = {}
    for way, run in (("map", peer.map), ("each", peer.each)):
        all_at_work(peer, run)
        for milliseconds in chosen if way == "map" else (10,):
            length = milliseconds / 1000
            per_worker = max(4, round(sizes.work / length))
            count = max(4 * peer.workers, min(per_worker * peer.workers, int(3 * sizes.work * rate)))
            took = seconds(run, works.wait, [length] * count)
            found[f"{way}_{milliseconds}ms_{peer.workers}_percent"] = 100 * count * length / peer.workers / took
    return found


def all_at_work(peer: Peer, run: Callable, limit: float = 20.0) -> None:
    """Until every worker has answered: some libraries start them only when there is work."""
    end = time.perf_counter() + limit
    seen: set[int] = set()
    while len(seen) < peer.workers and time.perf_counter() < end:
        seen.update(run(works.pid, range(4 * peer.workers)))


def transfer(peer: Peer, sizes: Sizes, name: str, megabytes: int) -> dict[str, float]:
    """`push` and `scatter` of an array, `push_bytes` of bytes; `pull` and `gather` of what the workers have."""
    size = megabytes * MB
    if name in ("pull", "gather"):
        peer.prepare(size)
        expected = works.read(works.hold(size))
        run = {"pull": lambda: check(peer.pull(size), size, expected), "gather": lambda: check(peer.gather(size), size)}[name]
    else:
        value = os.urandom(size) if name == "push_bytes" else works.array(size, seed=2)
        run = {"scatter": lambda: peer.scatter(value)}.get(name, lambda: peer.push(value))
    taken = times(run, 1 + (sizes.large_transfers if megabytes > 10 else sizes.small_transfers), 10 * sizes.budget)
    key = f"{name}_{megabytes}mb_{peer.workers}"
    # The first is cold: every part maps its memory, a page fault for each 4 KiB.
    return {f"{key}_first_ms": 1000 * taken[0], f"{key}_ms": 1000 * median(taken[1:] or taken)}


def check(value, size: int, expected: int | None = None) -> None:
    """Reads what has come, so that a value that is only mapped is paid for like one that was copied."""
    sum_of_pages = works.read(value)
    assert len(value) == size and expected in (None, sum_of_pages)
