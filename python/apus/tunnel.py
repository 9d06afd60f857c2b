"""SSH tunnels to a controller: one `ssh` process that forwards all of its ports."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time

#: What the files of clients and engines call their ports; an engine's `broadcast` is a list of them.
_PORTS = ("registration", "control", "mux", "task", "iopub", "notification", "broadcast", "hb_ping", "hb_pong")
#: What ssh says when somebody else has taken a port that was chosen for it.
_TAKEN = ("Address already in use", "cannot listen to port")
#: So often other ports are chosen, at most.
_ATTEMPTS = 5


class Tunnels:
    """Forwards the ports of a connection file through `server` (`[user@]host[:port]`).

    follows: the tunnels end with this process, however it ends. key: file of a private key. timeout: seconds until the tunnels must stand. info: the connection file's content as it holds here.

    Raises OSError, with what ssh said, if they cannot be made.
    """

    def __init__(self, info, server, key=None, timeout=10, follows=False):
        self._errors = tempfile.TemporaryFile()
        self._process = None
        address = info["interface"].partition("://")[2]
        if address in ("*", "0.0.0.0", ""):
            address = info.get("location") or "127.0.0.1"
        remote = {name: info[name] for name in _PORTS if name in info}
        named = [port for value in remote.values() for port in (value if isinstance(value, list) else [value])]
        # Whatever writes such a file may name one twice.
        ports = list(dict.fromkeys(named))
        deadline = time.monotonic() + max(timeout, 1)
        try:
            for attempt in range(_ATTEMPTS):
                with contextlib.ExitStack() as held:
                    local = _hold_ports(len(ports), held)
                    there = dict(zip(ports, local))
                    forwards = [f"127.0.0.1:{there[port]}:{address}:{port}" for port in ports]
                    self._start(_command(server, key, follows, forwards), follows)
                    if self._stands(local, server, timeout, deadline, is_last=attempt == _ATTEMPTS - 1):
                        break
        except BaseException:
            self.close()
            raise
        here = {name: [there[port] for port in value] if isinstance(value, list) else there[value] for name, value in remote.items()}
        # The controller's folder of local sockets is of its host.
        self.info = {name: value for name, value in info.items() if name != "local_directory"}
        self.info |= here | {"interface": "tcp://127.0.0.1", "location": "", "ssh": ""}

    def _start(self, command, follows):
        self._errors.seek(0)
        self._errors.truncate()
        try:
            # Who must type a password does so on the terminal, which ssh opens by itself.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE if follows else subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors)
        except OSError as error:
            raise OSError(f"ssh cannot be run: {error.strerror}") from None

    def _stands(self, ports, server, timeout, deadline, is_last):
        """Wait until ssh listens on these. Returns False if another has taken one of them meanwhile."""
        for port in ports:
            while not _accepts(port):
                code = self._process.poll()
                if code is not None:
                    said = self._said()
                    if not is_last and any(words in said for words in _TAKEN):
                        return False
                    raise OSError(f"the tunnel through {server} failed (ssh ended with {code}): {said}")
                if time.monotonic() > deadline:
                    raise OSError(f"the tunnel through {server} did not stand after {timeout} seconds: {self._said()}")
                # ssh does not tell when it listens.
                time.sleep(0.02)
        return True

    def _said(self):
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip() or "it said nothing"

    def close(self):
        """End the tunnels."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._errors.close()


def _command(server, key, follows, forwards):
    host, _, port = server.partition(":")
    # What reads our end of a pipe there ends when we do.
    command = ["ssh", *([] if follows else ["-N"]), "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=15"]
    command += [word for forward in forwards for word in ("-L", forward)]
    command += [*(["-i", os.path.expanduser(key)] if key else []), *(["-p", port] if port else []), host]
    return command + (["cat"] if follows else [])


def _hold_ports(count, held):
    """So many free ports, each bound to a socket of `held`.

    While it is, the system gives the port to nobody. ssh can listen on it all the same: it sets SO_REUSEADDR as well, and only one listens.
    """
    sockets = [held.enter_context(socket.socket()) for _ in range(count)]
    for one in sockets:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", 0))
    return [one.getsockname()[1] for one in sockets]


def _accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
