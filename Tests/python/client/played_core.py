"""A core that the test plays: it hands out numbers, and the events that the test gives it."""

import threading
from collections import deque
from itertools import count

OK = b'{"status": "ok"}'


class PlayedCore:
    """The client's functions of `apus._core`, without a cluster behind them."""

    class ClientError(Exception):
        pass

    def __init__(self):
        self.numbers = count(1)
        self.events = deque()
        self.aborted = []
        self.changed = threading.Condition()
        self.is_led = False
        self.is_over = False
        self.is_woken = False
        #: Whether the leader waits just now.
        self.is_waiting = False

    def client_session(self, handle):
        return "session", "session_1_"

    def client_submit(self, handle, route, targets, *rest):
        return [next(self.numbers) for _ in targets or [None]]

    def client_abort(self, handle, numbers, interrupts, kill_after):
        self.aborted.append((numbers, interrupts))

    # -- what the test does

    def give(self, *events):
        """These events have come."""
        with self.changed:
            self.events.extend(events)
            self.changed.notify_all()

    def reply(self, *numbers, data=b"\x80\x05N."):
        """These tasks have succeeded."""
        self.give(*((number, 0, b"{}", b"{}", OK, [data]) for number in numbers))

    # -- waiting

    def client_take(self, handle):
        with self.changed:
            taken = list(self.events)
            self.events.clear()
        return taken

    def client_lead(self, handle):
        with self.changed:
            if self.is_led:
                return False
            self.is_led = True
            return True

    def client_unlead(self, handle):
        with self.changed:
            self.is_led = False
            self.changed.notify_all()

    def client_wake(self, handle):
        with self.changed:
            self.is_woken = True
            self.changed.notify_all()

    def client_wait(self, handle, milliseconds):
        with self.changed:
            self.is_waiting = True
            found = self.changed.wait_for(
                lambda: self.events or self.is_woken or self.is_over, None if milliseconds < 0 else milliseconds / 1000
            )
            self.is_woken = self.is_waiting = False
            return bool(found)

    def client_wait_background(self, handle):
        with self.changed:
            self.changed.wait_for(lambda: (self.events and not self.is_led) or self.is_over)
            return bool(self.events) or not self.is_over

    def client_close(self, handle):
        if not self.is_over:
            self.give((-1, 30, "closed", "the client was closed", None, None))
        with self.changed:
            self.is_over = True
            self.changed.notify_all()
