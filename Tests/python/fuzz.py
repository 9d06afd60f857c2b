"""Absurd messages for a running cluster, without the key and with it, on every port and on the local sockets.

``Fuzzer(cluster, seed).run(count, signed=False)`` sends so many and says how many of each kind. The same seed sends the same messages.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import random
import socket
import struct
import uuid
from hashlib import sha256
from pathlib import Path

import zmq

DELIMITER = b"<IDS|MSG>"
BATCH = b"<APUS|BATCH>"
REPEATED = 0xFFFFFFFF
SCOPES = [f"apus batch {hop}".encode() for hop in ("client scheduler", "scheduler engine", "engine scheduler", "scheduler client")]
TYPES = [
    "apply_request", "execute_request", "apply_reply", "execute_reply", "abort_request", "clear_request", "signal_request",
    "registration_request", "unregistration_request", "connection_request", "queue_request", "result_request", "purge_request",
    "load_request", "resubmit_request", "history_request", "db_request", "heartbeat_request", "comm_open", "comm_msg",
    "apus_events_request", "apus_explain_request",
    "complete_request", "kernel_info_request", "is_complete_request", "inspect_request", "foo", "", "local_connection", "status", "stream",
]
# Requests that would end what is to be found alive afterwards.
DEADLY = {"shutdown_request", "unregistration_request", "registration_request", "signal_request", "interrupt_request", "status"}


#: What the count of messages on the local lines is called.
LINES = "local lines"


class Fuzzer:
    def __init__(self, cluster, seed: int, engines: list[str]):
        self.random = random.Random(seed)
        self.engines = [engine.encode() for engine in engines]
        self.context = zmq.Context()
        self.directory = cluster.connection_file.parent
        self.sides = {name: json.loads((self.directory / f"ipcontroller-{name}.json").read_text()) for name in ("client", "engine")}
        self.local = self.sides["client"].get("local_directory")
        self.key = self.sides["client"]["key"].encode()
        self.own = zmq.curve_keypair()
        self.used: list[bytes] = []

    # Where to

    def ports(self) -> list[tuple[str, str, int]]:
        """Side, channel and number of every port."""
        found = []
        for name, side in self.sides.items():
            for channel in ("registration", "control", "mux", "task", "iopub", "notification", "broadcast", "hb_ping", "hb_pong"):
                value = side.get(channel)
                found += [(name, channel, number) for number in (value if isinstance(value, list) else [value]) if number]
        return found

    def connect(self, kind: int, port: int, local: bool, identity: bytes | None = None) -> zmq.Socket:
        end = self.context.socket(kind)
        end.linger = 1000
        end.sndhwm = 1000
        end.sndtimeo = 200
        if identity:
            end.identity = identity
        if local:
            end.connect(f"ipc://{self.local}/{port}")
        else:
            if server := self.sides["client"]["curve_serverkey"]:
                end.curve_publickey, end.curve_secretkey = self.own
                end.curve_serverkey = server.encode()
            end.connect(f"tcp://127.0.0.1:{port}")
        return end

    # What

    def noise(self, most: int = 60) -> bytes:
        return self.random.randbytes(self.random.randrange(most))

    def value(self, depth: int = 0):
        choice = self.random.randrange(12 if depth < 3 else 8)
        if choice == 0:
            return None
        if choice == 1:
            return self.random.choice([True, False])
        if choice == 2:
            return self.random.choice([0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 3])
        if choice == 3:
            return self.random.choice([0.0, -0.5, 1e308, 1e-320, 1e10, 0.01])
        if choice in (4, 5):
            return self.random.choice(["", "ok", "error", "x" * 300, "\x1b[31m\n", "é\u2028", "msg", *map(bytes.decode, self.engines)])
        if choice in (6, 7):
            return f"{uuid.UUID(int=self.random.getrandbits(128))}"
        if choice in (8, 9):
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {self.word(): self.value(depth + 1) for _ in range(self.random.randrange(4))}

    def word(self) -> str:
        return self.random.choice([
            "targets", "after", "follow", "retries", "timeout", "status", "dependencies_met", "is_coalescing", "is_broadcast",
            "original_msg_id", "msg_ids", "engine_ids", "queue", "query", "keys", "content", "code", "silent", "uuid", "id", "sig",
            "codec", "label", "msg_id", "session", "interrupt", "batches", "verbose", "statusonly", "since",
            "log", "filter", "limit", "wait", "task", "tasks", "engine", "kinds", "client", "", "x",
        ])

    def dictionary(self) -> bytes:
        choice = self.random.randrange(10)
        if choice == 0:
            return self.noise()
        if choice == 1:
            return json.dumps(self.value()).encode()
        made = {self.word(): self.value() for _ in range(self.random.randrange(5))}
        # Tried so often, a task that fails keeps the cluster busy for as long as its sender asked for.
        if isinstance(made.get("retries"), (int, float)) and made["retries"] > 10:
            made["retries"] = 10
        return json.dumps(made).encode()

    def header(self, signed: bool) -> bytes:
        kind = self.random.choice(TYPES)
        if signed and kind in DEADLY:
            kind = "apply_request"
        header = {
            "msg_id": f"fuzz-{self.random.getrandbits(64):x}", "msg_type": kind, "username": "f", "session": f"s{self.random.randrange(9)}",
            "date": self.random.choice(["2026-01-01T00:00:00.000000Z", "never", ""]), "version": "5.4",
        }
        if self.random.random() < 0.2:
            header[self.random.choice(list(header))] = self.value()
        if self.random.random() < 0.1:
            header.pop(self.random.choice(list(header)))
        # Whatever became of the kind must not be deadly by chance.
        if signed and str(header.get("msg_type")) in DEADLY:
            header["msg_type"] = "foo"
        return json.dumps(header).encode()

    def sign(self, *parts: bytes) -> bytes:
        return hmac.new(self.key, b"".join(parts), sha256).hexdigest().encode()

    def buffers(self) -> list[bytes]:
        return [self.noise(self.random.choice([3, 60, 3000])) for _ in range(self.random.randrange(4))]

    def message(self, signed: bool) -> list[bytes]:
        parts = [self.header(signed), self.random.choice([b"{}", self.header(signed), self.dictionary()]), self.dictionary(), self.dictionary()]
        identities = [self.random.choice([*self.engines, b"nobody", self.noise(9)]) for _ in range(self.random.choice([0, 0, 1, 1, 2]))]
        if signed:
            return [*identities, DELIMITER, self.sign(*parts), *parts, *self.buffers()]
        frames = [*identities, DELIMITER, self.random.choice([b"", b"0" * 64, self.noise(150), b"s1" + b"0" * 64]), *parts, *self.buffers()]
        for _ in range(self.random.randrange(3)):
            where = self.random.randrange(len(frames))
            self.random.choice([
                lambda: frames.pop(where), lambda: frames.insert(where, self.noise()), lambda: frames.insert(where, DELIMITER),
                lambda: frames.__setitem__(where, self.noise(200)), lambda: frames.__setitem__(where, b""),
            ])()
            frames = frames or [b""]
        return frames

    def batch(self, signed: bool) -> list[bytes]:
        body = b""
        before: list[bytes] = []
        for _ in range(self.random.randrange(1, 6)):
            parts = [self.header(signed), b"{}", self.dictionary(), self.dictionary(), *self.buffers()]
            identities = [self.random.choice([b"client", self.noise(5)])] if self.random.random() < 0.5 else []
            every = [*identities, *parts]
            # What the message before had at this place need not be said again; now and then it is said though there was nothing.
            known = [part in before[place : place + 1] or self.random.random() < 0.02 for place, part in enumerate(every)]
            body += bytes([len(identities), len(every)])
            body += b"".join(struct.pack("<I", REPEATED if again else len(part)) for again, part in zip(known, every))
            body += b"".join(part for again, part in zip(known, every) if not again)
            before = every
        if self.random.random() < 0.5:
            body = bytearray(body)
            for _ in range(3):
                body[self.random.randrange(len(body))] = self.random.randrange(256)
            # A damaged body could spell anything; a deadly word is not among it.
            body = bytes(body)
        scope = self.random.choice(SCOPES)
        signature = self.sign(scope, BATCH, body) if signed else self.random.choice([b"", b"0" * 64, self.noise()])
        return [BATCH, signature, body]

    # Sending

    def run(self, count: int, signed: bool) -> dict[str, int]:
        sent: dict[str, int] = {}
        rounds = max(60, count // 1000)
        for number in range(rounds):
            side, channel, port = self.random.choice(self.ports())
            local = bool(self.local) and self.random.random() < 0.5
            kind = {"iopub": [zmq.PUB, zmq.SUB], "notification": [zmq.SUB], "hb_ping": [zmq.SUB]}.get(channel, [zmq.DEALER, zmq.DEALER, zmq.ROUTER])
            # Once at least, whatever chance says.
            if self.local and (self.random.random() < 0.05 or number == rounds // 2):
                sent[LINES] = sent.get(LINES, 0) + self.line(max(1, count // rounds), signed)
                continue
            if not signed and self.random.random() < 0.02:
                sent["bytes"] = sent.get("bytes", 0) + self.raw(port, local)
            identity = self.random.choice([None, None, None, self.noise(20) or None])
            if not signed and self.random.random() < 0.2:
                identity = self.random.choice(self.engines)
            end = self.connect(self.random.choice(kind), port, local, identity)
            name = f"{side} {channel}{' local' if local else ''}"
            try:
                for _ in range(max(1, count // rounds)):
                    frames = self.batch(signed) if self.random.random() < 0.2 else self.message(signed)
                    if end.type == zmq.SUB:
                        # A subscription is what this end can say.
                        (end.subscribe if self.random.random() < 0.7 else end.unsubscribe)(self.noise(30))
                    elif end.type == zmq.ROUTER:
                        end.send_multipart([self.random.choice([b"task_in", b"task_out", b"mux_in", b"mux_out"]), *frames], zmq.DONTWAIT)
                    else:
                        end.send_multipart(frames)
                    sent[name] = sent.get(name, 0) + 1
            except zmq.ZMQError:
                # Nobody takes it there, or not now: the next place.
                pass
            end.close()
        self.context.destroy(linger=2000)
        return sent

    def line(self, count: int, signed: bool) -> int:
        """To the lines of the controller's own peers, which keep messages apart and carry memory by descriptors."""
        sent = 0
        end = None
        for _ in range(count):
            try:
                if end is None:
                    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                    end.settimeout(0.2)
                    end.connect(f"{self.local}/lines")
                    if self.random.random() < 0.8:
                        end.send(self.packet(self.greeting(signed)))
                memories = [self.memory() for _ in range(self.random.choice([0, 0, 0, 1, 3]))]
                try:
                    if self.random.random() < 0.3:
                        data = self.noise(300) or b"\0"
                    else:
                        frames = self.batch(signed) if self.random.random() < 0.5 else self.message(signed)
                        names = [b"task", b"mux", b"broadcast", b"task_out", b"mux_out", self.noise(5), *self.engines]
                        data = self.packet([self.random.choice(names), *frames], len(memories))
                    socket.send_fds(end, [data[:90_000]], memories) if memories else end.send(data[:90_000])
                finally:
                    for memory in memories:
                        os.close(memory)
                sent += 1
            except OSError:
                if end:
                    end.close()
                end = None
        if end:
            end.close()
        return sent

    def greeting(self, signed: bool) -> list[bytes]:
        """An introduction: of a client, or of an engine that is nobody's."""
        header = json.dumps({"msg_id": f"fuzz-{self.random.getrandbits(64):x}", "msg_type": "local_connection", "session": "s", "version": "5.4"})
        content = self.random.choice([
            {"client": f"apus-client-{self.random.getrandbits(128):032x}", "lane": self.random.choice(["tasks", "requests", "x"])},
            {"uuid": f"{uuid.UUID(int=self.random.getrandbits(128))}"}, {"client": "x"}, {},
        ])
        parts = [header.encode(), b"{}", b"{}", json.dumps(content).encode()]
        return [DELIMITER, self.sign(*parts) if signed else self.random.choice([b"", b"0" * 64]), *parts]

    def packet(self, frames: list[bytes], memories: int = 0) -> bytes:
        """Frames as a line has them; some say that they are the memory of a descriptor, and some lie about their length."""
        lengths, inline = [], b""
        for frame in frames:
            if memories and self.random.random() < 0.3:
                lengths.append(1 << 63 | self.random.choice([4096, 300_000, 0, self.random.getrandbits(40)]))
            else:
                lengths.append(len(frame) if self.random.random() < 0.95 else self.random.getrandbits(self.random.choice([8, 20, 63])))
                inline += frame
        claimed = memories if self.random.random() < 0.9 else self.random.randrange(256)
        return struct.pack("<HBB", len(frames), claimed, 0) + b"".join(struct.pack("<Q", length) for length in lengths) + inline

    def memory(self) -> int:
        """A descriptor that may be what it should be: of shared memory, sealed, of the right size."""
        if self.random.random() < 0.2:
            return os.open(self.random.choice(["/dev/null", "/proc/self/status", "/"]), os.O_RDONLY)
        memory = os.memfd_create("fuzz", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, self.random.choice([0, 4096, 300_000]))
        if self.random.random() < 0.6:
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals if self.random.random() < 0.7 else fcntl.F_SEAL_GROW)
        return memory

    def raw(self, port: int, local: bool) -> int:
        """Bytes that are not ZeroMQ's, or are so only at first."""
        end = socket.socket(socket.AF_UNIX if local else socket.AF_INET)
        end.settimeout(0.2)
        try:
            end.connect(f"{self.local}/{port}" if local else ("127.0.0.1", port))
            greeting = b"\xff\0\0\0\0\0\0\0\1\x7f\3" if self.random.random() < 0.5 else b""
            end.send(greeting + self.noise(300))
        except OSError:
            return 0
        finally:
            end.close()
        return 1


def memory(pid: int) -> int:
    """Resident bytes that are this process's own."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0
