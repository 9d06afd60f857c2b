"""A `concurrent.futures.Future` that costs little until somebody looks at it."""

import threading
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING

from .dispatch import LOCK


class _Lazy:
    """An attribute that is made by its first use."""

    def __init__(self, make):
        self._make = make

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, instance, owner):
        if instance is None:
            return self
        instance._is_watched = True
        # Two threads may make one each, and get the same.
        return instance.__dict__.setdefault(self._name, self._make())


class PendingResult(Future):
    """The future of one or several messages of a client.

    What `concurrent.futures` needs of a future is made when it asks for it: most results are only read, by `get`.

    _children: the messages, in order. _waiting_for: numbers of those without a reply; None if there is only one.
    """

    _condition = _Lazy(lambda: threading.Condition(LOCK))
    _waiters = _Lazy(list)
    _done_callbacks = _Lazy(list)
    _state = PENDING
    _result = None
    _exception = None
    _is_read = False
    #: Whether something was made by `_Lazy`: somebody waits, or will be called.
    _is_watched = False
    _waiting_for = None
    _dispatcher = None

    def __init__(self, dispatcher, children):
        # Future's own __init__ would make the condition.
        self._dispatcher = dispatcher
        self._children = children
        self._listen(children)

    def _listen(self, children):
        """Be told when the replies of these messages come."""
        with LOCK:
            waiting_for = {message.number for message in children if message.reply is None}
            for message in children:
                if message.reply is None:
                    message.add_listener(self)
            self._waiting_for = waiting_for
            if not waiting_for:
                self._state = FINISHED

    # -- called by the dispatcher, with the lock; each may be called twice for the same thing

    def _message_done(self, message, dispatcher):
        waiting_for = self._waiting_for
        if waiting_for is not None:
            waiting_for.discard(message.number)
            if waiting_for:
                return
        if self._state is PENDING:
            self._finish(dispatcher)

    def _finish(self, dispatcher, state=FINISHED):
        if not self._is_watched:
            self._state = state
            return
        mine = self.__dict__
        if "_waiters" in mine:
            for waiter in mine["_waiters"]:
                if state is not FINISHED:
                    waiter.add_cancelled(self)
                elif self._has_failed():
                    waiter.add_exception(self)
                else:
                    waiter.add_result(self)
        if "_condition" in mine:
            mine["_condition"].notify_all()
        self._state = state
        if mine.get("_done_callbacks"):
            dispatcher.call_later(self._invoke_callbacks)

    def _has_failed(self):
        return any(message.has_failed for message in self._children)

    # -- concurrent.futures

    def done(self):
        """Whether there is a result, an error, or nothing to be waited for."""
        return self._state is not PENDING

    def cancelled(self):
        return self._state is CANCELLED_AND_NOTIFIED

    def running(self):
        return False

    def cancel(self, kill_after=None):
        """Take the tasks back; those that run are interrupted, so that their engines are free.

        kill_after: seconds; what still runs so long after the interrupt ends with its engine's process, which starts anew (and has lost
        what was pushed to it). None: never. Engines of ipyparallel let it run in any case.

        Returns False if they are done already. A cancelled result raises CancelledError. Raises ValueError for a negative time.
        """
        if kill_after is not None and not kill_after >= 0:
            raise ValueError(f"kill_after is a number of seconds from 0 on, not {kill_after!r}")
        with LOCK:
            if self._state is not PENDING:
                return self._state is not FINISHED
            numbers = [message.number for message in self._children if message.reply is None]
            self._finish(self._dispatcher, CANCELLED_AND_NOTIFIED)
        self._dispatcher.abort(numbers, True, kill_after)
        self._dispatcher.run_calls()
        return True

    def _wait(self, timeout=None):
        """Wait until it is done; whether it is."""
        if self._state is PENDING:
            self._dispatcher.wait_until(self.done, timeout, self)
        return self._state is not PENDING

    def _read(self):
        """Read the replies: set `_result`, or `_exception`."""
        raise NotImplementedError

    def _value(self, timeout):
        if not self._is_read:
            if not self._wait(timeout):
                self._raise_unfinished()
            if self._state is CANCELLED_AND_NOTIFIED:
                raise CancelledError()
            self._read()
            self._is_read = True

    def _raise_unfinished(self):
        over = self._dispatcher.over
        if over:
            raise OSError(f"the client was closed before the result came: {over[1]}")
        raise TimeoutError("Result not ready.")

    def result(self, timeout=None):
        """The result, when it has come.

        Raises what the tasks raised (RemoteError, CompositeError, TaskAborted), TimeoutError, or CancelledError.
        """
        self._value(timeout)
        if self._exception is not None:
            try:
                raise self._exception
            finally:
                # The exception's traceback holds this frame.
                self = None
        return self._result

    def exception(self, timeout=None):
        """What `result` would raise; None if there is a result."""
        self._value(timeout)
        return self._exception

    def __await__(self):
        import asyncio

        return asyncio.wrap_future(self).__await__()

    def __repr__(self):
        state = "pending" if self._state is PENDING else "cancelled" if self.cancelled() else "finished"
        return f"<{type(self).__name__}: {state}>"


class ContentResult(PendingResult):
    """Replies that are no task's: of the hub, or of engines to control requests. The result is (content, buffers) of one, or a list.

    is_single: one reply, not a list.
    """

    def __init__(self, dispatcher, children, is_single=False):
        self._is_single = is_single
        super().__init__(dispatcher, children)

    def _read(self):
        values = []
        for message in self._children:
            value = message.value()
            if isinstance(value, Exception):
                self._exception = self._exception or value
            else:
                values.append(value)
        self._result = values[0] if self._is_single and values else values
