"""Our parts and stock's on one cluster."""

import os
import signal

import ipyparallel as ipp
import pytest


@pytest.mark.parametrize(("controller", "engine"), [("apus", "stock"), ("stock", "apus"), ("apus", "apus")])
def test_any_controller_with_any_engine(parts, controller, engine):
    parts.start("ipcontroller", "--HeartMonitor.period=200", of=controller)
    parts.start("ipengine", of=engine)
    client = parts.client(1)
    assert client[:].map_sync(lambda x: x**2, range(5)) == [0, 1, 4, 9, 16]
    assert client.load_balanced_view().map_sync(lambda x: x**2, range(5)) == [0, 1, 4, 9, 16]
    client[0]["a"] = [1, 2]
    assert client[0]["a"] == [1, 2]
    client[0].execute("print(a)", silent=False, block=True).wait_for_output(40)
    with pytest.raises(ipp.error.RemoteError):
        client[0].apply_sync(lambda: {}["none"])
    client.clear(block=True)
    with pytest.raises(ipp.error.RemoteError):
        client[0]["a"]


def test_both_kinds_of_engines_on_one_controller(parts, wait_until):
    parts.start("ipcontroller", "--HeartMonitor.period=200")
    parts.start("ipengine", of="stock")
    parts.start("ipengine", of="apus")
    client = parts.client(2)
    assert client[:].apply_sync(lambda x: x * 2, 21) == [42, 42]
    assert client.broadcast_view().apply_sync(lambda x: x * 2, 21) == [42, 42]
    assert len(set(client[:].apply_sync(os.getpid))) == 2


def test_an_encrypted_cluster(parts):
    parts.start("ipcontroller", "--IPController.enable_curve=True")
    parts.start("ipengine")
    client = parts.client(1)
    # Signed as well.
    assert client.session.key
    assert client[:].map_sync(lambda x: x + 1, range(3)) == [1, 2, 3]


@pytest.mark.parametrize("scheme", ["leastload", "lru", "twobin", "weighted", "plainrandom", "pure"])
def test_every_schedule(parts, scheme):
    parts.start("ipcontroller", f"--scheme={scheme}", "--HeartMonitor.period=200")
    parts.start("ipengine")
    # With the pure scheme, a client that hears of engine 1 before engine 0 stops scheduling.
    parts.client(1)
    parts.start("ipengine")
    client = parts.client(2)
    assert client.load_balanced_view().map_sync(lambda x: x + 1, range(40)) == list(range(1, 41))


@pytest.mark.parametrize("database", ["--dictdb", "--sqlitedb", "--nodb"])
def test_every_database(parts, database):
    parts.start("ipcontroller", database)
    parts.start("ipengine")
    client = parts.client(1)
    msg_ids = client.load_balanced_view().map_async(lambda x: x + 1, range(3)).msg_ids
    assert client.wait(timeout=40)
    if database == "--nodb":
        with pytest.raises(ipp.error.RemoteError):
            client.hub_history()
        return
    kept = list(msg_ids)
    assert client.hub_history() == kept
    records = client.db_query({"msg_id": {"$in": kept}}, keys=["msg_id", "engine_uuid", "completed"])
    assert sorted(record["msg_id"] for record in records) == sorted(kept)
    assert all(record["completed"] for record in records)


def test_engines_come_back_to_a_restarted_controller(parts, wait_until):
    controller = parts.start("ipcontroller", "--reuse", "--HeartMonitor.period=200")
    parts.start("ipengine")
    first = parts.client(1)
    first[0]["kept"] = "still here"
    pid = first[0].apply_sync(os.getpid)
    first.close()
    controller.send_signal(signal.SIGTERM)
    assert controller.wait(40) == 0
    parts.start("ipcontroller", "--reuse", "--HeartMonitor.period=200")
    second = parts.client(1)
    assert second[second.ids[0]].apply_sync(os.getpid) == pid
    assert second[second.ids[0]]["kept"] == "still here"


def test_the_files_are_private_and_go(parts, wait_until):
    controller = parts.start("ipcontroller")
    names = ["ipcontroller-client.json", "ipcontroller-engine.json"]
    wait_until(lambda: all((parts.security / name).exists() for name in names))
    assert [(parts.security / name).stat().st_mode & 0o777 for name in names] == [0o600, 0o600]
    assert parts.security.stat().st_mode & 0o777 == 0o700
    controller.send_signal(signal.SIGTERM)
    assert controller.wait(40) == 0
    assert not any((parts.security / name).exists() for name in names)
