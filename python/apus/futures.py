"""Waiting for several results."""

from collections import deque
from concurrent import futures as _futures
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from time import monotonic

from .dispatch import LOCK
from .result import PendingResult


def _dispatcher(results):
    """The dispatcher of all these results, if they have one in common: then the waiting thread can look for events itself."""
    found = None
    for result in results:
        mine = result._dispatcher if isinstance(result, PendingResult) else None
        if mine is None or (found is not None and mine is not found):
            return None
        found = mine
    return found


def wait(fs, timeout=None, return_when=ALL_COMPLETED):
    """Wait for results, as `concurrent.futures.wait` does for futures: returns (done, not_done), two sets.

    fs: AsyncResults and other futures. return_when: ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION.
    """
    results = set(fs)
    dispatcher = _dispatcher(results)
    if dispatcher is None:
        return _futures.wait(results, timeout, return_when)
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(f"Invalid return condition: {return_when!r}")
    with _Collector(results) as ended:

        def is_enough():
            if len(ended) >= len(results) or (ended and return_when == FIRST_COMPLETED):
                return True
            return return_when == FIRST_EXCEPTION and any(not result.cancelled() and result._has_failed() for result in ended)

        dispatcher.wait_until(is_enough, timeout)
        done = set(ended)
    return _futures._base.DoneAndNotDoneFutures(done, results - done)


class _Collector:
    """A deque of those of some results that have ended, in their order; it grows."""

    def __init__(self, results):
        self._results = results
        self._ended = deque()

    def __enter__(self):
        with LOCK:
            for result in self._results:
                if result.done():
                    self._ended.append(result)
                else:
                    result._waiters.append(self)
        return self._ended

    def __exit__(self, *_):
        with LOCK:
            for result in self._results:
                if self in result.__dict__.get("_waiters", ()):
                    result._waiters.remove(self)

    def add_result(self, result):
        if not self._ended or self._ended[-1] is not result:
            self._ended.append(result)

    add_exception = add_cancelled = add_result


def as_completed(fs, timeout=None):
    """Iterate over results as they come, as `concurrent.futures.as_completed` does over futures.

    Raises TimeoutError if not all have come after `timeout` seconds.
    """
    results = list(dict.fromkeys(fs))
    dispatcher = _dispatcher(results)
    if dispatcher is None:
        return _futures.as_completed(results, timeout)
    return _each_completed(dispatcher, results, timeout)


def _each_completed(dispatcher, results, timeout):
    deadline = None if timeout is None else monotonic() + timeout
    open_count = len(results)
    with _Collector(results) as ended:
        while open_count:
            if not ended and not dispatcher.wait_until(lambda: ended, None if deadline is None else max(0, deadline - monotonic())):
                raise TimeoutError(f"{open_count} results have not come")
            open_count -= 1
            yield ended.popleft()


__all__ = ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "as_completed", "wait"]
