"""Results of tasks that another client sent, or that this one has forgotten: the hub is asked for them."""

from time import monotonic, sleep

from .asyncresult import AsyncResult, _seconds
from .result import FINISHED, PENDING

#: Seconds between two questions; the hub does not tell by itself.
_INTERVAL = 0.1


class AsyncHubResult(AsyncResult):
    """A result that must be asked for: each wait asks the hub again and again. Otherwise an AsyncResult."""

    def __init__(self, client, msg_ids, fname="unknown", targets=None, owner=False, return_exceptions=False, chunk_sizes=None):
        self._hub_values = None
        self._asked = monotonic()
        super().__init__(client, msg_ids, fname, targets, owner, return_exceptions, chunk_sizes)

    def _start(self, client, msg_ids):
        self._dispatcher = client._dispatcher
        self._children = []
        self._msg_ids = list(msg_ids)
        self._records = [client.metadata.get(msg_id) for msg_id in msg_ids]

    def __len__(self):
        return len(self._msg_ids)

    def _wait(self, timeout=None):
        if self._state is not PENDING:
            return True
        client = self._client
        timeout = _seconds(timeout)
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            missing = [msg_id for msg_id in self._msg_ids if msg_id not in client.results]
            if missing:
                missing = client._fetch_results(missing)
            if not missing:
                break
            left = _INTERVAL if deadline is None else min(_INTERVAL, deadline - monotonic())
            if left <= 0:
                return False
            sleep(left)
        self._hub_values = [client.results[msg_id] for msg_id in self._msg_ids]
        self._records = [client.metadata[msg_id] for msg_id in self._msg_ids]
        if self.owner:
            for msg_id in self._msg_ids:
                client.results.pop(msg_id, None)
                client.metadata.pop(msg_id, None)
        self._finish_here()
        return True

    def _finish_here(self):
        from .dispatch import LOCK

        with LOCK:
            if self._state is PENDING:
                self._finish(self._dispatcher, FINISHED)
        self._dispatcher.run_calls()

    def _has_failed(self):
        return any(isinstance(value, Exception) for value in self._hub_values or ())

    def ready(self):
        return self._wait(0)

    def done(self):
        return self._wait(0)

    def wait(self, timeout=-1, return_when=None):
        done = self._wait(_seconds(timeout))
        if return_when is None:
            return done
        return ({self}, set()) if done else (set(), {self})

    def wait_for_output(self, timeout=-1):
        return self._wait(_seconds(timeout))

    def split(self):
        if len(self._msg_ids) == 1:
            return (self,)
        return tuple(AsyncHubResult(self._client, msg_id, self._fname) for msg_id in self._msg_ids)

    def cancel(self):
        return False

    @property
    def _raw_results(self):
        return self._hub_values

    def _read(self):
        try:
            values = self._hub_values
            if self._single_result and isinstance(values[0], Exception):
                raise values[0]
            self._result = self._reconstruct_result(values if self._single_result else self._collect_exceptions(values))
        except Exception as failure:
            self._exception = failure

    def _iterate(self):
        yield from self.get()

    @property
    def progress(self):
        return len(self) if self.ready() else 0

    @property
    def _metadata(self):
        from .metadata import Metadata

        self._wait(0)
        return [Metadata(msg_id=msg_id) if record is None else record for msg_id, record in zip(self._msg_ids, self._records)]

    @property
    def metadata(self):
        return self._metadata[0] if self._single_result else self._metadata

    @property
    def elapsed(self):
        if self.ready():
            return self.wall_time
        return monotonic() - self._asked
