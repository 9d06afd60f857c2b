"""What all views have in common."""

import json
from contextlib import contextmanager
from time import time

from . import serialize
from .canning import Reference
from .codec import NAME as CODEC
from .codec import dump_call, dump_function, task_frames
from .executor import ViewExecutor
from .history import History, MessageIds
from .message import Message
from .serialize import PrePickled


class View:
    """Engines, and how to call functions on them. Its subclasses say which engine a call goes to.

    Flags, as attributes and for `set_flags` and `temp_flags`: `block` (wait for results), `track` (tell when arrays that were sent may be
    changed again), `targets`, `label` (a text that goes into the records of tasks), `time_limit` (seconds that a task may run on an engine
    of Apus, before it is interrupted and fails with TaskTimeout), `kill_after` (seconds after an interrupt, by the time limit or
    `AsyncResult.cancel`, after which a task that still runs ends with its engine's process, which starts anew; with a time limit it is 10).
    """

    block = False
    track = False
    targets = None
    label = None
    time_limit = 0.0
    kill_after = 0.0
    _flag_names = ("targets", "block", "track", "label", "time_limit", "kill_after")
    _is_balanced = False

    def __init__(self, client=None, **flags):
        if type(self) is View:
            raise TypeError("Don't use base View objects, use subclasses")
        self.client = client
        self.block = client.block
        self.results = client.results
        self.history = History(client._dispatcher.prefix)
        self.outstanding = MessageIds(self._find_outstanding, self._outstanding_messages)
        self.executor = ViewExecutor(self)
        self.set_flags(**flags)

    def __repr__(self):
        from .display import view_text

        return view_text(self)

    def _repr_html_(self):
        from .display import view_html

        return view_html(self)

    def __len__(self):
        if isinstance(self.targets, list):
            return len(self.targets)
        return 1 if isinstance(self.targets, int) else len(self.client)

    def __bool__(self):
        return True

    def _find_outstanding(self, msg_id):
        return self.client._find_outstanding(msg_id) if msg_id in self.history else None

    def _outstanding_messages(self):
        has = self.history.has_number
        return [message for message in self.client._outstanding_messages() if has(message.number)]

    # -- flags

    def set_flags(self, **kwargs):
        """Set flags by name. Returns the view. Raises KeyError for a name that is none, ValueError for a time that is none."""
        for name in ("time_limit", "kill_after"):
            check_seconds(name, kwargs.get(name))
        for name, value in kwargs.items():
            if name not in self._flag_names:
                raise KeyError(f"Invalid name: {name!r}")
            setattr(self, name, value)
        return self

    @contextmanager
    def temp_flags(self, **kwargs):
        """Set flags for the time of a `with` block."""
        saved = {name: getattr(self, name) for name in self._flag_names}
        try:
            self.set_flags(**kwargs)
            yield
        finally:
            for name, value in saved.items():
                setattr(self, name, value)

    def _fields(self, label):
        """The flags that every kind of task has, as its metadata has them."""
        fields = {"label": label, "time_limit": self.time_limit, "kill_after": self.kill_after}
        return {name: value for name, value in fields.items() if value}

    # -- calls

    def _really_apply(self, f, args=None, kwargs=None, block=None, **options):
        raise NotImplementedError("Implement in subclasses")

    def apply(self, __ipp_f, /, *args, **kwargs):
        """Call `f(*args, **kwargs)` on engines. Returns an AsyncResult, or with the flag `block` the result."""
        return self._really_apply(__ipp_f, args, kwargs)

    def apply_async(self, __ipp_f, /, *args, **kwargs):
        """Call `f(*args, **kwargs)` on engines. Returns an AsyncResult at once."""
        return self._really_apply(__ipp_f, args, kwargs, block=False)

    def apply_sync(self, __ipp_f, /, *args, **kwargs):
        """Call `f(*args, **kwargs)` on engines and return the result. Raises what `AsyncResult.get` raises."""
        return self._really_apply(__ipp_f, args, kwargs, block=True)

    def _pack_call(self, are_own, f, args, kwargs):
        """(frames, whether they are in Apus's own codec). Raises TypeError if `f` cannot be called."""
        if not callable(f) and not isinstance(f, (Reference, PrePickled)):
            raise TypeError(f"f must be callable, not {type(f)}")
        if are_own and serialize.mode == "pickle" and type(f) is not PrePickled:
            arguments = dump_call(args, kwargs)
            if arguments[0] is not None:
                return task_frames(dump_function(f), arguments), True
        return serialize.pack_apply_message(f, args, kwargs), False

    def _send(self, route, targets, kind, form, content, metadata, frames, flags, label):
        """Send one task to each target. Returns their messages, which are not registered yet."""
        client = self.client
        numbers = client._send(route, targets, kind, content, metadata, frames, flags)
        client.history.add(numbers[0], len(numbers))
        self.history.add(numbers[0], len(numbers))
        dispatcher, now = client._dispatcher, time()
        targets = targets if len(numbers) > 1 or (targets and len(targets) == 1) else [None]
        return [Message.sent(number, form, dispatcher, now, flags, target, None, label) for number, target in zip(numbers, targets)]

    def _finish(self, result, block):
        """The result of a call that was sent, or with `block` what it gives. Ctrl-C while waiting gives the AsyncResult."""
        if block:
            try:
                return result.get()
            except KeyboardInterrupt:
                pass
        return result

    # -- maps

    def map(self, f, *sequences, **kwargs):
        raise NotImplementedError("Implement in subclasses")

    def map_async(self, f, *sequences, **kwargs):
        """`map` that returns an AsyncMapResult at once."""
        if "block" in kwargs:
            raise TypeError("map_async doesn't take a `block` keyword argument.")
        return self.map(f, *sequences, block=False, **kwargs)

    def map_sync(self, f, *sequences, **kwargs):
        """`map` that returns the list of results."""
        if "block" in kwargs:
            raise TypeError("map_sync doesn't take a `block` keyword argument.")
        return self.map(f, *sequences, block=True, **kwargs)

    def imap(self, f, *sequences, **kwargs):
        """Iterate over the results of a map, as they come."""
        return iter(self.map_async(f, *sequences, **kwargs))

    def remote(self, block=None, **flags):
        """Decorator: calls of the function are calls on engines."""
        from .remotefunction import remote

        return remote(self, block=self.block if block is None else block, **flags)

    def parallel(self, dist="b", block=None, **flags):
        """Decorator: the function's sequences are split among engines."""
        from .remotefunction import parallel

        return parallel(self, dist=dist, block=self.block if block is None else block, **flags)

    # -- the client, for these engines

    def spin(self):
        """Deprecated: does nothing."""
        self.client.spin()

    def wait(self, jobs=None, timeout=-1):
        """As `Client.wait`; by default for all tasks of this view."""
        if jobs is None:
            sending = [result for result in list(self.client._dispatcher.sending) if result._view is self]
            jobs = [*sending, *(message.msg_id for message in self._outstanding_messages())]
        elif isinstance(jobs, int):
            jobs = self.history[jobs]
        return self.client.wait(jobs, timeout)

    def abort(self, jobs=None, targets=None, block=None):
        """As `Client.abort`; by default for all tasks of this view."""
        targets = self.targets if targets is None else targets
        jobs = list(self.outstanding) if jobs is None else jobs
        return self.client.abort(jobs=jobs, targets=targets, block=self.block if block is None else block)

    def queue_status(self, targets=None, verbose=False):
        """As `Client.queue_status`, for these engines."""
        targets = self.targets if targets is None else targets
        return self.client.queue_status("all" if targets is None else targets, verbose=verbose)

    def purge_results(self, jobs=(), targets=()):
        """As `Client.purge_results`."""
        if targets is None or targets == "all":
            targets = self.targets
        return self.client.purge_results(jobs=jobs, targets=targets)

    def shutdown(self, targets=None, restart=False, hub=False, block=None):
        """As `Client.shutdown`, for these engines."""
        if targets is None or targets == "all":
            targets = self.targets
        return self.client.shutdown(targets=targets, restart=restart, hub=hub, block=self.block if block is None else block)

    def get_result(self, indices_or_msg_ids=None, block=None, owner=False):
        """As `Client.get_result`, with indices of this view's history."""
        jobs = -1 if indices_or_msg_ids is None else indices_or_msg_ids
        if isinstance(jobs, int):
            jobs = self.history[jobs]
        elif isinstance(jobs, (list, tuple, set)):
            jobs = [self.history[job] if isinstance(job, int) else job for job in jobs]
        return self.client.get_result(jobs, block=block, owner=owner)


def check_seconds(name, value):
    """Raises ValueError if a time is none: a number of seconds from 0 on, or None."""
    if value is not None and not (isinstance(value, (int, float)) and value >= 0):
        raise ValueError(f"{name} is a number of seconds from 0 on, not {value!r}")


def metadata_bytes(fields, is_codec):
    """Metadata of a request, without what is empty."""
    if is_codec:
        fields = fields | {"codec": CODEC}
    return json.dumps(fields, default=str).encode()


def name_of(f):
    """What a callable is called."""
    return getattr(f, "__name__", None) or getattr(f, "name", None) or str(f)
