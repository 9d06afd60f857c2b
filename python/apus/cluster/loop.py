"""The one thread on which every cluster of this process lives: it starts children, sees them end, and waits for files.

Coroutines of launchers and clusters run here, whichever thread or event loop calls them. So a child that ends is noticed while no
loop of the user runs, and the `_sync` forms work inside a running loop (a notebook) as well as outside of one.
"""

import asyncio
import functools
import inspect
import os
import threading

_lock = threading.Lock()
_loop = None


def cluster_loop():
    """The running event loop of that thread, which is started by the first call."""
    global _loop
    with _lock:
        if _loop is None:
            # Not the policy's: some loops that people install cannot watch descriptors.
            loop = asyncio.SelectorEventLoop()
            threading.Thread(target=_run, args=(loop,), name="apus-cluster", daemon=True).start()
            _loop = loop
        return _loop


def _run(loop):
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _forget():
    """In a forked child: threads stay with the parent, and so do its clusters."""
    global _loop, _lock
    _loop = None
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def is_cluster_thread():
    """Whether the caller runs on that loop."""
    try:
        return asyncio.get_running_loop() is _loop
    except RuntimeError:
        return False


async def run(coroutine):
    """Await a coroutine that must run on that loop, from any loop."""
    if is_cluster_thread():
        return await coroutine
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, cluster_loop()))


def run_sync(coroutine):
    """Run a coroutine on that loop and wait for its result. What interrupts the wait cancels the coroutine."""
    if is_cluster_thread():
        coroutine.close()
        raise RuntimeError("a _sync method was called in a callback or coroutine of a cluster: await the method without _sync there")
    future = asyncio.run_coroutine_threadsafe(coroutine, cluster_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def call_soon(function, *arguments):
    """Call a function on that loop: at once where the caller runs there."""
    if is_cluster_thread():
        function(*arguments)
    else:
        cluster_loop().call_soon_threadsafe(function, *arguments)


def on_cluster_loop(method):
    """Make a coroutine method run on that loop, whichever loop awaits it."""

    @functools.wraps(method)
    async def hop(self, *args, **kwargs):
        return await run(method(self, *args, **kwargs))

    return hop


class SynchronousForms:
    """Gives every public coroutine method of a class a twin, named `…_sync`, that blocks until it is done."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, method in list(vars(cls).items()):
            twin = f"{name}_sync"
            if not name.startswith("_") and inspect.iscoroutinefunction(method) and twin not in vars(cls):
                setattr(cls, twin, _synchronous(cls, name, method))


def _synchronous(cls, name, method):
    @functools.wraps(method)
    def call(self, *args, **kwargs):
        return run_sync(getattr(self, name)(*args, **kwargs))

    call.__name__ = f"{name}_sync"
    call.__qualname__ = f"{cls.__qualname__}.{call.__name__}"
    call.__doc__ = f"Blocking form of :meth:`{name}`, which has its parameters and errors."
    del call.__wrapped__
    call.__signature__ = inspect.signature(method)
    return call
