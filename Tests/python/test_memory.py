"""Memory that large messages took: kept for the next ones, given back after a while."""

import os

import pytest

SIZE = 100_000_000


def allocator():
    with open("/proc/self/maps") as maps:
        preloaded = "jemalloc" in maps.read()
    return preloaded, {name: os.environ.get(name) for name in ("LD_PRELOAD", "MALLOC_CONF", "APUS_PRELOADED")}


def resident(pid):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Rss:"))


def test_engines_do_not_pass_their_allocator_on(start_cluster):
    nothing = {"LD_PRELOAD": None, "MALLOC_CONF": None, "APUS_PRELOADED": None}
    with start_cluster(n=1).client() as client:
        assert client[0].apply_sync(allocator) == (True, nothing)
    with start_cluster(n=1, APUS_ENGINE_ALLOCATOR="system").client() as client:
        assert client[0].apply_sync(allocator) == (False, nothing)


@pytest.mark.parametrize("controller", [True, False])
def test_memory_of_large_messages_is_given_back(start_cluster, wait_until, controller):
    # A task database would keep what was pushed, for a resubmission.
    cluster = start_cluster(n=1, arguments=["--Cluster.controller_args=--nodb"])
    with cluster.client() as client:
        view = client[0]
        pid = view.apply_sync(os.getpid)
        if controller:
            pid = next(process.pid for process in cluster.processes() if process.role == "controller")
        else:
            view.push({"warm": os.urandom(1000)}, block=True)
        before = resident(pid)
        view.push({"big": os.urandom(SIZE)}, block=True)
        view.push({"big": 0}, block=True)
        assert resident(pid) > before + SIZE / 2, "nothing was kept: then this test says nothing"
        wait_until(lambda: resident(pid) < before + SIZE / 4, 60)
