"""What somebody without the key tries, run as a process of another user where there is one to be had.

Reads one JSON object from standard input: what a spy could know (ports, the engines' identities), and messages captured on the way. It tries
for so many seconds and prints one JSON object: what it read and what it got hold of. It imports nothing of the cluster's.
"""

from __future__ import annotations

import base64
import json
import os
import socket as plain
import sys
import time

import zmq


def listen(context: zmq.Context, port: int, kinds: list[int], identity: bytes | None, curve: dict | None) -> list[zmq.Socket]:
    sockets = []
    for kind in kinds:
        socket = context.socket(kind)
        socket.linger = 0
        if identity is not None:
            socket.identity = identity
        if curve:
            socket.curve_publickey, socket.curve_secretkey = (key.encode() for key in curve["own"])
            socket.curve_serverkey = curve["server"].encode()
        if kind == zmq.SUB:
            socket.subscribe(b"")
        if kind == zmq.ROUTER:
            socket.router_mandatory = 0
        socket.connect(f"tcp://127.0.0.1:{port}")
        sockets.append(socket)
    return sockets


def look_into(directory: str | None) -> list[str]:
    """Names in the folder of local sockets, and whether one of them takes a connection."""
    found = []
    if directory:
        try:
            found += os.listdir(directory)
        except OSError:
            pass
        for name in ("lines", "lock"):
            try:
                end = plain.socket(plain.AF_UNIX, plain.SOCK_SEQPACKET)
                end.connect(f"{directory}/{name}")
                found.append(f"connected to {name}")
            except OSError:
                pass
    return found


def main() -> None:
    known = json.load(sys.stdin)
    if known.get("user") is not None:
        os.setgroups([])
        os.setgid(known["user"])
        os.setuid(known["user"])
    readable = []
    for path in known["files"]:
        try:
            readable.append(open(path).read())
        except OSError:
            pass
    context = zmq.Context()
    poller = zmq.Poller()
    names = {}
    for port in known["ports"]:
        identities = [None, *(identity.encode() for identity in known["identities"])]
        for identity in identities:
            for socket in listen(context, port, [zmq.SUB, zmq.DEALER, zmq.ROUTER], identity, known.get("curve")):
                poller.register(socket, zmq.POLLIN)
                names[socket] = port
    captured = [[base64.b64decode(part) for part in frames] for frames in known["captured"]]
    for socket in names:
        for frames in captured:
            for shape in (frames, [known["identities"][0].encode(), *frames]):
                try:
                    if socket.type == zmq.DEALER:
                        socket.send_multipart(shape, zmq.DONTWAIT)
                    elif socket.type == zmq.ROUTER:
                        socket.send_multipart([b"task_out", *shape], zmq.DONTWAIT)
                except zmq.ZMQError:
                    pass
    print("ready", flush=True)
    read = []
    end = time.monotonic() + known["seconds"]
    # The other side writes a line when it has done what was to be spied on.
    while time.monotonic() < end:
        for socket, _ in poller.poll(50):
            frames = socket.recv_multipart()
            read.append([names[socket], *(frame[:200].decode("latin-1") for frame in frames)])
        if os.path.exists(known["done"]):
            break
    print(json.dumps({"read": read, "files": readable, "directory": look_into(known.get("directory"))}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
