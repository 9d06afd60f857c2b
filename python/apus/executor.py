"""Views as executors of `concurrent.futures`."""

import concurrent.futures
import warnings


class ViewExecutor(concurrent.futures.Executor):
    """An executor whose workers are a view's engines."""

    def __init__(self, view):
        self.view = view

    @property
    def _max_workers(self):
        return len(self.view)

    def submit(self, fn, /, *args, **kwargs):
        """As the view's `apply_async`: the AsyncResult is a future."""
        return self.view.apply_async(fn, *args, **kwargs)

    def map(self, func, *iterables, **kwargs):
        """As the view's `imap`. A timeout is not supported and warned of."""
        if kwargs.pop("timeout", None) is not None:
            warnings.warn("timeout unsupported in ViewExecutor.map", stacklevel=2)
        kwargs.pop("chunksize", None)
        return self.view.imap(func, *iterables, **kwargs)

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Wait for everything that was submitted; with `cancel_futures`, take back what has not ended. Engines go on."""
        maps = list(getattr(self.view, "_outstanding_maps", ()))
        if cancel_futures:
            for lazy in maps:
                lazy.cancel()
            self.view.abort()
        if wait:
            # Until all is submitted nobody knows what to wait for.
            for lazy in maps:
                lazy.hurry()
            self.view.wait()
