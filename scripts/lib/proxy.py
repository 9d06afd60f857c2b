"""A TCP proxy whose connections can be cut, or are late: between a client and a controller."""

from __future__ import annotations

import json
import random
import socket
import threading
from pathlib import Path

#: Ports of a client's connection file.
PORTS = ("registration", "control", "mux", "task", "iopub", "notification", "broadcast")


class Proxy:
    """``with Proxy(file, copy) as proxy``: ``copy`` names the proxy's ports in place of the controller's, and nothing of its own host.

    What is sent to the ports named in ``held`` goes on after ``release()``.
    """

    def __init__(self, original: Path, copy: Path, held: tuple[str, ...] = ()):
        info = json.loads(original.read_text())
        self._released = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listeners = []
        for name in PORTS:
            if isinstance(info.get(name), int):
                info[name] = self._listen(info[name], name in held)
        # Own clients would go past it.
        for name in list(info):
            if "local" in name or "directory" in name:
                del info[name]
        info["interface"] = "tcp://127.0.0.1"
        copy.write_text(json.dumps(info))
        copy.chmod(0o600)

    def release(self) -> None:
        self._released.set()

    def _listen(self, port: int, is_held: bool) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        self._listeners.append(listener)
        threading.Thread(target=self._accept, args=(listener, port, is_held), daemon=True).start()
        return listener.getsockname()[1]

    def _accept(self, listener: socket.socket, port: int, is_held: bool) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", port), timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink, is_held), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_held: bool) -> None:
        if is_held:
            self._released.wait()
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        self._end(source, sink)

    def _end(self, *sockets: socket.socket) -> None:
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
        with self._lock:
            self._pairs = [pair for pair in self._pairs if not set(pair) & set(sockets)]

    def cut(self, dice: random.Random) -> bool:
        """Ends one of the connections; what is on its way is lost."""
        with self._lock:
            pairs = list(self._pairs)
        if pairs:
            self._end(*dice.choice(pairs))
        return bool(pairs)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        for listener in self._listeners:
            listener.close()
        for pair in list(self._pairs):
            self._end(*pair)
