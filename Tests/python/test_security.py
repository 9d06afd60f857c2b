"""Somebody without the key, on the same host: reads nothing, displaces nobody, runs nothing (docs/security.md)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import zmq

ATTACKER = Path(__file__).with_name("attacker.py")
NOBODY = 65534
MARK = "a secret that was printed"


def side(cluster, name: str) -> dict:
    return json.loads(cluster.connection_file.with_name(f"ipcontroller-{name}.json").read_text())


def ports(cluster) -> list[int]:
    found = []
    for name in ("client", "engine"):
        info = side(cluster, name)
        for key in ("registration", "control", "mux", "task", "iopub", "notification", "hb_ping", "hb_pong"):
            if key in info:
                found.append(info[key])
        broadcast = info["broadcast"]
        found += broadcast if isinstance(broadcast, list) else [broadcast]
    return sorted(set(found))


def captured(client, path: str) -> list[list[str]]:
    """Messages as a spy may have them from the time before: genuinely signed, other buffers behind them."""
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (path, "w"))

    session = client.session
    messages = []
    for msg_type in ("apply_request", "execute_request"):
        content = {"code": f"open({path!r}, 'w')", "silent": False} if msg_type == "execute_request" else {}
        frames = session.serialize(session.msg(msg_type, content=content, metadata={"targets": []}))
        messages.append([*frames, pickle.dumps(Evil()), pickle.dumps(()), b""])
    # As if another key had signed the second.
    messages[1][1] = b"0" * 64
    return [[base64.b64encode(frame).decode() for frame in frames] for frames in messages]


def try_everything(cluster, client, user: int | None, curve: dict | None, replayed: bool) -> dict:
    """Runs the attacker while the cluster works; gives what it got."""
    scratch = Path(tempfile.mkdtemp(prefix="apus-attack-"))
    scratch.chmod(0o777)
    evidence, done = scratch / "ran", scratch / "done"
    info = side(cluster, "client")
    known = {
        "user": user, "ports": ports(cluster), "identities": [client._engines[id] for id in client.ids], "seconds": 60,
        "captured": captured(client, str(evidence)) if replayed else [], "curve": curve, "done": str(done),
        "files": [str(path) for path in cluster.connection_file.parent.iterdir()], "directory": info.get("local_directory"),
    }
    source = ATTACKER.read_bytes()
    attacker = subprocess.Popen(
        [sys.executable, "-c", source.decode()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
        text=True)
    try:
        attacker.stdin.write(json.dumps(known))
        attacker.stdin.close()
        assert attacker.stdout.readline() == "ready\n", attacker.stderr.read()
        # What is worth reading and taking: direct, balanced and broadcast tasks, output, heartbeats.
        view, balanced = client[:], client.load_balanced_view()
        for _ in range(20):
            assert view.apply_sync(lambda: 7) == [7] * len(client.ids)
            assert balanced.map_sync(lambda x: x + 1, range(10)) == list(range(1, 11))
            assert client.broadcast_view().apply_sync(lambda: 8) == [8] * len(client.ids)
        result = view.execute(f"print({MARK!r})", silent=False)
        result.get(40)
        result.wait_for_output(40)
        assert MARK in result.stdout[0]
        assert client.queue_status()["unassigned"] == 0
        done.touch()
        line = attacker.stdout.readline()
        assert line, attacker.stderr.read()
        got = json.loads(line)
        got["ran"] = evidence.exists()
        return got
    finally:
        attacker.kill()
        attacker.wait()
        shutil.rmtree(scratch, ignore_errors=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "not encrypted"])
@needs_root
def test_another_user_gets_nothing(start_cluster, encrypted):
    cluster = start_cluster(arguments=[] if encrypted else ["--", "--IPController.enable_curve=False"])
    client = cluster.client()
    got = try_everything(cluster, client, NOBODY, None, replayed=True)
    assert got == {"read": [], "files": [], "directory": [], "ran": False}
    # And the engines are whom they were.
    assert client[:].apply_sync(os.getpid) == client[:].apply_sync(os.getpid)


def test_without_the_server_key_nothing_is_read(start_cluster):
    """Encrypted, the same user and a key pair of its own: without the controller's public key there is no conversation."""
    cluster = start_cluster()
    client = cluster.client()
    public, secret = (key.decode() for key in zmq.curve_keypair())
    stranger = {"own": [public, secret], "server": zmq.curve_keypair()[0].decode()}
    for curve in (None, stranger):
        got = try_everything(cluster, client, None, curve, replayed=True)
        assert got["read"] == [] and not got["ran"]


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "not encrypted"])
def test_files_are_the_owners_alone(start_cluster, encrypted):
    cluster = start_cluster(arguments=["--", "--reuse", *([] if encrypted else ["--IPController.enable_curve=False"])])
    cluster.client()
    security = cluster.connection_file.parent
    assert stat.S_IMODE(security.stat().st_mode) == 0o700
    for path in [*security.iterdir(), *security.parent.glob("log/engines*.json")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    info = side(cluster, "client")
    assert bool(info["curve_serverkey"]) == encrypted and info["key"]
    assert stat.S_IMODE(os.stat(info["local_directory"]).st_mode) == 0o700


def controller(run, *arguments: str):
    return run("ipcontroller", *arguments, timeout=40)


def test_weak_settings_are_refused(run, tmp_path):
    for arguments, word in [
        (["--IPController.enable_curve=False", "--ip=0.0.0.0"], "--insecure"),
        (["--no-secure"], "--insecure"),
        (["--Session.key="], "--insecure"),
        (["--keyfile=/dev/null"], "empty"),
    ]:
        result = controller(run, *arguments)
        assert result.returncode == 1 and word in result.stderr, (arguments, result)


def test_a_second_controller_of_a_profile_is_refused(parts, run, wait_until):
    first = parts.start("ipcontroller")
    files = [parts.security / f"ipcontroller-{name}.json" for name in ("client", "engine")]
    wait_until(lambda: all(file.exists() for file in files))
    before = [file.read_text() for file in files]
    second = parts.start("ipcontroller")
    assert second.wait(40) == 10
    assert str(first.pid) in parts.log(second)
    assert [file.read_text() for file in files] == before
    parts.start("ipcontroller", "--cluster-id=other")
    wait_until(lambda: (parts.security / "ipcontroller-other-client.json").exists())
    # Files that are not its own any more stay where they are.
    files[0].write_text(before[0].replace("leastload", "lru"))
    first.send_signal(signal.SIGTERM)
    assert first.wait(40) == 0
    assert files[0].exists() and not files[1].exists()


def test_a_folder_that_others_could_read_is_closed(parts, wait_until):
    parts.security.mkdir(parents=True)
    parts.security.chmod(0o777)
    parts.start("ipcontroller")
    wait_until(lambda: (parts.security / "ipcontroller-client.json").exists())
    assert stat.S_IMODE(parts.security.stat().st_mode) == 0o700


def test_a_killed_controllers_sockets_are_removed_by_the_next(parts, wait_until):
    file = parts.security / "ipcontroller-client.json"
    first = parts.start("ipcontroller")
    wait_until(file.exists)
    directory = Path(json.loads(file.read_text())["local_directory"])
    first.kill()
    first.wait()
    assert directory.exists()
    # One that is young may be in the making.
    os.utime(directory, (1, 1))
    text = file.read_text()
    parts.start("ipcontroller")
    wait_until(lambda: file.read_text() != text)
    assert not directory.exists()


@needs_root
def test_idle_connections_leave_room(start_cluster):
    """Another user opens connections without end: new clients come in, and the controller's processor rests."""
    import resource
    import socket

    cluster = start_cluster(n=1)
    cluster.client()
    (pid,) = [process.pid for process in cluster.processes() if process.role == "controller"]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (700, 700))
    port = side(cluster, "client")["registration"]
    pipe, told = os.pipe(), False
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            ends: list = [None] * 1200
            while True:
                for index, end in enumerate(ends):
                    if end is not None:
                        try:
                            if end.recv(64):
                                continue
                        except BlockingIOError:
                            continue
                        except OSError:
                            pass
                        end.close()
                    ends[index] = end = socket.socket()
                    end.setblocking(False)
                    end.connect_ex(("127.0.0.1", port))
                if not told:
                    told = True
                    os.write(pipe[1], b"x")
                time.sleep(0.05)
        finally:
            os._exit(0)
    try:
        assert os.read(pipe[0], 1) == b"x"

        def ticks() -> int:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        other = cluster.client()
        assert other[:].apply_sync(lambda: 5) == [5]
        before, began = ticks(), time.monotonic()
        while time.monotonic() - began < 1:
            other[:].apply_sync(lambda: 5)
            time.sleep(0.05)
        # A listener that cannot accept would keep one thread busy all the time.
        assert ticks() - before < 0.6 * os.sysconf("SC_CLK_TCK")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
