"""What a task cannot be faster than: the bare parts of its way, measured one by one (`python -m harness.limits`)."""

from __future__ import annotations

import concurrent.futures
import hashlib
import hmac
import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Callable

from harness import works
from harness.rounds import run_json
from harness.scale import median, seconds
from harness.table import figure
from harness.table import markdown as table

#: Key to what it is and its unit, in the order of the page.
ROWS = {
    "call_us": ("calling a Python function that does nothing", "µs"),
    "future_us": ("a `concurrent.futures.Future`: made, resolved, read", "µs"),
    "pickle_call_us": ("pickle of a no-op call's arguments and of its result, there and back", "µs"),
    "cloudpickle_named_us": ("cloudpickle of a function that its module names", "µs"),
    "cloudpickle_function_us": ("cloudpickle of a function by value, and its loading", "µs"),
    "signature_us": ("HMAC-SHA256 of a message of 600 bytes", "µs"),
    "wake_us": ("a byte to another process and back (two wake-ups, Unix domain socket)", "µs"),
    "zmq_round_trip_us": ("a message to another process and back by bare libzmq", "µs"),
    "raw_relay_us": ("a task's frames through a bare libzmq relay and back, one at a time", "µs"),
    "raw_relay_per_s": ("tasks' frames through a bare libzmq relay, many under way", "/s"),
    "memcpy_100mb_ms": ("memcpy of 100 MB into memory that is there", "ms"),
    "memcpy_100mb_fresh_ms": ("memcpy of 100 MB into fresh memory", "ms"),
    "socket_100mb_ms": ("100 MB to another process by a Unix domain socket", "ms"),
    "interpreter_ms": ("starting Python and ending it", "ms"),
}


def each_us(call: Callable[[], object], budget: float) -> float:
    """Microseconds of one call: the median of twenty loops."""
    count = 1
    while (took := seconds(loop, call, count)) < budget / 40:
        count *= 2
    return 1e6 * median([took, *(seconds(loop, call, count) for _ in range(19))]) / count


def loop(call: Callable[[], object], count: int) -> None:
    for _ in range(count):
        call()


def future() -> None:
    one = concurrent.futures.Future()
    one.set_result(None)
    one.result()


def pickled_call() -> None:
    pickle.loads(pickle.dumps(((1,), {}), 5))
    pickle.loads(pickle.dumps(None, 5))


def anonymous():
    offset = 3
    return lambda value: value + offset


def python(budget: float) -> dict[str, float]:
    message, key = os.urandom(600), os.urandom(32)
    found = {
        "call_us": each_us(works.nothing, budget),
        "future_us": each_us(future, budget),
        "pickle_call_us": each_us(pickled_call, budget),
        "signature_us": each_us(lambda: hmac.digest(key, message, hashlib.sha256), budget),
        "interpreter_ms": 1000 * median([seconds(subprocess.run, [sys.executable, "-I", "-c", ""]) for _ in range(10)]),
    }
    try:
        import cloudpickle
    except ImportError:
        return found
    function = anonymous()
    return found | {
        "cloudpickle_named_us": each_us(lambda: cloudpickle.dumps(works.nothing, 5), budget),
        "cloudpickle_function_us": each_us(lambda: pickle.loads(cloudpickle.dumps(function, 5)), budget),
    }


def copies() -> dict[str, float]:
    import numpy

    source = works.array(100_000_000)
    target = numpy.empty_like(source)
    target[:] = source

    def fresh() -> None:
        # Of this size numpy's memory comes from mmap and goes back to it.
        numpy.empty_like(source)[:] = source

    return {
        "memcpy_100mb_ms": 1000 * median([seconds(numpy.copyto, target, source) for _ in range(5)]),
        "memcpy_100mb_fresh_ms": 1000 * median([seconds(fresh) for _ in range(5)]),
    }


def partner(serve: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """A forked process at the other end of a pair of sockets. It ends when this end is closed."""
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        here.close()
        try:
            serve(there)
        finally:
            os._exit(0)
    there.close()
    return here, child


def sockets(budget: float) -> dict[str, float]:
    def echo(end: socket.socket) -> None:
        while got := end.recv(1):
            end.send(got)

    end, child = partner(echo)
    with end:
        found = {"wake_us": each_us(lambda: (end.send(b"x"), end.recv(1)), budget)}
    os.waitpid(child, 0)

    size = 100_000_000

    def drain(end: socket.socket) -> None:
        memory = bytearray(size)
        view = memoryview(memory)
        while True:
            got = 0
            while got < size:
                part = end.recv_into(view[got:])
                if not part:
                    return
                got += part
            end.send(b"x")

    data = works.array(size)
    end, child = partner(drain)
    with end:
        found["socket_100mb_ms"] = 1000 * median([seconds(lambda: (end.sendall(data), end.recv(1))) for _ in range(5)])
    os.waitpid(child, 0)
    return found


def libzmq(budget: float) -> dict[str, float]:
    try:
        import zmq
    except ImportError:
        return {}
    # An address in the abstract namespace: no file, no port.
    address = f"ipc://@apus-limits-{os.getpid()}"
    program = (
        "import sys, zmq\nsocket = zmq.Context().socket(zmq.PAIR)\nsocket.connect(sys.argv[1])\n"
        "while got := socket.recv():\n    socket.send(got)\n")
    with zmq.Context() as context, context.socket(zmq.PAIR) as end:
        end.linger, end.rcvtimeo = 0, 20_000
        end.bind(address)
        process = subprocess.Popen([sys.executable, "-c", program, address])
        try:
            end.send(b"x" * 100)
            end.recv()
            return {"zmq_round_trip_us": each_us(lambda: (end.send(b"x" * 100), end.recv()), budget)}
        finally:
            end.send(b"")
            process.wait(10)


def raw_relay(program: Path | None, quick: bool) -> dict[str, float]:
    """Of the native load program, when it was built."""
    if program is None or not program.exists():
        return {}
    size = ["--tasks", "50000", "--rounds", "2", "--round-trips", "2000"] if quick else []
    numbers = run_json([str(program), "raw", "--json", *size], 300)
    found = {"raw_relay_us": numbers.get("p50_us"), "raw_relay_per_s": numbers.get("tasks_per_s")}
    return {key: value for key, value in found.items() if value is not None}


def run(program: Path | None = None, quick: bool = False) -> dict[str, float]:
    budget = 0.2 if quick else 1.0
    # What forks comes before anything that starts threads.
    found = sockets(budget) | python(budget) | copies() | libzmq(budget) | raw_relay(program, quick)
    return {key: found[key] for key in ROWS if key in found}


def markdown(found: dict[str, float]) -> str:
    lines = [[ROWS[key][0], f"{figure(value)} {ROWS[key][1]}"] for key, value in found.items() if key in ROWS]
    return table(["What", "one takes"], lines)


if __name__ == "__main__":
    print(json.dumps(run(quick="--quick" in sys.argv), indent=1))
