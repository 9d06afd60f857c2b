"""An asyncio event loop that lives on between tasks.

Tasks may leave work behind (`asyncio.create_task` in a cell, servers, a Dask worker). As long as there is some, requests are served from
inside the loop; otherwise the engine waits in the core, which is quicker and needs no asyncio.
"""

import sys


class Background:
    def __init__(self, kernel):
        self.kernel = kernel
        self._loop = None
        #: Set while something needs the loop that cannot be seen from outside.
        self.keep = False
        self._cell = None
        self.was_interrupted = False

    @property
    def loop(self):
        """The engine's loop, made by the first use."""
        if self._loop is None or self._loop.is_closed():
            import asyncio

            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop

    def adopt(self):
        """asyncio was imported: its current loop is ours from now on."""
        self.loop  # noqa: B018  (made by the property)

    def has_work(self):
        if self.keep:
            return True
        loop = self._loop
        if loop is None or "asyncio" not in sys.modules or loop.is_closed():
            return False
        return self._is_used(loop, 0, 0)

    @staticmethod
    def _is_used(loop, own_tasks, own_readers):
        import asyncio

        if len(asyncio.all_tasks(loop)) > own_tasks:
            return True
        # The loop watches one socket for its own wake-ups.
        selector = getattr(loop, "_selector", None)
        watched = selector.get_map() if selector is not None else None
        return (watched is not None and len(watched) > 1 + own_readers) or bool(getattr(loop, "_ready", None))

    # -- running one coroutine, for cells with a top-level await

    def run(self, coroutine):
        """Run a coroutine to its end while nothing else runs. An interrupt cancels it."""
        loop = self.loop
        task = loop.create_task(coroutine)
        return self._complete(loop, task, task)

    def _complete(self, loop, outer, cell):
        while True:
            try:
                return loop.run_until_complete(outer)
            except KeyboardInterrupt:
                target = cell if cell is not None else self._cell
                if outer.done() or target is None:
                    if outer.done():
                        raise
                    continue
                self.was_interrupted = True
                target.cancel()

    async def run_cell(self, coroutine):
        """Run the coroutine of a cell inside the running loop, where an interrupt can find it."""
        import asyncio

        self._cell = asyncio.ensure_future(coroutine)
        try:
            return await self._cell
        finally:
            self._cell = None

    # -- the coroutine of a task

    def complete(self, coroutine):
        """The result of a coroutine, while nothing else runs."""
        self.was_interrupted = False
        try:
            return self.run(coroutine)
        except BaseException as error:
            raise self._meant(error) from None

    async def complete_within(self, coroutine):
        """As `complete`, inside the running loop."""
        self.was_interrupted = False
        try:
            return await self.run_cell(coroutine)
        except BaseException as error:
            raise self._meant(error) from None

    def _meant(self, error):
        """An interrupt ends a coroutine by cancelling it; the task's error is the interrupt."""
        import asyncio

        return KeyboardInterrupt() if self.was_interrupted and isinstance(error, asyncio.CancelledError) else error

    # -- serving requests from inside the loop

    def serve(self):
        """Serve until the loop has nothing else to do (returns None) or the engine is stopped (returns the exit code)."""
        loop = self.loop
        return self._complete(loop, loop.create_task(self._serve()), None)

    async def _serve(self):
        import asyncio

        loop = asyncio.get_running_loop()
        core = self.kernel.core
        news = asyncio.Event()
        watched = set()
        timer = None

        def heard(descriptor):
            # Once: what waits there while a task runs would be reported at every turn of the loop.
            watched.discard(descriptor)
            loop.remove_reader(descriptor)
            news.set()

        try:
            while True:
                current = set(core.descriptors())
                for descriptor in watched - current:
                    loop.remove_reader(descriptor)
                for descriptor in current - watched:
                    loop.add_reader(descriptor, heard, descriptor)
                watched.clear()
                watched.update(current)
                news.clear()
                while True:
                    request = core.next(0)
                    if request is None:
                        break
                    if type(request) is int:
                        return request
                    await self.kernel.handle_async(request)
                    # The other inhabitants of the loop get their turn.
                    await asyncio.sleep(0)
                if not self.keep and not self._is_used(loop, 1, len(watched)):
                    return None
                timer = loop.call_later(0.5, news.set)
                await news.wait()
                timer.cancel()
        finally:
            if timer is not None:
                timer.cancel()
            for descriptor in watched:
                loop.remove_reader(descriptor)
