"""Measures one cluster through the stock client and prints the numbers as one JSON object.

``compare.py`` runs this once a round and side, each time in a process of its own, so that nothing one cluster leaves in a
client can weigh on the next.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts" / "lib"))

import ipyparallel  # noqa: E402, F401  the client's own import is the same on both sides and not part of the start
import processes  # noqa: E402
from temporary_cluster import TemporaryCluster  # noqa: E402


#: Of each kind of value.
PUSHES = 5


def nothing(*_):
    return None


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def start_to_first_result(cluster: TemporaryCluster) -> tuple[object, dict[str, float]]:
    """From the start of ``ipcluster`` to a result from each of the engines, the client's connection included."""
    client = cluster.client()
    ready = time.perf_counter() - cluster.started
    client[:].apply_sync(nothing)
    return client, {"start_ready_s": ready, "start_first_result_s": time.perf_counter() - cluster.started}


def idle_memory(cluster: TemporaryCluster) -> dict[str, float]:
    """Every process of the cluster, then the controller and the engines alone."""
    sizes = {}
    found = cluster.processes()
    sizes["processes"] = len(found)
    by_role: dict[str, dict[str, int]] = {}
    for process in found:
        size = processes.memory(process.pid)
        role = by_role.setdefault(process.role, {"count": 0, "pss": 0, "rss": 0})
        role["count"] += 1
        for name in ("pss", "rss"):
            role[name] += size[name]
    for name in ("pss", "rss"):
        sizes[f"memory_{name}_mb"] = sum(role[name] for role in by_role.values()) / 1e6
        sizes[f"memory_{name}_without_ipcluster_mb"] = sum(
            role[name] for key, role in by_role.items() if key != "cluster") / 1e6
    sizes["roles"] = by_role
    return sizes


def tasks_per_second(client, count: int) -> dict[str, float]:
    view = client.load_balanced_view()
    for task in [view.apply_async(nothing) for _ in range(50)]:
        task.get(60)
    began = time.perf_counter()
    tasks = [view.apply_async(nothing) for _ in range(count)]
    for task in tasks:
        task.get(300)
    single = count / (time.perf_counter() - began)
    began = time.perf_counter()
    view.map_sync(nothing, range(count))
    return {"tasks_per_s": single, "map_tasks_per_s": count / (time.perf_counter() - began)}


def round_trip(client, count: int) -> dict[str, float]:
    view = client[client.ids[0]]
    times = []
    for step in range(count + 20):
        began = time.perf_counter()
        view.apply_sync(nothing)
        if step >= 20:
            times.append(time.perf_counter() - began)
    return {"round_trip_ms": statistics.median(times) * 1000, "round_trip_p99_ms": percentile(times, 0.99) * 1000}


def push(client, size: int) -> dict[str, float]:
    import numpy

    view = client[:]
    view.execute("import numpy", block=True)
    result = {}
    for name, value in (("bytes", os.urandom(size)), ("array", numpy.random.default_rng(1).integers(0, 255, size, "uint8"))):
        times = []
        for _ in range(PUSHES):
            view.push({"big": 0}, block=True)
            began = time.perf_counter()
            view.push({"big": value}, block=True)
            times.append(time.perf_counter() - began)
        result |= {f"push_{name}_s": statistics.median(times), f"push_{name}_first_s": times[0]}
        assert view.apply_sync(len, ipyparallel.Reference("big")) == [size] * len(client.ids)
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--engines", type=int, default=2)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--round-trips", type=int, default=300)
    parser.add_argument("--push-bytes", type=int, default=100_000_000)
    arguments = parser.parse_args()
    numbers: dict[str, object] = {}
    with TemporaryCluster(arguments.bin, n=arguments.engines) as cluster:
        cluster.client()
        ready = time.perf_counter() - cluster.started
        # Before the first task, so that no engine has imported anything for a task's sake.
        time.sleep(0.5)
        numbers |= idle_memory(cluster)
        numbers["start_ready_s"] = ready
    with TemporaryCluster(arguments.bin, n=arguments.engines) as cluster:
        client, times = start_to_first_result(cluster)
        numbers |= times
        numbers |= round_trip(client, arguments.round_trips)
        numbers |= tasks_per_second(client, arguments.tasks)
        numbers |= push(client, arguments.push_bytes)
        began = time.perf_counter()
    numbers["stop_s"] = time.perf_counter() - began
    print(json.dumps(numbers))


if __name__ == "__main__":
    main()
