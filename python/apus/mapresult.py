"""Results of maps, whose parts are put together, and come one after another."""

from collections import deque

from . import error
from .asyncresult import AsyncResult
from .dispatch import LOCK
from .result import PENDING


class AsyncMapResult(AsyncResult):
    """The result of a map: a list of what the function gave for each item.

    It can be iterated at any time and waits for results as they come: in the order of the items, or, if `ordered` is false, in the order
    in which they arrive.
    """

    _splits_into_lists = True
    ordered = True
    #: What still sends items; None once all are sent, or if they were sent at once.
    _batches = None
    _failure = None
    _count = None
    #: The view that sends them.
    _view = None

    def __init__(self, client, children, mapObject, fname="", ordered=True, return_exceptions=False, chunk_sizes=None):
        self._mapObject = mapObject
        self.ordered = ordered
        super().__init__(client, children, fname=fname, return_exceptions=return_exceptions, chunk_sizes=chunk_sizes)
        self._single_result = False

    # -- maps whose items are grouped on the way

    def _start_batches(self, batches):
        """Children will come from there."""
        self._batches = batches
        self._count = batches.count
        self._state = PENDING
        self._dispatcher.sending.add(self)
        batches.go_on()

    def _add_child(self, message, size):
        with LOCK:
            self._children.append(message)
            self._chunk_sizes[message.msg_id] = size
            self._waiting_for.add(message.number)
            message.listener = self

    def _no_more_children(self, failure=None):
        with LOCK:
            self._failure = failure
            self._batches = None
            self._dispatcher.sending.discard(self)
            if not self._waiting_for and self._state is PENDING:
                self._finish(self._dispatcher)
        self._dispatcher.poke()
        self._dispatcher.run_calls()

    def _message_done(self, message, dispatcher):
        if self._batches is None:
            super()._message_done(message, dispatcher)
            return
        self._waiting_for.discard(message.number)
        dispatcher.call_later(self._batches.go_on, again=True)

    def _stop(self, failure):
        """Send no more items."""
        batches = self._batches
        if batches is not None:
            batches.stop(failure)

    def _send_everything(self):
        """For who wants all tasks at once: send the rest now."""
        batches = self._batches
        if batches is not None:
            batches.send_all()

    def _wait(self, timeout=None):
        if self._batches is not None:
            # Tasks come and go that are not this one's end.
            return self._dispatcher.wait_until(self.done, timeout)
        return super()._wait(timeout)

    @property
    def msg_ids(self):
        return [message.msg_id for message in self._children]

    def __len__(self):
        return self._count_chunks(self._children) if self._count is None else self._count

    def split(self):
        self._send_everything()
        return super().split()

    def cancel(self):
        self._stop(error.TaskAborted("the map was cancelled"))
        return super().cancel()

    def abort(self):
        self._stop(error.TaskAborted("the map was aborted"))
        return super().abort()

    # -- reading

    def _collect_exceptions(self, results):
        if self._return_exceptions:
            return results
        self._raise_failures(results)
        return results

    def _raise_failures(self, results):
        flat = []
        for result in results:
            if isinstance(result, Exception):
                flat.append(result)
            elif type(result) is Failures:
                flat.extend(value for value in result if isinstance(value, Exception))
        if self._failure is not None:
            flat.append(self._failure)
        error.collect_exceptions(flat, self._fname)
        # A task that was taken back, or that could not be sent.
        if flat:
            raise flat[0]

    def _reconstruct_result(self, results):
        if not any(isinstance(result, Exception) or type(result) is Failures for result in results):
            return self._mapObject.joinPartitions(results) if results else []
        # An array cannot be put together from errors.
        joined = []
        for result in results:
            joined.extend([result] if isinstance(result, Exception) else result)
        return joined

    def _items_of(self, value):
        """The results of one task's value. Raises its failures, unless they are to be returned."""
        if isinstance(value, Exception):
            value = [value]
        elif not isinstance(value, list) and not hasattr(value, "__getitem__"):
            value = [value]
        if self._return_exceptions:
            yield from value
        elif len(value) and (type(value) is Failures or isinstance(value[0], Exception)):
            for item in value:
                if isinstance(item, Exception):
                    error.collect_exceptions([item], self._fname)
                    raise item
                yield item
        else:
            yield from value

    def __iter__(self):
        return self._in_order() if self.ordered else self._as_they_come()

    def _in_order(self):
        if self.ready():
            yield from self.get()
            return
        position = 0
        while True:
            if position < len(self._children):
                yield from self._items_of(self._value_of(self._children[position]))
                position += 1
            elif self._batches is None and position >= len(self._children):
                break
            else:
                self._wait_for_child(position)
        if self._failure is not None:
            raise self._failure

    def _wait_for_child(self, position):
        self._dispatcher.wait_until(lambda: len(self._children) > position or self._batches is None)

    def _as_they_come(self):
        if self.ready():
            yield from self.get()
            return
        pending, taken = [], 0
        done = deque()

        def is_more():
            """Whether something has come, or nothing more will."""
            nonlocal pending, taken
            fresh = self._children[taken:]
            taken += len(fresh)
            pending += fresh
            done.extend(message for message in pending if message.reply is not None)
            pending = [message for message in pending if message.reply is None]
            return done or (not pending and self._batches is None and taken == len(self._children))

        while self._dispatcher.wait_until(is_more) and done:
            while done:
                yield from self._items_of(done.popleft().value())
        if pending:
            self._raise_unfinished()
        if self._failure is not None:
            raise self._failure


class Failures(list):
    """The results of some items, of which some are errors."""
