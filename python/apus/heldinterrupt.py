"""An interrupt that waits until somebody can do something about it."""

import signal
import threading


class HeldInterrupt:
    """Holds SIGINT back until `release`, or to the end of the `with`; then what has come is raised as Python would have raised it.

    ::

        with HeldInterrupt() as held:
            work = begin()
            try:
                held.release()
                wait_for(work)
            except KeyboardInterrupt:
                end(work)

    Outside the main thread, which is the only one that Python interrupts, and where something else than Python handles the signal, nothing
    is held.
    """

    def __init__(self):
        self._handler = None
        self._came = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number, frame):
        self._came = number, frame

    def release(self):
        """Hold nothing any more. Raises KeyboardInterrupt if an interrupt has come, where the program's handler does."""
        handler, self._handler = self._handler, None
        if handler is None:
            return
        signal.signal(signal.SIGINT, handler)
        came, self._came = self._came, None
        if came is not None:
            handler(*came)

    def __exit__(self, kind, failure, trace):
        self.release()
