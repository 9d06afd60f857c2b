"""Local lines: what somebody of the same user tries there, and what shared memory is worth."""

import array
import contextlib
import fcntl
import json
import os
import pickle
import socket

import core_client
import pytest

SIZE = 100_000_000
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def lines(cluster) -> str:
    file = cluster.connection_file.with_name("ipcontroller-client.json")
    return json.loads(file.read_text())["local_directory"] + "/lines"


@contextlib.contextmanager
def connected(path: str):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.connect(path)
        line.settimeout(20)
        yield line


def packet(frames: list, shared: list[int]) -> bytes:
    """``frames``: bytes, or the size of the memory behind the next descriptor."""
    lengths = [frame | 1 << 63 if isinstance(frame, int) else len(frame) for frame in frames]
    head = len(frames).to_bytes(2, "little") + bytes([len(shared), 0])
    body = b"".join(length.to_bytes(8, "little") for length in lengths)
    return head + body + b"".join(frame for frame in frames if isinstance(frame, bytes))


def send(line: socket.socket, data: bytes, descriptors: list[int]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    line.sendmsg([data], rights)


def is_closed(line: socket.socket) -> bool:
    """Waits for the end."""
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


def memory(size: int, seals: int = SEALS) -> int:
    descriptor = os.memfd_create("attack", os.MFD_ALLOW_SEALING)
    os.truncate(descriptor, size)
    if seals:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def descriptors(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return [target for target in found if "memfd" in target]


def session_frames(client, msg_type: str, content: dict) -> list[bytes]:
    session = client.session
    return session.serialize(session.msg(msg_type, content=content))


def test_without_a_greeting_a_line_is_closed(cluster, client, wait_until):
    path = lines(cluster)
    controller = next(process.pid for process in cluster.processes() if process.role == "controller")
    held = len(descriptors(controller))
    good, bad = memory(1 << 20), memory(1 << 20, 0)
    request = session_frames(client, "apply_request", {})
    attempts = [
        (b"", []), (b"x", []), (packet([b"mux", *request], []), []), (packet([1 << 20], [good]), [good]),
        (packet([b"mux", 1 << 20], [good]), [good] * 40), (b"\0\0\1\0", [bad]), (b"\0\0\1\0", [good]), (b"\xff" * 90_000, [good] * 60),
    ]
    for data, given in attempts:
        with connected(path) as line:
            send(line, data or b"\0", given)
            assert is_closed(line), (data[:20], given)
    # Somebody who connects and says nothing is in nobody's way.
    with connected(path):
        assert client[:].apply_sync(os.getpid) == client[:].apply_sync(os.getpid)
    wait_until(lambda: len(descriptors(controller)) <= held)
    for descriptor in (good, bad):
        os.close(descriptor)


@pytest.mark.parametrize("trick", ["not sealed", "may shrink", "may be written", "shorter", "longer", "a file", "a pipe", "none"])
def test_memory_that_could_change_is_refused(cluster, client, wait_until, trick):
    """With the key, and a line of its own: the line ends, and everybody else goes on."""
    given = {
        "not sealed": lambda: memory(1 << 20, 0), "may shrink": lambda: memory(1 << 20, SEALS & ~fcntl.F_SEAL_SHRINK),
        "may be written": lambda: memory(1 << 20, SEALS & ~fcntl.F_SEAL_WRITE), "shorter": lambda: memory((1 << 20) - 1),
        "longer": lambda: memory((1 << 20) + 1), "a file": lambda: os.open("/proc/self/exe", os.O_RDONLY),
        "a pipe": lambda: os.pipe()[0], "none": lambda: None,
    }[trick]()
    controller = next(process.pid for process in cluster.processes() if process.role == "controller")
    held = len(descriptors(controller))
    name = "apus-client-" + os.urandom(16).hex()
    with connected(lines(cluster)) as line:
        send(line, packet(session_frames(client, "local_connection", {"client": name, "lane": "requests"}), []), [])
        assert b"local_connection_reply" in line.recv(10_000)
        target = client._engines[client.ids[0]].encode()
        request = session_frames(client, "apply_request", {})
        shared = [] if given is None else [given]
        send(line, packet([b"mux", target, *request, 1 << 20], shared), shared)
        assert is_closed(line)
    assert client[:].apply_sync(os.getpid) == client[:].apply_sync(os.getpid)
    wait_until(lambda: len(descriptors(controller)) <= held)


def pss(pids) -> int:
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as text:
            total += next(int(line.split()[1]) << 10 for line in text if line.startswith("Pss:"))
    return total


SUM = """
def keep(value):
    import builtins
    builtins.apus_value = value
    return sum(memoryview(value)[::1 << 12])
"""
CHANGE = """
def change(index, by):
    import builtins
    view = memoryview(builtins.apus_value)
    view[index] = (view[index] + by) % 256
    return view[index]
"""


@pytest.mark.parametrize("route", [core_client.DIRECT, core_client.BROADCAST], ids=["direct", "broadcast"])
def test_engines_of_a_host_hold_one_copy(start_cluster, bin_dir, route):
    """Eight engines that have read all of what was pushed to them hold it once; what they write is their own."""
    count = 8
    cluster = start_cluster(n=count, arguments=["--Cluster.controller_args=--nodb"])
    with cluster.client():
        engines = [process.pid for process in cluster.processes() if process.role == "engine"]
    assert len(engines) == count
    client = core_client.CoreClient(bin_dir.parent, cluster.connection_file.read_text())
    keep, change = core_client.function(SUM), core_client.function(CHANGE)

    def push(value) -> list:
        return client.results([(route, client.engines, keep, (pickle.PickleBuffer(value),))])

    push(bytearray(10_000))
    before = pss(engines)
    value = bytearray(os.urandom(SIZE))
    assert push(value) == [sum(value[:: 1 << 12])] * count
    held = pss(engines) - before
    assert held < 1.5 * SIZE, f"{held / 1e6:.0f} MB"
    # Each writes the same byte: nobody sees what the others wrote.
    changed = client.results([(core_client.DIRECT, [id], change, (5, id + 1)) for id in client.engines])
    assert changed == [(value[5] + id + 1) % 256 for id in client.engines]
    client.close()


def test_results_are_shared_and_given_back(start_cluster, bin_dir, wait_until):
    cluster = start_cluster(n=2, arguments=["--Cluster.controller_args=--nodb"])
    with cluster.client():
        pids = [process.pid for process in cluster.processes() if process.role in ("engine", "controller")]
    client = core_client.CoreClient(bin_dir.parent, cluster.connection_file.read_text())
    give = core_client.function("def give(count):\n    import pickle\n    return pickle.PickleBuffer(bytearray(b'x') * count)\n")
    for _ in range(20):
        for result in client.results([(core_client.DIRECT, client.engines, give, (SIZE // 10,))]):
            assert len(result) == SIZE // 10 and bytes(result[-3:]) == b"xxx"
    client.close()
    for pid in [*pids, os.getpid()]:
        wait_until(lambda pid=pid: len([target for target in descriptors(pid) if "memfd:apus" in target]) <= 2)
