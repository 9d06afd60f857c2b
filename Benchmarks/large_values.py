"""Push, pull, scatter and gather of a large value through ``apus._core``, on a cluster of its own.

Without the Python client around it, so what is measured is the way of the bytes: through the client's loop, the controller and the engines.
Beside each time stands the CPU time that all processes of the cluster and this one spent on it, which says more on a machine that does
other things too; and after a push, what the engines hold in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts" / "lib"))

from core_client import BROADCAST, COALESCING, DIRECT, CoreClient, function  # noqa: E402
from temporary_cluster import TemporaryCluster  # noqa: E402

GIVE = """
def give(start, count):
    import builtins, pickle
    return pickle.PickleBuffer(memoryview(builtins.apus_benchmark)[start:start + count])
"""
KEEP = """
def keep(value):
    import builtins
    builtins.apus_benchmark = value
    return len(value)
"""


def cpu(pids: list[int]) -> float:
    """Seconds that these processes have computed, in ticks of the system."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def pss(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) << 10
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefix", type=Path, help="an installation of Apus")
    parser.add_argument("-n", "--engines", type=int, default=2)
    parser.add_argument("--size", type=int, default=100_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with TemporaryCluster(arguments.prefix / "bin", n=arguments.engines) as cluster:
        cluster.client()
        client = CoreClient(arguments.prefix, cluster.connection_file.read_text())
        ids = client.engines
        found = cluster.processes()
        everybody = [process.pid for process in found] + [os.getpid()]
        engines = [process.pid for process in found if process.role == "engine"]
        value = bytearray(os.urandom(1 << 20) * (arguments.size // (1 << 20) + 1))[: arguments.size]
        part = -(-arguments.size // len(ids))
        store, fetch = function(KEEP), function(GIVE)
        parts = [memoryview(value)[index * part:(index + 1) * part] for index in range(len(ids))]
        modes = {
            "push direct": [(DIRECT, ids, store, (pickle.PickleBuffer(value),))],
            "push broadcast": [(BROADCAST, ids, store, (pickle.PickleBuffer(value),))],
            "push coalescing": [(COALESCING, ids, store, (pickle.PickleBuffer(value),))],
            "pull from one": [(DIRECT, ids[:1], fetch, (0, arguments.size))],
            "gather": [(DIRECT, [id], fetch, (index * part, part)) for index, id in enumerate(ids)],
            "scatter": [(DIRECT, [id], store, (pickle.PickleBuffer(parts[index]),)) for index, id in enumerate(ids)],
        }
        report = {}
        for name, requests in modes.items():
            times, spent = [], []
            for _ in range(arguments.repeats):
                # What was pulled and pushed before is gone.
                before, began = cpu(everybody), time.perf_counter()
                results = client.run(requests)
                times.append(time.perf_counter() - began)
                spent.append(cpu(everybody) - before)
                if name.startswith(("pull", "gather")):
                    assert sum(len(buffer) for result in results for buffer in result[1:]) == arguments.size
                del results
            report[name] = {
                "seconds": round(statistics.median(times), 4), "best": round(min(times), 4),
                "cpu": round(statistics.median(spent), 3)}
            if name == "push coalescing":
                report["engines' memory after a push, MB (PSS)"] = round(pss(engines) / 1e6, 1)
        client.close()
    if arguments.json:
        print(json.dumps(report, indent=1))
        return
    for name, row in report.items():
        print(f"{name:42}", row if not isinstance(row, dict) else "  ".join(f"{key} {number}" for key, number in row.items()))


if __name__ == "__main__":
    main()
