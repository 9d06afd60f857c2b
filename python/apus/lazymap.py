"""Maps that read their inputs as they need them."""

import threading
from collections import deque

from .dispatch import LOCK

#: Results that may wait to be taken, beside the tasks under way.
_UNREAD = 256


class LazyMapIterator:
    """Iterator over the results of a lazy map. Its inputs are read by a thread of its own, for they may block."""

    def __init__(self, view, f, sequences, ordered, max_outstanding, return_exceptions):
        self._map = _LazyMap(view, f, sequences, ordered, max_outstanding, return_exceptions)

    def __iter__(self):
        return self

    def __next__(self):
        return self._map.next()

    def cancel(self):
        """Read no more inputs; results of what was sent still come."""
        self._map.cancel()

    def __del__(self):
        # Nobody will take results any more.
        lazy = self.__dict__.get("_map")
        if lazy is not None:
            lazy.cancel()


class _LazyMap:
    """What the iterator and the thread that reads the inputs share."""

    def __init__(self, view, f, sequences, ordered, max_outstanding, return_exceptions):
        self._view = view
        self._f = f
        self._inputs = zip(*sequences)
        self._ordered = ordered
        self._limit = max_outstanding or float("inf")
        self._return_exceptions = return_exceptions
        self._dispatcher = view.client._dispatcher
        #: Guards what follows.
        self._changed = threading.Condition(LOCK)
        #: Results in the order in which they are to be given: sent, or (unordered) ended.
        self._results = deque()
        self._under_way = 0
        self._unread = 0
        self._is_read = False
        self._failure = None
        #: Inputs are read whether results are taken or not: somebody waits for the end of the inputs.
        self._hurries = False
        view._outstanding_maps.add(self)
        self._thread = threading.Thread(target=self._read, name="apus-imap", daemon=True)
        started = threading.Event()
        self._started = started
        self._thread.start()
        # The first input, or what is wrong with the function, is known then.
        started.wait()
        if self._failure is not None and not self._results:
            failure, self._failure = self._failure, None
            raise failure

    def cancel(self):
        """Read no more inputs."""
        self._end(None)

    def _end(self, failure):
        with LOCK:
            if failure is not None and not self._is_read:
                self._failure = failure
            self._is_read = True
            self._inputs = None if threading.current_thread() is not self._thread else self._inputs
            self._changed.notify_all()
        self._view._outstanding_maps.discard(self)
        self._started.set()
        self._dispatcher.poke()

    def hurry(self):
        """Read the inputs to their end even if nobody takes results. Returns when they have ended."""
        with LOCK:
            self._hurries = True
            self._changed.notify_all()
        self._dispatcher.wait_until(lambda: self._is_read)

    def _has_room(self):
        return self._under_way < self._limit and (self._hurries or self._unread < _UNREAD + self._limit)

    def _read(self):
        try:
            while True:
                with LOCK:
                    while not self._is_read and not self._has_room():
                        self._changed.wait()
                    inputs = self._inputs
                    if self._is_read or inputs is None:
                        return
                try:
                    args = next(inputs)
                except StopIteration:
                    return self._end(None)
                if self._is_read:
                    return
                self._send(args)
        except Exception as failure:
            self._end(failure)

    def _send(self, args):
        with LOCK:
            self._under_way += 1
            self._unread += 1
        try:
            result = self._view.apply_async(self._f, *args)
        except BaseException:
            with LOCK:
                self._under_way -= 1
                self._unread -= 1
            raise
        if self._ordered:
            self._results.append(result)
        result.add_done_callback(self._ended)
        self._started.set()
        self._dispatcher.poke()

    def _ended(self, result):
        with LOCK:
            self._under_way -= 1
            if not self._ordered:
                self._results.append(result)
            self._changed.notify_all()
        self._dispatcher.poke()

    def _is_ready(self):
        if self._results:
            return True
        return self._is_read and (self._ordered or not self._under_way)

    def next(self):
        """The next result. Raises StopIteration after the last one, and what the call or the inputs raised."""
        self._dispatcher.wait_until(self._is_ready)
        if not self._results:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            if self._dispatcher.over and not self._is_read:
                raise OSError(f"the client was closed: {self._dispatcher.over[1]}")
            raise StopIteration
        result = self._results.popleft()
        with LOCK:
            self._unread -= 1
            self._changed.notify_all()
        return result.get(return_exceptions=self._return_exceptions)
