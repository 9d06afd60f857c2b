"""A client asks before its subscription to output has arrived, which comes by another connection: it hears the answer's output all the same."""

import threading
import time

import ipyparallel
import pytest
from proxy import Proxy

import apus

# So long the controller holds output for a stock client, and a client of ours holds requests, at most.
PATIENCE = {ipyparallel: 2.0, apus: 1.0}


@pytest.mark.parametrize("package", [ipyparallel, apus], ids=["ipyparallel", "apus"])
def test_output_of_the_first_request_is_heard(cluster, package, tmp_path):
    for _ in range(10):
        with Proxy(cluster.connection_file, tmp_path / "late.json", held=("iopub",)) as proxy:
            began = time.monotonic()
            with package.Client(str(tmp_path / "late.json")) as client:
                result = client[:].execute("print('printed'); 6 * 7", silent=False, block=False)
                if package is ipyparallel:
                    # Answered, and nothing of its output can have been heard.
                    result.wait(30)
                else:
                    # Held back, for less than the client's patience.
                    assert not result.wait(0.3)
                proxy.release()
                took = time.monotonic() - began
                result.get(30)
                if took > 0.8 * PATIENCE[package]:
                    # A machine with this much to do shows nothing: once more.
                    continue
                assert result.wait_for_output(30)
                assert [text.strip() for text in result.stdout] == ["printed", "printed"]
                assert [reply["data"]["text/plain"] for reply in result.execute_result] == ["42", "42"]
                return
    pytest.skip("the machine has too much to do")


def test_what_waits_for_a_listener_is_published_once(cluster, tmp_path):
    """To one that listened in time, and that sees all output there is, nothing comes twice."""
    with ipyparallel.Client(str(cluster.connection_file)) as first:
        first[:].execute("print('before')", silent=False, block=True)
        for _ in range(10):
            with Proxy(cluster.connection_file, tmp_path / "late.json", held=("iopub",)) as proxy:
                began = time.monotonic()
                with ipyparallel.Client(str(tmp_path / "late.json")) as late:
                    result = late[:].execute("for i in range(3): print(i)", silent=False, block=False)
                    other = first[:].execute("print('of the first')", silent=False, block=False)
                    result.wait(30)
                    assert other.wait_for_output(30)
                    assert [text.strip() for text in other.stdout] == ["of the first"] * 2
                    proxy.release()
                    if time.monotonic() - began > 0.8 * PATIENCE[ipyparallel]:
                        continue
                    assert result.wait_for_output(30)
                    assert result.stdout == ["0\n1\n2\n"] * 2
                    return
    pytest.skip("the machine has too much to do")


def test_what_was_asked_before_a_client_was_closed_is_done(cluster, tmp_path, wait_until):
    """Though it waited for the client's subscriptions."""
    flag = tmp_path / "flag"
    with Proxy(cluster.connection_file, tmp_path / "late.json", held=("iopub",)):
        with apus.Client(str(tmp_path / "late.json")) as client:
            client[0].execute(f"open({str(flag)!r}, 'w').close()", block=False)
        # What is on its way is lost with the proxy.
        wait_until(flag.exists)


def test_what_was_asked_goes_out_though_the_client_is_closed_at_once(cluster, tmp_path, wait_until):
    """Its connection for direct requests is not there yet."""
    flag = tmp_path / "flag"
    with Proxy(cluster.connection_file, tmp_path / "late.json", held=("mux",)) as proxy:
        client = apus.Client(str(tmp_path / "late.json"))
        client[0].execute(f"open({str(flag)!r}, 'w').close()", block=False)
        closing = threading.Thread(target=client.close)
        closing.start()
        proxy.release()
        closing.join()
        del client
        wait_until(flag.exists)
