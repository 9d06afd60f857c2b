"""Decides, while a map runs, how many of its items make a task."""

import json
import math
import threading
from collections import deque

from .canning import can_map
from .metadata import parse_date

#: Seconds that a task should take: so many that its way to the engine and back, of up to half a millisecond where engines fall asleep
#: between tasks, is lost in them; and so few that results still come while somebody looks.
_TASK_SECONDS = 0.1
#: How much larger a task may be than the one before: what is known about items comes from few of them at first.
_GROWTH = 16
#: Bytes that a task should have at most, in either direction.
_TASK_BYTES = 8 << 20
#: Tasks under way for each engine: one runs, one waits there, and one waits at the scheduler, which sends in advance what others wait behind.
_TASKS_PER_ENGINE = 3
#: Maps of so few items send each on its own.
SMALL = 64
#: Containers with fewer items are looked into for functions and references.
_LOOKED_INTO = 63


class Batches:
    """The items of one map on their way.

    submit: function (slices of the sequences) -> (message that is not registered yet, bytes of the task). register: makes its events
    arrive. engine_count: function that gives the number of engines. count: number of items.
    """

    def __init__(self, result, submit, register, engine_count, sequences, count):
        self.count = count
        self._result = result
        self._submit = submit
        self._register = register
        self._engine_count = engine_count
        self._sequences = sequences
        self._next = 0
        self._size = 1
        self._limit = _largest_group(sequences)
        self._item_seconds = 0.0
        self._item_bytes = 0.0
        self._unmeasured = deque()
        self._lock = threading.RLock()
        self._is_over = False

    def go_on(self):
        """Send what may be sent now. Called at first, and after each task that has ended."""
        with self._lock:
            if self._is_over:
                return
            self._measure()
            engines = max(1, self._engine_count())
            while self._next < self.count and len(self._result._waiting_for) < _TASKS_PER_ENGINE * engines:
                if not self._send(self._choose(engines)):
                    return
            if self._next >= self.count:
                self._end(None)

    def send_all(self):
        """Send all that is left, in tasks of the present size."""
        with self._lock:
            while not self._is_over and self._next < self.count:
                if not self._send(self._size):
                    return
            if not self._is_over:
                self._end(None)

    def stop(self, failure):
        """Send nothing more; the map fails with this."""
        with self._lock:
            if not self._is_over:
                self._end(failure if self._next < self.count else None)

    def _end(self, failure):
        self._is_over = True
        self._sequences = self._unmeasured = None
        self._result._no_more_children(failure)

    def _send(self, size):
        start, stop = self._next, min(self._next + size, self.count)
        try:
            message, sent = self._submit([sequence[start:stop] for sequence in self._sequences])
        except Exception as failure:
            self._end(failure)
            return False
        self._next = stop
        self._item_bytes = max(self._item_bytes / 2, sent / (stop - start))
        self._unmeasured.append((message, stop - start))
        self._result._add_child(message, stop - start)
        self._register(message)
        return True

    def _choose(self, engines):
        """How many items the next task has."""
        size = self._size * _GROWTH if self._item_seconds * self._size * _GROWTH < _TASK_SECONDS else _TASK_SECONDS / self._item_seconds
        if not self._item_seconds:
            # Nothing is known yet.
            size = self._size
        if self._item_bytes:
            size = min(size, _TASK_BYTES / self._item_bytes)
        # At the end all engines should have something to do.
        share = math.ceil((self.count - self._next) / (_TASKS_PER_ENGINE * engines))
        return max(1, min(int(size), share, self._limit))

    def _measure(self):
        for _ in range(len(self._unmeasured)):
            message, size = self._unmeasured.popleft()
            if message.reply is None:
                self._unmeasured.append((message, size))
                continue
            seconds, received = _measured(message)
            if seconds is not None:
                mine = max(seconds / size, 1e-9)
                # Larger tasks tell more; the newest counts half.
                self._item_seconds = mine if size > self._size or not self._item_seconds else (self._item_seconds + mine) / 2
                self._size = max(self._size, size) if mine * size < _TASK_SECONDS else size
            self._item_bytes = max(self._item_bytes, received / size)


def _measured(message):
    """(seconds that the task ran, bytes of its result)."""
    _, kind, metadata, header, _, buffers = message.reply
    received = sum(len(buffer) if type(buffer) is bytes else buffer.nbytes for buffer in buffers or ())
    if kind or not metadata or not header:
        return None, received
    started = parse_date(json.loads(metadata).get("started"))
    completed = parse_date(json.loads(header).get("date"))
    if started is None or completed is None:
        return None, received
    return (completed - started).total_seconds(), received


def _largest_group(sequences):
    """The limit for items that must be prepared one by one: containers of more are not looked into."""
    for sequence in sequences:
        if type(sequence) in (list, tuple):
            for kind in set(map(type, sequence)):
                if kind in can_map and kind is not bytes and kind.__name__ != "ndarray":
                    return _LOOKED_INTO
    return 1 << 62


__all__ = ["Batches", "SMALL"]
