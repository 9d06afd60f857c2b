"""An engine as a worker of a Dask cluster (`Client.become_dask`)."""


class DaskWorker:
    def __init__(self, kernel):
        self._kernel = kernel
        self._worker = None

    def become_worker(self, address, nanny, options):
        """Start a worker beside the engine, in the engine's event loop."""
        kernel = self._kernel
        if self._worker is not None:
            kernel.log(20, "A Dask worker is running already.")
            return
        import asyncio

        from distributed import Nanny, Worker

        async def start():
            worker = (Nanny if nanny else Worker)(address, **options)
            starting = asyncio.ensure_future(worker.start())
            starting.add_done_callback(self._started)
            return worker

        background = kernel.background
        if background.loop.is_running():
            coroutine = start()
            # No await inside: it returns in one step.
            try:
                coroutine.send(None)
            except StopIteration as end:
                self._worker = end.value
        else:
            self._worker = background.loop.run_until_complete(start())
        background.keep = True
        kernel.user_ns["dask_worker"] = kernel.user_ns["distributed_worker"] = self._worker

    def _started(self, future):
        error = future.exception() if not future.cancelled() else None
        if error is not None:
            self._kernel.log(40, f"The Dask worker did not start: {type(error).__name__}: {error}")

    def stop_worker(self):
        kernel = self._kernel
        worker, self._worker = self._worker, None
        if worker is None:
            kernel.log(20, "No Dask worker is running.")
            return
        for name in ("dask_worker", "distributed_worker"):
            if kernel.user_ns.get(name) is worker:
                kernel.user_ns.pop(name)
        import asyncio

        async def close():
            try:
                await worker.close()
            finally:
                kernel.background.keep = False

        kernel.background.loop.call_soon(lambda: asyncio.ensure_future(close()))
