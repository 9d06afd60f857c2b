"""Results of what was sent to engines."""

import time
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from concurrent.futures._base import FINISHED, PENDING

from . import error
from .dispatch import LOCK
from .metadata import KEYS, utcnow
from .output import Output
from .result import PendingResult


def _seconds(timeout):
    """None for ever, as for any negative number."""
    return None if timeout is None or timeout < 0 else timeout


class _OneChild:
    """The messages of a result that has one, as the others have them: made when they are asked for."""

    def __get__(self, instance, owner):
        return self if instance is None else (instance._message,)


class AsyncResult(Output, PendingResult):
    """The result of one call on one or several engines, which may still be to come.

    It is a `concurrent.futures.Future`, can be awaited in asyncio, and has the interface of `multiprocessing.pool.AsyncResult`. Entries of
    the tasks' records are attributes (`ar.stdout`, `ar.engine_id`, `ar.started`) and items (`ar["stdout"]`): one value, or a list if the
    call went to a list of engines.
    """

    # As results of one call are, of which there are many.
    _single_result = True
    owner = True
    _children = _OneChild()
    _message = None
    _targets = None
    _fname = "unknown"
    _client = None
    _return_exceptions = False
    _chunk_sizes = None
    _msg_ids = None
    _parts = None

    def __init__(self, client, children, fname="unknown", targets=None, owner=False, return_exceptions=False, chunk_sizes=None):
        self._single_result = not isinstance(children, list)
        if self._single_result:
            children = [children]
        self._client = client
        self._fname = fname
        self._targets = targets
        self.owner = owner
        self._return_exceptions = return_exceptions
        self._chunk_sizes = chunk_sizes
        self._start(client, children)

    def _start(self, client, children):
        if children and isinstance(children[0], str):
            children = [client._message_of(msg_id) for msg_id in children]
        super().__init__(client._dispatcher, children)

    @classmethod
    def _of_one(cls, client, message, fname):
        """The result of one message that nobody knows yet."""
        self = cls.__new__(cls)
        self._client = client
        self._dispatcher = message.dispatcher
        self._message = message
        self._fname = fname
        message.listener = self
        return self

    # -- ids

    @property
    def msg_ids(self):
        """The ids of the tasks, in order."""
        if self._msg_ids is None:
            self._msg_ids = [message.msg_id for message in self._children]
        return self._msg_ids

    def __len__(self):
        return self._count_chunks(self._children)

    def _count_chunks(self, messages):
        sizes = self._chunk_sizes
        return len(messages) if not sizes else sum(sizes.get(message.msg_id, 1) for message in messages)

    # -- waiting

    @property
    def _ready(self):
        return self._state is not PENDING

    @property
    def _success(self):
        if self._state is not FINISHED:
            return None
        return self.exception() is None

    def ready(self):
        """Whether the call has ended, well or not."""
        return self._state is not PENDING

    def _check_ready(self):
        if not self.ready():
            raise TimeoutError("Result not ready.")

    def successful(self):
        """Whether the call ended without an exception.

        Raises RuntimeError if it has not ended.
        """
        if not self.ready():
            raise RuntimeError("Cannot check successful() if not done.")
        return self._success

    def wait(self, timeout=-1, return_when=None):
        """Wait until the call has ended, or `timeout` seconds have passed (None or -1: for ever).

        Returns whether it has. With `return_when` (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION) two sets of results, one for each task
        that has ended and one for each that has not.
        """
        timeout = _seconds(timeout)
        if return_when is None:
            return self._wait(timeout)
        from .futures import wait

        return wait(self.split(), timeout=timeout, return_when=return_when)

    def get(self, timeout=None, return_exceptions=None, return_when=None):
        """The result: a list if the call went to a list of engines, otherwise one value.

        timeout: seconds. return_exceptions: return exceptions in place of results, instead of raising them. return_when: FIRST_EXCEPTION
        raises as soon as one task has failed, without waiting for the others.

        Raises RemoteError (one engine), CompositeError (several), TaskAborted, TimeoutError.
        """
        if self._state is FINISHED:
            if not self._is_read:
                self._read()
                self._is_read = True
            if self._exception is None:
                return self._result
        if return_when == FIRST_COMPLETED:
            import warnings

            warnings.warn("Ignoring unsupported AsyncResult.get(return_when=FIRST_COMPLETED)", UserWarning, stacklevel=2)
        timeout = None if timeout is None else _seconds(timeout)
        if return_when == FIRST_EXCEPTION and not self.ready():
            done, pending = self.wait(timeout, return_when)
            if pending:
                for part in done:
                    if not part._success:
                        return part.get(return_exceptions=return_exceptions)
                raise TimeoutError("Result not ready.")
        if return_exceptions is None:
            return_exceptions = self._return_exceptions
        if return_exceptions:
            failure = self.exception(timeout)
            return self._result if failure is None else self._reconstruct_result(self._raw_results)
        return self.result(timeout)

    @property
    def r(self):
        """The result, as `get()` gives it."""
        return self.get()

    def wait_for_output(self, timeout=-1):
        """Wait until everything that the tasks print and show has come; whether it has. A result may come before its output."""
        return self._dispatcher.wait_until(lambda: self._output_ready, _seconds(timeout))

    @property
    def _output_ready(self):
        return self._state is not PENDING and not any(message.has_output_pending for message in self._children)

    # -- reading

    @property
    def _raw_results(self):
        return [message.value() for message in self._children]

    def _read(self):
        try:
            if self._single_result:
                message = self._message or self._children[0]
                value = message.value()
                if message.reply[1]:
                    self._exception = value
                else:
                    self._result = value
                return
            self._result = self._reconstruct_result(self._collect_exceptions(self._raw_results))
        except Exception as failure:
            failure.__traceback__ = None
            self._exception = failure

    def _collect_exceptions(self, results):
        """Raise what failed as one CompositeError, unless exceptions are to be returned."""
        return results if self._return_exceptions else error.collect_exceptions(results, self._fname)

    def _reconstruct_result(self, results):
        return results[0] if self._single_result else results

    def get_dict(self, timeout=-1):
        """The results by engine id. Raises ValueError if an engine had two of them, and what `get` raises."""
        results = self.get(timeout)
        if self._single_result:
            results = [results]
        ids = [message.metadata["engine_id"] for message in self._children]
        by_engine = dict(zip(ids, results))
        if len(by_engine) < len(ids):
            twice = next(engine_id for engine_id in ids if ids.count(engine_id) > 1)
            raise ValueError(f"Cannot build dict, {ids.count(twice)} jobs ran on engine #{twice}")
        return by_engine

    @property
    def result_dict(self):
        """The results by engine id."""
        return self.get_dict()

    # -- parts

    @classmethod
    def join(cls, *async_results):
        """One result of several: inverse of `split`. Raises ValueError without any."""
        if not async_results:
            raise ValueError("Must specify at least one AsyncResult to join")
        first = async_results[0]
        if len(async_results) == 1:
            return first
        return cls(
            first._client,
            [message for result in async_results for message in result._children],
            fname=first._fname,
            targets=[target for result in async_results for target in result._targets or [None] * len(result._children)],
            return_exceptions=first._return_exceptions,
        )

    #: Whether a part's result is a list of one.
    _splits_into_lists = False

    def split(self):
        """A result for each task, which can be waited for on its own."""
        if len(self._children) == 1:
            return (self,)
        if self._parts is None:
            targets = self._targets or [None] * len(self._children)
            self._parts = tuple(
                AsyncResult(
                    self._client,
                    [message] if self._splits_into_lists else message,
                    fname=self._fname,
                    targets=[target],
                    return_exceptions=self._return_exceptions,
                )
                for target, message in zip(targets, self._children)
            )
        return self._parts

    def __iter__(self):
        """Results as they come, in order. Raises TypeError for a single result."""
        if self._single_result:
            raise TypeError("AsyncResults with a single result are not iterable.")
        return self._iterate()

    def _iterate(self):
        if self.ready():
            yield from self.get()
            return
        for message in self._children:
            value = self._value_of(message)
            self._collect_exceptions([value])
            yield value

    def _value_of(self, message):
        """The value of one message, when it has come."""
        self._dispatcher.wait_until(lambda: message.reply is not None)
        if message.reply is None:
            self._raise_unfinished()
        return message.value()

    # -- taking back

    def explain(self):
        """Why it waits, where it ran, how it ended: an `Explanation` for people and programs, or a list of them for several tasks."""
        return self._client.explain(self)

    def abort(self):
        """Take back the tasks that have not begun. Raises RuntimeError if the call has ended. `cancel` interrupts those that have begun."""
        if self.ready():
            raise RuntimeError("Can't abort, I am already done!")
        return self._client.abort(self, block=True)

    # -- sending

    @property
    def sent(self):
        """Whether the arrays that were sent may be changed again; always true without `track`."""
        return all(message.is_sent for message in self._children)

    def wait_for_send(self, timeout=-1):
        """Wait until the arrays that were sent may be changed again. Raises TimeoutError."""
        if not self._dispatcher.wait_until(lambda: self.sent, _seconds(timeout)):
            raise TimeoutError("Still waiting to be sent")

    @property
    def _tracker(self):
        return SendTracker(self)

    @property
    def _sent_event(self):
        return SendTracker(self)

    # -- records

    @property
    def _metadata(self):
        return [message.metadata for message in self._children]

    @property
    def metadata(self):
        """The record of the task; a list of records if the call went to a list of engines."""
        return self._children[0].metadata if self._single_result else self._metadata

    def __getitem__(self, key):
        """A result by index or slice, or an entry of the records by its name. Only the latter needs no result."""
        if isinstance(key, str):
            values = [record[key] for record in self._metadata]
            return values[0] if self._single_result else values
        if isinstance(key, int):
            self._check_ready()
            return self._collect_exceptions([self.result()[key]])[0]
        if isinstance(key, slice):
            self._check_ready()
            return self._collect_exceptions(self.result()[key])
        raise TypeError(f"Invalid key type {type(key)!r}, must be 'int','slice', or 'str'")

    def __getattr__(self, key):
        if not key.startswith("_"):
            try:
                return self[key]
            except KeyError:
                pass
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {key!r}")

    def __dir__(self):
        return [*super().__dir__(), *KEYS]

    def __repr__(self):
        from .display import result_text

        return result_text(self)

    def _repr_html_(self):
        from .display import result_html

        return result_html(self)

    # -- times

    def timedelta(self, start, end, start_key=min, end_key=max):
        """Seconds between two dates; of a list of dates, `start_key` and `end_key` choose one."""
        if not hasattr(start, "timestamp"):
            start = start_key(start)
        if not hasattr(end, "timestamp"):
            end = end_key(end)
        return (end - start).total_seconds()

    @property
    def progress(self):
        """How many of `len(self)` tasks have ended."""
        with LOCK:
            return self._count_chunks([message for message in self._children if message.reply is not None])

    @property
    def elapsed(self):
        """Seconds since the call, or how long it took."""
        if self.ready():
            return self.wall_time
        began = min((record["submitted"] for record in self._metadata if record["submitted"]), default=None)
        return 0.0 if began is None else (utcnow() - began).total_seconds()

    @property
    def serial_time(self):
        """Seconds that the engines took, added up. Raises TimeoutError if the call has not ended."""
        if not self.ready():
            raise TimeoutError("result not ready")
        return sum((record["completed"] - record["started"]).total_seconds() for record in self._metadata if record["started"])

    @property
    def wall_time(self):
        """Seconds from the call to its last result. Raises TimeoutError if the call has not ended."""
        if not self.ready():
            raise TimeoutError("result not ready")
        return self.timedelta([record["submitted"] for record in self._metadata], [record["received"] for record in self._metadata])

    def wait_interactive(self, interval=0.1, timeout=-1, widget=None, return_when=ALL_COMPLETED):
        """Wait with a progress bar that moves every `interval` seconds.

        widget: whether the bar is a notebook's; None finds out. return_when: FIRST_COMPLETED and FIRST_EXCEPTION end earlier.
        """
        from .util import progress

        timeout = _seconds(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        bar = progress(widget=widget, total=len(self), unit="tasks", desc=self._fname)
        try:
            while not self._is_enough(return_when):
                if deadline is not None and time.monotonic() > deadline:
                    break
                self._dispatcher.wait_until(lambda: self._is_enough(return_when), interval)
                bar.update(self.progress - bar.n)
            bar.update(self.progress - bar.n)
        finally:
            bar.close()

    def _is_enough(self, return_when):
        if self.ready() or return_when == ALL_COMPLETED:
            return self.ready()
        if return_when == FIRST_COMPLETED:
            return any(message.reply is not None for message in self._children)
        if return_when == FIRST_EXCEPTION:
            return any(message.has_failed for message in self._children)
        raise ValueError(f"Unrecognized return_when={return_when!r}")


class SendTracker:
    """Whether what was sent may be changed again: what `zmq.MessageTracker` tells in ipyparallel."""

    def __init__(self, result):
        self._result = result

    @property
    def done(self):
        return self._result.sent

    is_set = lambda self: self.done  # noqa: E731

    def wait(self, timeout=-1):
        """Wait until it may. Raises TimeoutError."""
        self._result.wait_for_send(timeout)
        return True


from .hubresult import AsyncHubResult  # noqa: E402
from .mapresult import AsyncMapResult  # noqa: E402

__all__ = ["AsyncResult", "AsyncMapResult", "AsyncHubResult"]
