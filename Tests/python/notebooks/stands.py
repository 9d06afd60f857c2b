"""Stand-ins for clients, views and results: what they say is what the test wants them to have said."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace


class Message:
    """A message as the client keeps it; its reply is as it came from the wire."""

    def __init__(self, engine, began, ended, kind=0, submitted=None):
        self.submitted = began if submitted is None else submitted
        self.received = ended
        self.target = engine
        self.dispatcher = SimpleNamespace(engines=SimpleNamespace(known={f"uuid-{engine}": engine}))
        self.reply = None
        if ended is not None:
            metadata = f'{{"engine": "uuid-{engine}", "started": "{_text(began)}", "status": "ok"}}'
            self.reply = (1, kind, metadata.encode(), f'{{"date":"{_text(ended)}"}}'.encode(), b"{}", [])


def _text(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


class Result:
    """An AsyncMapResult of these messages."""

    _fname = "square"

    def __init__(self, messages, items=None):
        self._children = messages
        self._items = items or len(messages)
        self._ready = all(message.reply is not None for message in messages)

    def __len__(self):
        return self._items

    @property
    def progress(self):
        return sum(message.reply is not None for message in self._children)

    def cancelled(self):
        return False

    def _has_failed(self):
        return any(message.reply[1] for message in self._children)


class Client:
    """A client of `n` engines, whose hub says `load`."""

    profile = "default"
    cluster = None
    _closed = False
    outstanding = ()

    def __init__(self, n, load=None, failure=None):
        self.ids = list(range(n))
        self._engines = {engine: f"{engine:08}-uuid" for engine in self.ids}
        self._queues = load or {}
        self._failure = failure

    def _ask(self, route, targets, kind, content):
        def result(timeout):
            assert timeout is not None
            if self._failure is not None:
                raise self._failure
            return {str(key): value for key, value in self._queues.items()}, []

        assert kind == "queue_request"
        return SimpleNamespace(result=result)


class View:
    """A DirectView."""

    block, track, label = True, False, None
    _flag_names = ("targets", "block", "track", "label")
    outstanding = ()

    def __init__(self, client, targets):
        self.client = client
        self.targets = targets


class Run:
    """What a played view returns from `execute`: a result whose waits do what the test says.

    waits: what each wait does, in turn: True (the result has come), False (it has not), or an exception to raise.
    pending: the engines that have not answered before the result has come. begun: those of them that have begun.
    """

    _fname = "execute"
    _single_result = False

    def __init__(self, view, code, targets, waits, pending, begun, failure=None, errors=()):
        self.view = view
        self.code = code
        self._targets = targets
        self.calls = []
        self._waits = waits
        self._pending = pending
        self._begun = begun
        self._dispatcher = SimpleNamespace(wait_until=self._wait_until)
        self._failure = failure
        self._errors = errors

    def _next(self, name):
        self.calls.append(name)
        outcome = self._waits.pop(0) if self._waits else True
        if isinstance(outcome, BaseException) or isinstance(outcome, type):
            raise outcome
        if outcome:
            self._pending = []
        return outcome

    def wait(self, timeout=-1):
        return self._next("wait" if timeout < 0 else f"wait {timeout:g}")

    def wait_interactive(self):
        return self._next("progress")

    def wait_for_output(self, timeout):
        self.calls.append("output")
        return True

    def stream_output(self):
        from contextlib import contextmanager

        @contextmanager
        def streaming():
            self.calls.append("stream")
            try:
                yield
            finally:
                self.calls.append("end of stream")

        return streaming()

    def display_outputs(self, groupby):
        self.calls.append(f"display by {groupby}")

    def ready(self):
        return not self._pending

    def _wait_until(self, is_it, seconds):
        if not is_it():
            self._next(f"until {seconds:g}")

    @property
    def _children(self):
        return [
            SimpleNamespace(
                reply=None if target in self._pending else (), metadata={"execute_input": self.code if target in self._begun else None}
            )
            for target in self._targets
        ]

    def get(self):
        self.calls.append("get")
        if self._failure is not None:
            raise self._failure

    def __getitem__(self, key):
        assert key == "error"
        return self._errors


class PlayedView:
    """A view on four engines that records what was run, where."""

    def __init__(self, **run):
        self.client = SimpleNamespace(ids=[0, 1, 2, 3], send_signal=self._signal, abort=self._abort)
        self.targets = [0, 1]
        self.block = True
        self.runs = []
        self.signals = []
        self.run = run

    def _signal(self, sig, targets, block):
        assert block is False
        self.signals.append((sig, targets))

    def _abort(self, result, block):
        assert block is False
        result.calls.append("abort")

    def execute(self, code, silent, block):
        assert (silent, block) == (False, False)
        # Each run uses up lists of its own.
        said = {key: list(value) if isinstance(value, list) else value for key, value in self.run.items()}
        options = {"waits": [], "pending": [0, 1], "begun": [0, 1]} | said
        self.runs.append(Run(self, code, self.targets, **options))
        return self.runs[-1]
