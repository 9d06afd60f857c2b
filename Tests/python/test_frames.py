"""Frames that no peer of ours would send, on each socket of a running cluster: nothing changes and nothing breaks."""

import json
import os
import time

import pytest
import zmq

DELIMITER = b"<IDS|MSG>"
PORTS = ["registration", "mux", "task", "control", "broadcast"]


def request(session, msg_type: str, content: dict | None = None, metadata: dict | None = None) -> list[bytes]:
    """A signed message as its frames, without identities."""
    return session.serialize(session.msg(msg_type, content=content or {}, metadata=metadata or {}))


def strange(session) -> dict[str, list[bytes]]:
    """Each kind of damage by its name."""
    good = request(session, "apply_request", metadata={"targets": [], "is_coalescing": False})
    deep = b"[" * 100_000 + b"]" * 100_000
    signed_nonsense = [b"nonsense", b"{}", b"{}", b"{}"]
    signed_list = [b"[]", b"[]", b"[]", b"[]"]
    signed_deep = [deep, b"{}", deep, b"{}"]
    invalid_text = [b'{"msg_id": "\xff\xfe"}', b"{}", b"{}", b"{}"]
    huge_number = [b'{"msg_id": 1e999, "msg_type": 7}', b"{}", b'{"targets": -1, "retries": 1e400}', b"{}"]

    def signed(parts: list[bytes]) -> list[bytes]:
        return [DELIMITER, session.sign(parts), *parts]

    return {
        "empty": [b""],
        "many empty frames": [b""] * 500,
        "only a delimiter": [DELIMITER],
        "two delimiters": [DELIMITER, DELIMITER],
        "no delimiter": [b"a", b"b", b"c", b"d", b"e", b"f"],
        "truncated": good[:4],
        "without a signature": [good[0], b"", *good[2:]],
        "wrongly signed": [good[0], b"0" * 64, *good[2:]],
        "changed after signing": [*good[:2], good[2].replace(b"apply", b"reply"), *good[3:]],
        "a signature that is too long": [good[0], b"f" * 1_000_000, *good[2:]],
        "no JSON": signed(signed_nonsense),
        "lists for dictionaries": signed(signed_list),
        "a hundred thousand brackets": signed(signed_deep),
        "no UTF-8": signed(invalid_text),
        "numbers out of range": signed(huge_number),
        "an unknown type": request(session, "no_such_request"),
        "ten megabytes of nothing": [DELIMITER, bytes(10_000_000)],
        "addressed to nobody": [b"no-such-engine", *good],
    }


@pytest.fixture(scope="module")
def peer(cluster):
    """Sends frames to a port of the cluster and gives what comes back at once."""
    context = zmq.Context()
    info = json.loads(cluster.connection_file.read_text())
    own = zmq.curve_keypair()

    def send(
        port: str, *messages: list[bytes], wait: float = 0.0, engine_side: bool = False, is_answered: bool = False,
    ) -> list[list[bytes]]:
        known = info
        if engine_side:
            known = json.loads(cluster.connection_file.with_name("ipcontroller-engine.json").read_text())
        number = known[port][0] if isinstance(known[port], list) else known[port]
        socket = context.socket(zmq.PUB if port == "iopub" else zmq.DEALER)
        socket.linger = 2000
        socket.curve_publickey, socket.curve_secretkey = own
        socket.curve_serverkey = known["curve_serverkey"].encode()
        socket.connect(f"tcp://127.0.0.1:{number}")
        if port == "iopub":
            time.sleep(0.2)
        for message in messages:
            socket.send_multipart(message)
        answers = []
        # The first takes what it takes; whether there are more is seen when none comes for a while.
        while port != "iopub" and socket.poll(1000 * (40 if is_answered and not answers else wait)):
            answers.append(socket.recv_multipart())
        socket.close()
        return answers

    yield send
    context.term()


@pytest.fixture
def unchanged(cluster, client):
    """The case must leave the same processes, the same engines and a cluster that works."""
    before = [process.pid for process in cluster.processes()]
    pids = client[:].apply_sync(os.getpid)
    yield
    time.sleep(0.2)
    assert [process.pid for process in cluster.processes()] == before
    assert client.ids == [0, 1]
    assert client[:].apply_sync(os.getpid) == pids
    assert client.load_balanced_view().map_sync(lambda x: -x, range(10)) == [-x for x in range(10)]
    with cluster.client() as other:
        assert other.ids == [0, 1]


@pytest.mark.parametrize("port", PORTS)
def test_damaged_frames_from_a_client(peer, client, unchanged, port):
    for message in strange(client.session).values():
        peer(port, message, wait=0.01)


@pytest.mark.parametrize("port", ["registration", "mux", "task", "control", "broadcast", "iopub", "hb_pong"])
def test_damaged_frames_from_an_engine(peer, client, unchanged, port):
    for message in strange(client.session).values():
        peer(port, message, wait=0.01, engine_side=True)


def test_a_replayed_request_is_answered_once(peer, client, unchanged):
    message = request(client.session, "connection_request")
    assert len(peer("registration", message, message, message, wait=1, is_answered=True)) == 1


def test_an_unsigned_request_is_not_answered(peer, client, unchanged):
    message = request(client.session, "connection_request")
    message[1] = b""
    assert peer("registration", message, wait=0.5) == []


def test_an_unsigned_task_does_not_run(peer, client, unchanged, tmp_path):
    session = client.session
    flag = tmp_path / "ran"
    identity = client._engines[0].encode()
    message = request(session, "execute_request", {"code": f"open({str(flag)!r}, 'w')", "silent": True})
    message[1] = b"0" * 64
    peer("mux", [identity, *message], wait=0.5)
    assert not flag.exists()


def test_bad_frames_are_logged_within_limits(cluster, peer, client, unchanged):
    before = cluster.log.stat().st_size
    message = request(client.session, "connection_request")
    peer("registration", *[[message[0], b"0" * 64, *message[2:]]] * 5000, wait=0.5)
    assert cluster.log.stat().st_size - before < 50_000
