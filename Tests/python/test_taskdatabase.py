"""The SQLite file: written by our controller, read by ipyparallel's own database class, and the other way round."""

import contextlib
import logging
import signal
import sqlite3
from datetime import timezone

import ipyparallel as ipp
import pytest
from ipyparallel.controller.sqlitedb import SQLiteDB


class StockDatabase(SQLiteDB):
    """Since SQLite 3.37 answers TEXT for columns declared as text, the original takes even its own tables for strangers'."""

    def _check_table(self):
        return True


def stock_database(parts):
    profile = parts.security.parent
    database = StockDatabase(location=str(profile), log=logging.getLogger("test"))
    return database


def are_written(parts, ids) -> bool:
    """Whether the file has all of these tasks, and of the last also what it printed."""
    (file,) = parts.security.parent.glob("*.db")
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        (table,) = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = dict(database.execute(f'SELECT msg_id, stdout FROM "{table}" WHERE completed IS NOT NULL'))
    return set(ids) <= set(found) and bool(found[ids[-1]])


def run_tasks(client):
    """Tasks of every kind; their ids in order."""
    view = client.load_balanced_view()
    sent = [client[0].apply_async(lambda x: x * 2, bytes(100_000)), view.apply_async(lambda: 1 / 0), view.apply_async(lambda: "light")]
    sent.append(client[0].execute("print('printed')\n1 + 1", silent=False))
    for result in sent:
        result.wait(40)
    sent[-1].wait_for_output(40)
    return [result.msg_ids[0] for result in sent]


def test_stock_reads_what_we_write(parts, wait_until):
    controller = parts.start("ipcontroller", "--sqlitedb")
    parts.start("ipengine", of="stock")
    client = parts.client(1)
    ids = run_tasks(client)
    wait_until(lambda: not client.result_status(ids, status_only=True)["pending"])
    controller.send_signal(signal.SIGTERM)
    assert controller.wait(40) == 0

    database = stock_database(parts)
    try:
        assert [id for id in database.get_history() if id in ids] == ids
        records = [database.get_record(id) for id in ids]
        for id, record in zip(ids, records):
            assert record["msg_id"] == record["header"]["msg_id"] == id
            assert record["submitted"].tzinfo is not None
            assert record["submitted"] <= record["completed"]
            assert record["submitted"].astimezone(timezone.utc) == record["header"]["date"].astimezone(timezone.utc)
            assert record["engine_uuid"] == record["result_metadata"]["engine"]
            assert record["client_uuid"] == client.session.session
            assert record["received"] is not None
        assert [record["queue"] for record in records] == ["mux", "task", "task", "mux"]
        assert [record["result_content"]["status"] for record in records] == ["ok", "error", "ok", "ok"]
        assert sum(len(buffer) for buffer in records[0]["buffers"]) > 100_000
        assert ipp.serialize.deserialize_object(records[2]["result_buffers"])[0] == "light"
        assert records[3]["stdout"] == "printed\n"
        assert '"2"' in records[3]["execute_result"]
        assert [record["msg_id"] for record in database.find_records({"queue": "task", "msg_id": {"$in": ids}})] == ids[1:3]
    finally:
        database._db.close()


@pytest.mark.parametrize("writer", ["apus", "stock"])
def test_we_answer_from_the_file_of_a_former_controller(parts, wait_until, writer):
    controller = parts.start("ipcontroller", "--sqlitedb", of=writer)
    engine = parts.start("ipengine", of="stock")
    client = parts.client(1)
    ids = run_tasks(client)
    wait_until(lambda: not client.result_status(ids, status_only=True)["pending"])
    if writer == "stock":
        # It writes every two seconds, and not when it ends.
        wait_until(lambda: are_written(parts, ids))
    client.shutdown(hub=True)
    for process in [engine, controller]:
        process.wait(40)

    parts.start("ipcontroller", "--sqlitedb")
    client = parts.client(0)
    assert [id for id in client.hub_history() if id in ids] == ids
    assert client.get_result(ids[0], block=True).get(40) == bytes(200_000)
    with pytest.raises(ipp.error.RemoteError, match="ZeroDivisionError"):
        client.get_result(ids[1], block=True).get(40)
    assert client.get_result(ids[2], block=True).get(40) == "light"
    assert client.db_query({"msg_id": ids[3]}, keys=["stdout"]) == [{"msg_id": ids[3], "stdout": "printed\n"}]
    found = client.db_query({"submitted": {"$gt": client.db_query({"msg_id": ids[0]})[0]["submitted"]}})
    assert [record["msg_id"] for record in found if record["msg_id"] in ids] == ids[1:]
    client.purge_hub_results(ids[:2])
    assert [id for id in client.hub_history() if id in ids] == ids[2:]
    client.purge_hub_results("all")
    assert client.hub_history() == []


def test_queries_mean_what_they_say(parts, wait_until):
    """What ipyparallel's in-memory database gets wrong."""
    parts.start("ipcontroller", "--dictdb")
    parts.start("ipengine", of="stock")
    client = parts.client(1)
    ids = run_tasks(client)
    wait_until(lambda: not client.result_status(ids, status_only=True)["pending"])
    engine = client.db_query({"msg_id": ids[0]})[0]["engine_uuid"]

    def find(**query):
        return [record["msg_id"] for record in client.db_query(query, keys=["label"]) if record["msg_id"] in ids]

    assert find(queue="mux", engine_uuid=engine) == [ids[0], ids[3]]
    assert find(msg_id={"$gt": ids[0], "$lt": ids[3]}, queue="task") == ids[1:3]
    with pytest.raises(ipp.error.RemoteError, match=r"no operator '\$like'"):
        client.db_query({"msg_id": {"$like": "x"}})
    with pytest.raises(ipp.error.RemoteError, match="no field 'nobody'"):
        client.db_query({"nobody": 1})
