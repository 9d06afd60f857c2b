"""Stock clients whose controller is started again: what has to be done for them that they do not do themselves."""

from __future__ import annotations

import time
from collections import Counter


def read_on(client, read: Counter[str] | None = None) -> None:
    """One that is sent a result which it has raises an error where it reads, and reads no more until something else comes, one message for each that
    does. In its own loop: ``client._io_loop.add_callback(read_on, client)``. It sends nothing."""
    import zmq

    stream = client._task_stream
    read = Counter() if read is None else read
    while stream.socket.get(zmq.EVENTS) & zmq.POLLIN:
        try:
            stream._handle_recv()
            read["well"] += 1
        except Exception as error:
            read[type(error).__name__] += 1


def results(client, tasks, patience: float = 60) -> list:
    """Those of tasks that the client only waits for."""
    end = time.monotonic() + patience
    while not all(task.ready() for task in tasks):
        if time.monotonic() > end:
            raise TimeoutError(f"{sum(not task.ready() for task in tasks)} of {len(tasks)} tasks did not end in {patience:g} s")
        client._io_loop.add_callback(read_on, client)
        time.sleep(0.05)
    return [task.get(1) for task in tasks]
