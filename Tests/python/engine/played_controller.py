"""A controller played by the test: it says exactly what a case wants an engine to hear, and sees every frame that comes back."""

from __future__ import annotations

import hmac
import json
import os
import pickle
import subprocess
import sys
import time
import uuid
from hashlib import sha256
from pathlib import Path

import zmq

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts" / "lib"))

from ports import free_ports  # noqa: E402

DELIMITER = b"<IDS|MSG>"
#: Seconds that an engine has for whatever is waited for, on a machine that has much else to do.
PATIENCE = 40.0


def python_package() -> Path:
    """The directory that has the package `apus`: of the installation under test, or of the checkout."""
    prefix = os.environ.get("APUS_PREFIX")
    if prefix and (Path(prefix) / "lib/apus/python").is_dir():
        return Path(prefix) / "lib/apus/python"
    return Path(__file__).resolve().parents[3] / "python"


class Message(dict):
    """header, parent_header, metadata, content, buffers, idents; msg_type for short."""

    @property
    def msg_type(self) -> str:
        return self["header"]["msg_type"]


class PlayedController:
    """Binds an engine's sockets on loopback ports and speaks their protocol."""

    def __init__(self, directory: Path, key: str = "a-key", ports: dict | None = None) -> None:
        self.context = zmq.Context()
        self.key = key.encode()
        self.file = directory / "ipcontroller-engine.json"
        self.session = uuid.uuid4().hex
        self.counter = 0
        self.sockets = {}
        kinds = {
            "registration": zmq.ROUTER, "control": zmq.ROUTER, "mux": zmq.ROUTER, "task": zmq.ROUTER, "broadcast": zmq.ROUTER,
            "iopub": zmq.SUB, "hb_ping": zmq.PUB, "hb_pong": zmq.ROUTER,
        }  # fmt: skip
        for name, kind in kinds.items():
            socket = self.context.socket(kind)
            socket.linger = 0
            if kind == zmq.ROUTER and name in ("control", "mux", "task", "broadcast"):
                socket.identity = f"{name}_out".encode()
                socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            if kind == zmq.SUB:
                socket.subscribe(b"")
            self.sockets[name] = socket
        self.ports = ports or dict(zip(kinds, free_ports(len(kinds))))
        for name, socket in self.sockets.items():
            socket.bind(f"tcp://127.0.0.1:{self.ports[name]}")
        self.info = {
            "ssh": "", "interface": "tcp://127.0.0.1", "key": key, "curve_serverkey": None, "location": "localhost", "pack": "json",
            "unpack": "json", "signature_scheme": "hmac-sha256", **self.ports, "broadcast": [self.ports["broadcast"]],
        }  # fmt: skip
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(self.info))
        temporary.rename(self.file)
        self.outputs: list[Message] = []
        #: Requests that were answered, and those whose output has ended: either may be heard first.
        self.answered: set[str] = set()
        self.idle: set[str] = set()

    # -- frames

    def sign(self, parts: list[bytes]) -> bytes:
        return hmac.new(self.key, b"".join(parts), sha256).hexdigest().encode() if self.key else b""

    def frames(self, msg_type: str, content=None, metadata=None, parent=None, buffers=(), **header) -> list[bytes]:
        self.counter += 1
        head = {
            "msg_id": f"{self.session}_{self.counter}", "msg_type": msg_type, "username": "test", "session": self.session,
            "date": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1000 % 1000000:06d}Z", "version": "5.4", **header,
        }  # fmt: skip
        parts = [json.dumps(part).encode() for part in (head, parent or {}, metadata or {}, content or {})]
        return [DELIMITER, self.sign(parts), *parts, *buffers]

    def parse(self, frames: list[bytes]) -> Message:
        index = frames.index(DELIMITER)
        assert frames[index + 1] == self.sign(frames[index + 2 : index + 6])
        names = ("header", "parent_header", "metadata", "content")
        message = Message(zip(names, map(json.loads, frames[index + 2 : index + 6])))
        message.update(idents=frames[:index], buffers=frames[index + 6 :])
        return message

    def receive(self, name: str, timeout: float = PATIENCE) -> Message:
        assert self.sockets[name].poll(timeout * 1000), f"nothing came on {name} in {timeout} s"
        message = self.parse(self.sockets[name].recv_multipart())
        parent = message["parent_header"].get("msg_id")
        if name == "iopub":
            if message["content"].get("execution_state") == "idle":
                self.idle.add(parent)
        elif message.msg_type in ("apply_reply", "execute_reply") and message["content"].get("status") != "aborted":
            self.answered.add(parent)
        return message

    # -- an engine's life

    def register(self, id: int = 0, hb_period: int = 600_000, beats: bool = True) -> Message:
        """Answer the next registration request, and wait until the engine is reachable.

        Nobody pings after that: a period in which an engine would be missing that is longer than any test.
        """
        request = self.receive("registration")
        assert request.msg_type == "registration_request"
        self.engine = request["content"]["uuid"].encode()
        content = {"id": id, "status": "ok", "hb_period": hb_period, "connection_info": {}}
        self.sockets["registration"].send_multipart([self.engine, *self.frames("registration_reply", content)])
        if beats:
            self.beat(b"1.5")
        return request

    def beat(self, text: bytes, timeout: float = PATIENCE) -> None:
        """Ping until the engine answers with the same bytes."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.sockets["hb_ping"].send(text)
            # A socket subscribes only while its thread is in it.
            self.sockets["iopub"].poll(1)
            if self.sockets["hb_pong"].poll(50):
                assert self.sockets["hb_pong"].recv_multipart() == [self.engine, text]
                while self.sockets["hb_pong"].poll(60):
                    self.sockets["hb_pong"].recv_multipart()
                return
        raise AssertionError("the heart does not beat")

    def send(self, name: str, frames: list[bytes]) -> str:
        """Send to the engine as a client behind this scheduler. Returns the message's id."""
        self.sockets[name].send_multipart([self.engine, b"client", *frames])
        try:
            return json.loads(frames[2])["msg_id"]
        except (IndexError, KeyError, TypeError, ValueError):
            return ""

    def request(self, name: str, msg_type: str, content=None, timeout: float = PATIENCE, **more) -> Message:
        """Send and wait for the answer to this very message."""
        id = self.send(name, self.frames(msg_type, content, **more))
        deadline = time.monotonic() + timeout
        while True:
            reply = self.receive(name, max(0.01, deadline - time.monotonic()))
            if reply["parent_header"]["msg_id"] == id:
                assert reply["idents"] == [self.engine, b"client"]
                return reply

    def apply_buffers(self, function, *args, **kwargs) -> list[bytes]:
        """Importable functions only; what stock clients send is made by their own library in other cases."""
        infos = {"nargs": len(args), "narg_bufs": len(args), "kw_keys": sorted(kwargs)}
        values = [*args, *(kwargs[key] for key in sorted(kwargs))]
        return [pickle.dumps(function), pickle.dumps(infos), *(pickle.dumps(value) for value in values)]

    def apply(self, function, *args, socket: str = "mux", timeout: float = PATIENCE, metadata=None, **kwargs):
        """The value of a call in the engine; what it raised there comes as RuntimeError."""
        buffers = self.apply_buffers(function, *args, **kwargs)
        reply = self.request(socket, "apply_request", timeout=timeout, buffers=buffers, metadata=metadata)
        if reply["content"]["status"] != "ok":
            raise RuntimeError(f"{reply['content'].get('ename')}: {reply['content'].get('evalue')}")
        return pickle.loads(reply["buffers"][0])

    def execute(self, code: str, silent: bool = False, timeout: float = PATIENCE, **content) -> Message:
        return self.request("mux", "execute_request", {"code": code, "silent": silent, **content}, timeout=timeout)

    def output(self, kind: str, timeout: float = PATIENCE, parent: str | None = None) -> Message:
        """The next output of this type; others before it are kept in `outputs`."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.receive("iopub", max(0.01, deadline - time.monotonic()))
            self.outputs.append(message)
            if message.msg_type == kind and parent in (None, message["parent_header"].get("msg_id")):
                return message

    def drain(self, seconds: float = 0.3) -> list[Message]:
        """All outputs until those of every request that was answered have ended, and none comes for a while."""
        found = []
        deadline = time.monotonic() + PATIENCE
        while True:
            if self.sockets["iopub"].poll(seconds * 1000):
                found.append(self.receive("iopub"))
            elif self.answered <= self.idle:
                return found
            else:
                assert time.monotonic() < deadline, f"the output of {self.answered - self.idle} did not end"

    def close(self) -> None:
        for socket in self.sockets.values():
            socket.close(0)
        self.context.term()


def start_engine(controller_file: Path, *arguments: str, directory: Path, **environment: str) -> subprocess.Popen:
    """An engine of the package under test; its log is `engine.log` in the directory."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("IPP_")}
    variables.update(PYTHONPATH=str(python_package()), IPYTHONDIR=str(directory / "ipython"), **environment)
    with open(directory / "engine.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "apus.engine", f"--file={controller_file}", "--log-level=10", *arguments],
            env=variables, cwd=directory, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
