"""Clients of a cluster: connecting one, and waiting until the engines are there."""

import asyncio
import concurrent.futures
import contextlib
import inspect

from . import loop
from .processes import describe_exit


class Connecting:
    """The part of `Cluster` that makes clients.

    Clients are made on the thread that asks, and not on that of clusters: they belong to whoever uses them. So each method here
    has its two forms written out.
    """

    _context_client = None
    #: How many are about to raise it as an error if something ends now: nothing is said of it in the log then.
    _raises_ends = 0

    @contextlib.contextmanager
    def _raising_ends(self):
        self._raises_ends += 1
        try:
            yield
        finally:
            self._raises_ends -= 1

    async def connect_client(self, **client_kwargs):
        """Connect a client, as soon as the controller is ready.

        Arguments are those of `Client`. Raises RuntimeError where the controller was not started, or has ended.
        """
        info = await loop.run(self._connection_info())
        return self._make_client(info, client_kwargs)

    def connect_client_sync(self, **client_kwargs):
        """Blocking form of :meth:`connect_client`, which has its parameters and errors."""
        return self._make_client(loop.run_sync(self._connection_info()), client_kwargs)

    async def _connection_info(self):
        if self.controller is None:
            raise RuntimeError(f"the controller of {self} does not run: start_controller() or start_cluster() comes first")
        info = self.controller.get_connection_info()
        return await info if inspect.isawaitable(info) else info

    def _make_client(self, info, kwargs):
        return _client_class()(info["client"], cluster=self, profile_dir=self.profile_dir, cluster_id=self.cluster_id, **kwargs)

    # MARK: start and connect

    async def start_and_connect(self, n=None, activate=False):
        """Start the cluster, connect a client, and wait until the engines are ready.

        Parameters
        ----------
        n : int, optional
            Engines to start. Default: the cluster's `n`, else one for each core.
        activate : bool
            Whether to make `%px` and its companions work on all engines, in IPython.

        Returns the client. Raises EngineError with the last words of an engine that died at its start, RuntimeError with those of a
        controller that did, and TimeoutError where engines were not ready within `engine_timeout`.
        """
        before = set(self.engines)
        with self._raising_ends():
            await self.start_cluster(n)
            client = await self.connect_client()
            wait = EnginesWait(self, client, n, before)
            try:
                await _first(wait.futures)
                wait.finish()
            except BaseException:
                client.close()
                raise
            finally:
                wait.close()
        return _activated(client) if activate else client

    def start_and_connect_sync(self, n=None, activate=False):
        """Blocking form of :meth:`start_and_connect`, which has its parameters and errors."""
        before = set(self.engines)
        with self._raising_ends():
            self.start_cluster_sync(n)
            client = self.connect_client_sync()
            wait = EnginesWait(self, client, n, before)
            try:
                concurrent.futures.wait(wait.futures, return_when=concurrent.futures.FIRST_COMPLETED)
                wait.finish()
            except BaseException:
                client.close()
                raise
            finally:
                wait.close()
        return _activated(client) if activate else client

    # MARK: with

    async def __aenter__(self):
        with self._raising_ends():
            try:
                self._context_client = await self.start_and_connect()
            except BaseException:
                await self.stop_cluster()
                raise
        return self._context_client

    async def __aexit__(self, *error):
        self._close_context_client()
        await self.stop_cluster()

    def __enter__(self):
        with self._raising_ends():
            try:
                self._context_client = self.start_and_connect_sync()
            except BaseException:
                self.stop_cluster_sync()
                raise
        return self._context_client

    def __exit__(self, *error):
        self._close_context_client()
        self.stop_cluster_sync()

    def _close_context_client(self):
        client, self._context_client = self._context_client, None
        if client is not None:
            client.close()


async def _first(futures):
    """Wait until one of them is done."""
    here = [asyncio.wrap_future(future) for future in futures]
    try:
        await asyncio.wait(here, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in here:
            # Its error is raised by whoever looks at the original.
            if not future.cancel() and not future.cancelled():
                future.exception()


class EnginesWait:
    """Waits for engines to be ready, or for the first part of the cluster to end before that.

    Parameters
    ----------
    before : set of str
        Engine sets that were there before: whether their engines live or not is not waited for.

    Attributes
    ----------
    futures : list of concurrent.futures.Future
        One of them is done when the wait is over.
    """

    def __init__(self, cluster, client, n, before):
        self._launchers = []
        self._end = concurrent.futures.Future()
        n = cluster._first_engines if cluster._is_of_program else n or cluster.n or sum(engines.n for engines in cluster.engines.values())
        self._ready = client.wait_for_engines(n, block=False, timeout=cluster.engine_timeout)
        self.futures = [self._ready, self._end]
        self._watch("the controller", cluster.controller)
        for name, engines in list(cluster.engines.items()):
            if name in before:
                continue
            # Some kinds of launchers do not know their engines one by one.
            members = {**getattr(engines, "ended", {}), **getattr(engines, "launchers", {})}
            for number, launcher in members.items():
                self._watch(f"engine {number}", launcher)
            # After its engines: their words say more.
            self._watch(f"the engine set {name}", engines)

    def _watch(self, title, launcher):
        def ended(data):
            if not self._end.done():
                self._end.set_result((title, launcher, data))

        self._launchers.append((launcher, ended))
        launcher.on_stop(ended)

    def finish(self):
        """Raise what has gone wrong, if anything has."""
        if self._ready.done() and self._ready.exception() is None:
            return
        if self._end.done() and not self._end.cancelled():
            raise _death(*self._end.result())
        self._ready.result()

    def close(self):
        self._ready.cancel()
        for launcher, callback in self._launchers:
            if callback in launcher.stop_callbacks:
                launcher.stop_callbacks.remove(callback)


def _death(title, launcher, data):
    """The error of a part that ended before the engines were ready, with its last words."""
    from ..error import EngineError

    code = data.get("exit_code") if isinstance(data, dict) else None
    return EngineError(f"{title} ended{describe_exit(code)} before the engines were ready{launcher.words_for_error()}")


def _activated(client):
    view = client[:]
    view.block = True
    view.activate()
    return client


def _client_class():
    """What clients are made of."""
    from ..client import Client

    return Client
