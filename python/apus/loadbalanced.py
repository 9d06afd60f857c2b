"""Views whose calls go to whichever engine is free."""

from functools import partial
from time import time

from . import serialize
from .asyncresult import AsyncMapResult, AsyncResult
from .batching import SMALL, Batches
from .canning import dependent
from .codec import dump_call, dump_function, task_frames
from .dependency import Dependency
from .message import APPLY, APPLY_CODEC, ITEMS, Message
from .partition import dists
from .serialize import PrePickled
from .views import View, check_seconds, metadata_bytes, name_of
from .wire import EngineFunction

_BALANCED = 3
_AWAITS_OUTPUT, _TRACK = 1, 2

_run = EngineFunction("apus.batches:run")

#: Metadata of calls without flags: (in ipyparallel's form, in Apus's own codec).
_PLAIN = {False: b"{}", True: metadata_bytes({}, True)}


_PLAIN_CODEC = _PLAIN[True]

#: Flags for Apus's own scheduler.
PREFERENCES = ("priority", "resources", "retry_delay", "retry_on")

_RARE_FLAGS = frozenset(("after", "follow", "targets", "timeout", "retries", "track", "label", "_task_scheme", *PREFERENCES, "time_limit", "kill_after"))
#: Recent ids of a history before they are put into runs.
_RECENT = 4096


class LoadBalancedView(View):
    """A view whose calls each run on one engine, which the scheduler chooses.

    Flags beside those of all views: `after` (tasks that must have ended before), `follow` (tasks on whose engine it must run), `timeout`
    (seconds to wait for these), `retries`, `targets` (the engines that may be chosen); and where the controller is Apus's `priority` (tasks
    of a higher one are served first, from -10000 to 10000), `resources` (what an engine must have: `{"gpu": 1}`; engines say what they have
    by `--resources`), `retry_delay` (seconds before a task is tried again; each further pause is twice as long), `retry_on` (exceptions or
    their names after which it is tried again; by default any. EngineError is the loss of its engine).
    """

    after = None
    follow = None
    timeout = 0.0
    retries = 0
    priority = 0
    resources = None
    retry_delay = 0.0
    retry_on = None
    _flag_names = ("follow", "after", "timeout", "retries", *PREFERENCES, *View._flag_names)
    _is_balanced = True
    _task_scheme = None

    def __init__(self, client=None, **flags):
        #: Maps whose inputs are still being read: `executor.shutdown` waits for them.
        self._outstanding_maps = set()
        self._task_scheme = client._task_scheme
        super().__init__(client=client, **flags)

    # -- flags

    def set_flags(self, **kwargs):
        """Set flags by name. Returns the view.

        Raises KeyError for a name that is none, ValueError for a dependency or timeout that is none, TypeError for a timeout's type.
        """
        for name in ("follow", "after"):
            if name in kwargs and not self._validate_dependency(kwargs[name]):
                raise ValueError(f"Invalid dependency: {kwargs[name]!r}")
        timeout = kwargs.get("timeout")
        if not isinstance(timeout, (int, float, type(None))):
            raise TypeError(f"Invalid type for timeout: {type(timeout)!r}")
        if timeout is not None and timeout < 0:
            raise ValueError(f"Invalid timeout: {timeout}")
        check_seconds("retry_delay", kwargs.get("retry_delay"))
        if kwargs.get("retry_on") is not None:
            kwargs["retry_on"] = _names(kwargs["retry_on"])
        _check_preferences(kwargs.get("priority"), kwargs.get("resources"))
        return super().set_flags(**kwargs)

    def _validate_dependency(self, dependency):
        if dependency is None or isinstance(dependency, (str, AsyncResult, Dependency)):
            return True
        if isinstance(dependency, (list, set, tuple)):
            return all(isinstance(one, (str, AsyncResult)) for one in dependency)
        if isinstance(dependency, dict):
            return set(dependency) == {"dependencies", "all", "success", "failure"}
        return False

    def _render_dependency(self, dependency):
        if isinstance(dependency, Dependency):
            return dependency.as_dict()
        if dependency is None:
            return []
        if isinstance(dependency, dict):
            return Dependency(dependency).as_dict()
        return list(Dependency(dependency))

    def _request_fields(self, after, follow, timeout, targets, retries, label):
        """The flags of a call, as its metadata has them."""
        if not isinstance(retries, int):
            raise TypeError(f"retries must be int, not {type(retries)!r}")
        uuids = [] if targets is None else [uuid.decode() for uuid in self.client._build_targets(targets, may_wait=True)[0]]
        fields = {
            "after": self._render_dependency(after), "follow": self._render_dependency(follow), "timeout": timeout, "targets": uuids,
            "retries": retries, "label": label, "time_limit": self.time_limit, "kill_after": self.kill_after,
            "priority": self.priority, "resources": self.resources, "retry_delay": self.retry_delay,
            "retry_on": _names(self.retry_on) if self.retry_on else None,
        }  # fmt: skip
        return {name: value for name, value in fields.items() if value}

    # -- calls

    def apply(self, __ipp_f, /, *args, **kwargs):
        """Call `f(*args, **kwargs)` on an engine. Returns an AsyncResult, or with the flag `block` the result."""
        return self._finish(self.apply_async(__ipp_f, *args, **kwargs), self.block)

    def apply_sync(self, __ipp_f, /, *args, **kwargs):
        """Call `f(*args, **kwargs)` on an engine and return the result. Raises what `AsyncResult.get` raises."""
        return self._finish(self.apply_async(__ipp_f, *args, **kwargs), True)

    def apply_async(self, __ipp_f, /, *args, **kwargs):
        """Call `f(*args, **kwargs)` on an engine. Returns an AsyncResult at once."""
        # Most calls are of this kind, and there are many: everything is in one place.
        client = self.client
        dispatcher = client._dispatcher
        if kwargs or self._has_flags or not dispatcher.engines.are_all_own or serialize.mode != "pickle" or not callable(__ipp_f):
            return self._really_apply(__ipp_f, args, kwargs, block=False)
        buffers = dump_call(args, kwargs)
        if buffers[0] is None:
            return self._really_apply(__ipp_f, args, kwargs, block=False)
        try:
            function = dump_function(__ipp_f)
            if type(function) is tuple:
                function, buffers = function[0], [*function[1:], *buffers]
            number = client._submit_task(client._handle, _PLAIN_CODEC, function, buffers)
        except client._core.ClientError as failure:
            client._raise(failure)
        client.history.recent.append(number)
        recent = self.history.recent
        recent.append(number)
        if len(recent) > _RECENT:
            client.history.compress()
            self.history.compress()
        message = Message(number, APPLY_CODEC, dispatcher, time())
        result = AsyncResult._of_one(client, message, getattr(__ipp_f, "__name__", None) or name_of(__ipp_f))
        dispatcher.under_way[number] = message
        if dispatcher._early:
            dispatcher._catch_up(number)
        return result

    #: Whether something is set that most calls do without.
    _has_flags = False

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in _RARE_FLAGS:
            is_set = any(bool(getattr(self, flag)) for flag in _RARE_FLAGS if flag != "_task_scheme")
            super().__setattr__("_has_flags", is_set or self.targets is not None or self._task_scheme == "pure")

    def _really_apply(
        self, f, args=None, kwargs=None, block=None, track=None, after=None, follow=None, timeout=None, targets=None, retries=None,
        label=None,
    ):  # fmt: skip
        args = () if args is None else args
        kwargs = {} if kwargs is None else kwargs
        block = self.block if block is None else block
        label = self.label if label is None else label
        targets = self.targets if targets is None else targets
        fields = self._request_fields(
            self.after if after is None else after, self.follow if follow is None else follow,
            self.timeout if timeout is None else timeout, targets, self.retries if retries is None else retries, label,
        )  # fmt: skip
        if self._task_scheme == "pure":
            self._refuse_flags(f, fields)
        are_own = self._are_own(targets)
        frames, is_codec = self._pack_call(are_own, f, args, kwargs)
        metadata = metadata_bytes(fields, is_codec) if fields else _PLAIN[is_codec]
        flags = (_TRACK if (self.track if track is None else track) else 0) | (0 if are_own else _AWAITS_OUTPUT)
        form = APPLY_CODEC if is_codec else APPLY
        (message,) = self._send(_BALANCED, None, "apply_request", form, b"{}", metadata, frames, flags, label)
        result = AsyncResult._of_one(self.client, message, name_of(f))
        self.client._dispatcher.register(message)
        return self._finish(result, block)

    def _are_own(self, targets):
        engines = self.client._dispatcher.engines
        return engines.are_all_own if targets is None else engines.are_own(self.client._build_targets(targets, may_wait=True)[1])

    def _refuse_flags(self, f, fields):
        text = "Pure ZMQ scheduler doesn't support the following flags: follow, after, retries, targets, timeout"
        if fields.keys() - {"label"}:
            raise RuntimeError(text)
        if isinstance(f, dependent):
            import warnings

            warnings.warn(text, RuntimeWarning, stacklevel=4)

    # -- maps

    def map(self, f, *sequences, block=None, chunksize=None, ordered=True, return_exceptions=False, label=None):
        """Parallel `map` over whichever engines are free.

        chunksize: items of a task. None (default): items are sent one by one as long as there are few, and in groups, whose size follows
        their measured duration, if there are many. ordered: iterating over the result keeps the order of the items. return_exceptions:
        exceptions are results, too.

        Returns an AsyncMapResult, or with `block` the list of results.
        """
        from .remotefunction import ParallelFunction

        if not sequences:
            raise ValueError("must have some sequences to map onto!")
        function = ParallelFunction(
            self, f, block=self.block if block is None else block, chunksize=chunksize, ordered=ordered,
            return_exceptions=return_exceptions, label=self.label if label is None else label,
        )  # fmt: skip
        return function.map(*sequences)

    def _map_in_batches(self, function, sequences, count):
        """The result of a map whose items are grouped on the way; None if they are to be sent one by one."""
        # Each item is a task of its own then.
        has_flags = self._task_scheme == "pure" or any(
            getattr(self, flag) for flag in ("after", "follow", "retries", "timeout", "time_limit", "kill_after", *PREFERENCES)
        )
        is_plain = serialize.mode == "pickle" and type(function.func) is not PrePickled
        if count <= SMALL or has_flags or not is_plain or not self._are_own(self.targets):
            return None
        client = self.client
        fields = self._request_fields(None, None, 0, self.targets, 0, self.label)
        metadata = metadata_bytes(fields, True) if fields else _PLAIN[True]
        blob, label = dump_function(partial(_run, function.func)), self.label

        def submit(parts):
            call = dump_call(tuple(parts), {})
            (message,) = self._send(_BALANCED, None, "apply_request", ITEMS, b"{}", metadata, task_frames(blob, call), 0, label)
            return message, sum(len(frame) if type(frame) is bytes else frame.nbytes for frame in call)

        result = AsyncMapResult(
            client, [], dists["b"](), fname=name_of(function.func), ordered=function.ordered,
            return_exceptions=function.return_exceptions, chunk_sizes={},
        )  # fmt: skip
        result._view = self
        targets = self.targets
        if targets is None:
            engine_count = lambda: len(client._dispatcher.engines.ids)  # noqa: E731
        else:
            engine_count = lambda: len(client._build_targets(targets, may_wait=True)[1])  # noqa: E731
        result._start_batches(Batches(result, submit, client._dispatcher.register, engine_count, sequences, count))
        return result

    def _apply_each(self, f, calls):
        """Send one task for each list of arguments. Returns their messages."""
        fields = self._request_fields(self.after, self.follow, self.timeout, self.targets, self.retries, self.label)
        if self._task_scheme == "pure":
            self._refuse_flags(f, fields)
        are_own = self._are_own(self.targets)
        is_codec = are_own and serialize.mode == "pickle"
        if is_codec:
            blob = dump_function(f)
            tasks = [task_frames(blob, dump_call(tuple(args), {})) for args in calls]
        else:
            packed = PrePickled(f)
            tasks = [serialize.pack_apply_message(packed, args, {}) for args in calls]
        metadata = metadata_bytes(fields, is_codec) if fields else _PLAIN[is_codec]
        flags = (_TRACK if self.track else 0) | (0 if are_own else _AWAITS_OUTPUT)
        client = self.client
        try:
            first = client._core.client_submit_many(client._handle, "apply_request", b"{}", metadata, tasks, flags)
        except client._core.ClientError as failure:
            client._raise(failure)
        client.history.add(first, len(tasks))
        self.history.add(first, len(tasks))
        now, form, dispatcher, label = time(), APPLY_CODEC if is_codec else APPLY, client._dispatcher, self.label
        messages = [Message.sent(first + index, form, dispatcher, now, flags, None, None, label) for index in range(len(tasks))]
        dispatcher.register_all(messages)
        return messages

    def imap(self, f, *sequences, ordered=True, max_outstanding="auto", return_exceptions=False):
        """Iterate over the results of a map whose inputs are read as they are needed, and may have no end.

        max_outstanding: tasks under way at once; 'auto' is one for each engine, 0 means no limit. Inputs are also left alone while many
        results have not been taken. ordered: keep the order of the inputs. return_exceptions: yield exceptions instead of raising them.

        The iterator has `cancel()`, after which no more inputs are read.
        """
        from .lazymap import LazyMapIterator

        if not sequences:
            raise ValueError("must have some sequences to map onto!")
        if max_outstanding == "auto":
            max_outstanding = max(1, len(self))
        return LazyMapIterator(self, f, sequences, ordered, max_outstanding, return_exceptions)

    def register_joblib_backend(self, name="ipyparallel", make_default=False):
        """Make this view a backend of joblib: `Parallel(backend=name)`."""
        from joblib.parallel import register_parallel_backend

        from ._joblib import IPythonParallelBackend

        register_parallel_backend(name, lambda **kwargs: IPythonParallelBackend(view=self, **kwargs), make_default=make_default)


def _names(exceptions):
    """Names of exceptions, of which classes and names may be given. Raises TypeError for others."""
    exceptions = [exceptions] if isinstance(exceptions, (str, type)) else list(exceptions)
    for one in exceptions:
        if not isinstance(one, str) and not (isinstance(one, type) and issubclass(one, BaseException)):
            raise TypeError(f"retry_on has exceptions and their names, not {one!r}")
    return [one if isinstance(one, str) else one.__name__ for one in exceptions]


def _check_preferences(priority, resources):
    """Raises ValueError."""
    if priority is not None and (not isinstance(priority, int) or abs(priority) > 10_000):
        raise ValueError(f"priority is a whole number from -10000 to 10000, not {priority!r}")
    if resources is None:
        return
    amounts = resources.items() if isinstance(resources, dict) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(amount, (int, float)) and amount >= 0 for name, amount in amounts):
        raise ValueError(f'resources are names with amounts from 0 on, such as {{"gpu": 1}}, not {resources!r}')
