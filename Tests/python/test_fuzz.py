"""Random messages on every port and on the local sockets: the cluster serves as before, no slot is lost, memory has a bound.

``APUS_FUZZ=1000000`` sends so many of them in each case (a tenth with the key); ``APUS_SEED`` repeats a run.
"""

from __future__ import annotations

import os
import random
import time

import fuzz
import pytest

COUNT = int(os.environ.get("APUS_FUZZ", "6000"))
SEED = int(os.environ.get("APUS_SEED", random.randrange(2**32)))
# What the controller and each engine may have gained afterwards, in bytes.
BOUND = 300 << 20


@pytest.mark.timeout(180 if COUNT < 100_000 else 3600)
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "not encrypted"])
@pytest.mark.parametrize("signed", [False, True], ids=["without the key", "with the key"])
def test_the_cluster_serves_as_before(start_cluster, encrypted, signed):
    cluster = start_cluster(arguments=[] if encrypted else ["--", "--IPController.enable_curve=False"])
    client = cluster.client()
    pids = client[:].apply_sync(os.getpid)
    view = client.load_balanced_view()
    assert view.map_sync(lambda x: -x, range(50)) == [-x for x in range(50)]
    watched = {process.pid: fuzz.memory(process.pid) for process in cluster.processes() if process.role in ("controller", "engine")}
    sent = fuzz.Fuzzer(cluster, SEED, [client._engines[id] for id in client.ids]).run(COUNT // 10 if signed else COUNT, signed)
    print(f"APUS_SEED={SEED}", sum(sent.values()), sent)
    assert sent.get(fuzz.LINES), f"APUS_SEED={SEED}: nothing was sent on the local lines"
    # Of messages with the key some are requests that run; those come first.
    other = cluster.client()
    assert other.ids == [0, 1], f"APUS_SEED={SEED}"
    assert other[:].apply_async(os.getpid).get(60) == pids, f"APUS_SEED={SEED}"
    # More at once than there are slots: each engine's is free.
    balanced = other.load_balanced_view()
    assert balanced.map_async(lambda x: x * 2, range(200)).get(60) == [x * 2 for x in range(200)], f"APUS_SEED={SEED}"
    assert other.broadcast_view().apply_async(lambda: 3).get(60) == [3, 3], f"APUS_SEED={SEED}"
    deadline = time.monotonic() + 60
    while (status := other.queue_status())["unassigned"] or any(status[id]["queue"] for id in other.ids):
        assert time.monotonic() < deadline, f"APUS_SEED={SEED}: {status}"
        time.sleep(0.02)
    # An engine may have run what was sent with the key until now.
    assert set(balanced.map_async(lambda _: __import__("time").sleep(0.2) or __import__("os").getpid(), range(4)).get(60)) == set(pids)
    for pid, before in watched.items():
        assert fuzz.memory(pid) - before < BOUND, f"APUS_SEED={SEED}"
