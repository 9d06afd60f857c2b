"""Waiting for engines to come."""

import os
import sys
import threading
from concurrent.futures import Future

from . import error


def _is_interactive():
    if os.environ.get("IPP_NONINTERACTIVE", "") not in ("", "0"):
        return False
    module = sys.modules.get("IPython")
    return module is not None and module.get_ipython() is not None


class EngineWait:
    """The part of the client that waits for engines."""

    def wait_for_engines(self, n=None, *, timeout=-1, block=True, interactive=None, widget=None):
        """Wait until there are `n` engines (by default as many as the client's cluster has).

        block: if false, return a Future at once. interactive: show a progress bar; by default inside of IPython. widget: a notebook's bar.

        Raises TimeoutError after `timeout` seconds (-1: never), EngineError if an engine is lost meanwhile or the cluster's engines stop.
        """
        n = self._expected_engines() if n is None else n
        if len(self) >= n:
            if block:
                return None
            future = Future()
            future.set_result(None)
            return future
        wait = _EngineWait(self, n, _is_interactive() if interactive is None else interactive, widget)
        if block:
            self._dispatcher.wait_until(wait.future.done, timeout)
            if self._dispatcher.over:
                wait.fail(OSError(self._dispatcher.over[1]))
            wait.expire(timeout)
            return wait.future.result()
        if timeout is not None and timeout >= 0:
            timer = threading.Timer(timeout, wait.expire, (timeout,))
            timer.daemon = True
            timer.start()
            wait.future.add_done_callback(lambda _: timer.cancel())
        return wait.future

    def _expected_engines(self):
        if self.cluster is None:
            raise TypeError("n engines to wait for must be specified")
        return self.cluster.n or sum(engine_set.n for engine_set in self.cluster.engines.values())


class _EngineWait:
    """One wait: it ends when enough engines have come, one is lost, or the cluster's engines stop."""

    def __init__(self, client, n, is_interactive, widget):
        self.client = client
        self.n = n
        self.future = Future()
        self.bar = None
        if is_interactive:
            from .util import progress

            self.bar = progress(widget=widget, initial=len(client), total=n, unit="engine")
        callbacks = client._dispatcher.engine_callbacks
        callbacks.append(self.notice)
        self.future.add_done_callback(lambda _: callbacks.remove(self.notice))
        self.future.add_done_callback(lambda _: client._dispatcher.poke())
        for engine_set in list((client.cluster.engines if client.cluster else {}).values()):
            self._watch(engine_set)
        # One may have come before the callback was there.
        self.notice(None)

    def _watch(self, engine_set):
        engine_set.on_stop(self.stopped)

        def forget(_):
            if self.stopped in getattr(engine_set, "stop_callbacks", ()):
                engine_set.stop_callbacks.remove(self.stopped)

        self.future.add_done_callback(forget)

    def stopped(self, data):
        self.fail(error.EngineError(f"Engine set stopped: {data}"))

    def notice(self, event):
        if self.future.done():
            return
        if event is not None and event["event"] == "unregister":
            self.fail(error.EngineError(f"Engine {event['id']} unregistered while waiting for engines."))
            return
        count = len(self.client)
        if self.bar is not None:
            self.bar.update(count - self.bar.n)
        if count >= self.n:
            self._end(None)

    def expire(self, timeout):
        if not self.future.done():
            if len(self.client) >= self.n:
                self._end(None)
            else:
                self.fail(TimeoutError(f"{self.n} engines not ready in {timeout} seconds. Currently ready: {len(self.client)}"))

    def fail(self, failure):
        if not self.future.done():
            self._end(failure)

    def _end(self, failure):
        if self.bar is not None:
            self.bar.close()
        try:
            if failure is None:
                self.future.set_result(None)
            else:
                self.future.set_exception(failure)
        except Exception:
            # Another thread was faster.
            pass
