"""What tasks print and display, and their records."""

import io
import time
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime

import pytest

import apus as ipp


def talk(n):
    import sys

    for i in range(n):
        print("line", i)
    print("warned", file=sys.stderr)
    return n


def test_output_of_calls_is_complete(client):
    text = "".join(f"line {i}\n" for i in range(100))
    one = client.load_balanced_view().apply_async(talk, 100)
    both = client[:].apply_async(talk, 100)
    assert one.get(40) == 100 and both.get(40) == [100, 100]
    assert one.wait_for_output(40) and both.wait_for_output(40)
    assert (one.stdout, one.stderr) == (text, "warned\n")
    assert (both.stdout, both.stderr) == ([text] * 2, ["warned\n"] * 2)


def test_calls_that_print_nothing_are_complete_at_once(client, view):
    result = view.apply_async(abs, -1)
    result.get(40)
    assert result._output_ready and result.wait_for_output(0) and result.stdout == ""


def test_output_of_failing_calls(view):
    def fail():
        print("before")
        raise ValueError("no")

    result = view.apply_async(fail)
    with pytest.raises(ipp.RemoteError):
        result.get(40)
    assert result.wait_for_output(40) and result.stdout == "before\n" and result.error.ename == "ValueError"


def test_carriage_returns(client):
    result = client[0].execute(r"print('10 %\r20 %\r30 %')", block=True)
    assert result.stdout == "30 %\n"


def test_records(client, gate):
    result = client[0].apply_async(gate.wait)
    assert result.completed is None and result.engine_id == 0 and result.status is None
    time.sleep(0.05)
    gate.open()
    result.get(40)
    record = result.metadata
    assert record.status == "ok" and record.engine_uuid == client._engines[0] and record.msg_id == result.msg_ids[0]
    dates = [record[key] for key in ("submitted", "started", "completed", "received")]
    assert all(isinstance(date, datetime) and date.tzinfo for date in dates) and dates == sorted(dates)
    assert 0 < result.serial_time < 60 and result.wall_time >= 0.05
    with pytest.raises(KeyError):
        record["nothing"] = 1
    with pytest.raises(AttributeError):
        record.nothing
    assert "stdout" in dir(result)


def test_a_record_that_somebody_holds_is_kept_up_to_date(client):
    result = client[0].execute("print('a')")
    record = result.metadata
    result.get(40)
    result.wait_for_output(40)
    assert record["status"] == "ok" and record["stdout"] == "a\n"


def test_labels(client):
    view = client.load_balanced_view()
    with view.temp_flags(label="mine"):
        result = view.apply_async(abs, -1)
        mapped = view.map_async(abs, range(200))
    result.get(40)
    mapped.get(40)
    assert result.label == "mine" and set(mapped.label) == {"mine"}
    assert client[0].set_flags(label="direct").apply_async(abs, -1).label == "direct"
    found = client.db_query({"label": "mine"}, keys=["label"])
    assert result.msg_ids[0] in {record["msg_id"] for record in found}


def test_live_output(client, gate):
    """It is shown before the task has ended."""
    code = f"import os, time\nfor i in range(4):\n    print(i, flush=True)\nwhile not os.path.exists({gate.path!r}): time.sleep(0.01)"
    result = client[:].execute(code)
    out = io.StringIO()
    with redirect_stdout(out), result.stream_output():
        client._dispatcher.wait_until(lambda: "[stdout:0]" in out.getvalue() and "[stdout:1]" in out.getvalue(), 40)
        assert not result.ready()
        gate.open()
        result.get(40)
        result.wait_for_output(40)
    lines = out.getvalue().split()
    assert sorted(line for line in lines if line.isdecimal()) == sorted("0123" * 2)


def test_display_outputs(client):
    result = client[:].execute("import sys\nprint('out')\nprint('err', file=sys.stderr)", block=True)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        result.display_outputs()
        result.display_outputs("engine")
    assert out.getvalue().count("out\n") == 4 and "[stdout:1]" in out.getvalue()
    assert err.getvalue().count("err\n") == 4
    with pytest.raises(ValueError):
        result.display_outputs("nothing")


def test_published_data(client):
    result = client[0].execute("from ipyparallel.datapub import publish_data\nfor i in range(3): publish_data({'i': i})", block=True)
    assert result.data == {"i": 2}


def test_other_client_s_results(client, connect_client):
    """Through the hub: with our own codec, and with arrays."""
    numpy = pytest.importorskip("numpy")
    results = [client.load_balanced_view().apply_async(numpy.arange, n) for n in (5, 5000)]
    results.append(client[0].apply_async(lambda: {"a": 1}))
    for result in results:
        result.get(40)
    other = connect_client()
    ids = [msg_id for result in results for msg_id in result.msg_ids]
    found = other.get_result(ids)
    assert isinstance(found, ipp.AsyncHubResult)
    first, second, third = found.get(40)
    assert (first == numpy.arange(5)).all() and (second == numpy.arange(5000)).all() and third == {"a": 1}
    assert not other.results and found.engine_id[2] == 0
    # What this client has forgotten it asks for, too.
    assert client.get_result(ids[2]).get(40) == {"a": 1}
