"""Ports that are free, and stay so until they are used."""

from __future__ import annotations

import random
import socket
from pathlib import Path


def free_ports(count: int) -> list[int]:
    """So many. The system gives none of them to a socket that asks for any port, nor to one that connects, so nobody takes them meanwhile by chance."""
    first, last = 10_000, _first_of_the_systems() - 1
    sockets: list[socket.socket] = []
    try:
        for port in random.sample(range(first, last + 1), last - first + 1):
            if len(sockets) == count:
                break
            each = socket.socket()
            try:
                each.bind(("", port))
            except OSError:
                each.close()
                continue
            sockets.append(each)
        else:
            raise OSError(f"there are no {count} free ports from {first} to {last}")
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _first_of_the_systems() -> int:
    """Of those that it gives away by itself."""
    try:
        return max(20_000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    except (OSError, ValueError):
        return 32_768
