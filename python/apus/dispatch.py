"""The threads' side of the core: who waits for events, and who is told of them.

A thread that wants a result waits itself where it can (it leads), so that one wake-up brings the result; one background thread per client
waits while nobody else does. Taking events from the core and telling those who wait is one step under one lock, so events keep their order.
"""

import os
import sys
import threading
import weakref
from collections import deque
from concurrent.futures._base import FINISHED, PENDING
from itertools import chain
from time import monotonic, time

from ._loader import load_core
from .message import UNTIL_REPLY, printed

#: Guards the state of all messages and results of this process. One lock, because a wait may be for results of several clients.
LOCK = threading.RLock()

_ENGINE_ARRIVED, _ENGINE_DEPARTED, _ENGINES_AWAITED, _ENGINES_GIVEN_UP, _OVER = 20, 21, 22, 23, 30
_OUTPUT, _OUTPUT_COMPLETE, _SENT = 10, 11, 12

#: Milliseconds after which a leader looks again, if the core cannot wake it.
_LOOK_AGAIN = 250

_dispatchers = weakref.WeakSet()


class Dispatcher:
    """Everything under way of one connection.

    under_way: number -> Message, of requests whose reply or output is still to come.
    """

    def __init__(self, core, handle, engines):
        self.core = core
        self.handle = handle
        self.engines = engines
        self.session_id, self.prefix = core.client_session(handle)
        self.under_way = {}
        self.over = None
        #: Maps that still send tasks.
        self.sending = set()
        #: Called with a dict for each engine that comes or goes, in the thread that dispatches.
        self.engine_callbacks = []
        #: Events that were faster than the thread that had sent the request: number -> events.
        self._early = {}
        self._events = deque()
        #: What is to be called once the lock is free: results with callbacks, and functions.
        self._calls = deque()
        #: Threads that wait while another one leads: lock that is released to wake it -> the result it waits for, or None for anything.
        self._followers = {}
        self._leader = None
        self._can_wake = hasattr(core, "client_wake")
        self._taking = (handle,)
        _dispatchers.add(self)
        self._thread = threading.Thread(target=_serve, args=(core, handle, weakref.ref(self)), name="apus-client", daemon=True)
        self._thread.start()

    # -- requests

    def register(self, message):
        """The request was sent: its events are for this message from now on."""
        self.under_way[message.number] = message
        if self._early:
            self._catch_up(message.number)

    def register_all(self, messages):
        """As `register`, for many."""
        under_way = self.under_way
        for message in messages:
            under_way[message.number] = message
        if self._early:
            for message in messages:
                self._catch_up(message.number)

    def _catch_up(self, number):
        with LOCK:
            self._events.extend(chain.from_iterable(map(self._early.pop, (number,), ((),))))
            is_more = bool(self._events)
            self._drain()
        if is_more:
            self._call()
            self.poke()

    def call_later(self, function, again=False):
        """Call a function without arguments in the thread that dispatches, outside of the lock.

        again: it may be called once more if Ctrl-C has cut it off.
        """
        self._calls.append((function, again))

    # -- events

    def dispatch(self):
        """Take all events there are and tell whom they concern."""
        with LOCK:
            try:
                # In C from end to end: no signal handler can raise between taking the events and keeping them.
                self._events.extend(chain.from_iterable(map(self.core.client_take, self._taking)))
                self._drain()
            except BaseException:
                # Somebody pressed Ctrl-C meanwhile: nothing must be left lying.
                self._drain()
                raise
            finally:
                if self._followers:
                    self._wake_followers()
        if self._calls:
            self._call()
            if self._followers:
                self.poke()
        if self._leader is not None and self._leader != threading.get_ident():
            # We were woken before that thread led, and took what it waits for.
            self.poke()

    def _drain(self):
        events, handle = self._events, self._handle_event
        while events:
            try:
                handle(events[0])
            except BaseException as interrupt:
                # Handling an event twice does no harm; half of it would. What fails twice is our own mistake.
                try:
                    handle(events[0])
                except Exception:
                    sys.excepthook(*sys.exc_info())
                    interrupt = None
                events.popleft()
                if interrupt is not None:
                    raise interrupt
            else:
                events.popleft()

    def _handle_event(self, event):
        number, kind = event[0], event[1]
        if kind <= 2:
            under_way = self.under_way
            message = under_way.get(number)
            if message is None:
                return self._keep_early(event)
            result = message.listener
            if (
                result is None
                or type(result) is list
                or result._waiting_for is not None
                or result._is_watched
                or message.has_output_pending != UNTIL_REPLY
                or message._metadata is not None
                or not message.is_sent
                or kind == 2
                or b'"output"' in event[2]
            ):
                return self._replied(message, event)
            # What `_replied` does with most of them: one result has one message, nobody was told of it, and it printed nothing.
            message.has_output_pending = False
            message.received = time()
            message.reply = event
            if result._state is PENDING:
                result._state = FINISHED
            message.listener = None
            del under_way[number]
        elif kind == _OUTPUT:
            message = self.under_way.get(number)
            if message is None:
                return self._keep_early(event)
            self._printed(message, event)
        elif kind == _OUTPUT_COMPLETE:
            message = self.under_way.get(number)
            if message is None:
                return self._keep_early(event)
            message.has_output_pending = False
            self._settle(message)
        elif kind == _SENT:
            message = self.under_way.get(number)
            if message is not None:
                message.is_sent = True
            elif number >= 0:
                self._keep_early(event)
        elif kind == _ENGINE_ARRIVED:
            self.engines.arrived(number, event[2], event[3], event[4])
            self._engines_changed("register", number, event[2])
        elif kind == _ENGINE_DEPARTED:
            self.engines.departed(number)
            self._engines_changed("unregister", number, event[2])
        elif kind == _ENGINES_AWAITED:
            self.engines.awaits(event[2])
        elif kind == _ENGINES_GIVEN_UP:
            self.engines.gives_up(event[2])
        elif kind == _OVER:
            self.over = event[2], event[3]
            self._early.clear()
            self.under_way.clear()
            for function in self.over_callbacks:
                self.call_later(function)

    #: Called once the connection is over.
    over_callbacks = ()

    def _keep_early(self, event):
        number = event[0]
        self._early.setdefault(number, []).append(event)
        # The sender may have registered just now, without having seen the entry.
        if number in self.under_way:
            for event in self._early.pop(number, ()):
                self._handle_event(event)

    def _replied(self, message, event):
        message.is_sent = True
        if message.reply is None:
            message.received = time()
            if message.has_output_pending == UNTIL_REPLY:
                # What an engine of ours does not mention it has not printed.
                metadata = event[2]
                message.has_output_pending = metadata is not None and b'"output"' in metadata and printed(metadata)
            # The last of these steps: if it was not reached, all are done again.
            message.reply = event
        if message._metadata is not None:
            message.enter_reply()
        listener = message.listener
        if listener is not None:
            if type(listener) is list:
                for result in listener:
                    result._message_done(message, self)
            else:
                listener._message_done(message, self)
            message.listener = None
        self._settle(message)

    def _printed(self, message, event):
        events = message.output_events
        if events is None:
            message.output_events = [event]
        elif events[-1] is not event:
            events.append(event)
        if message.callbacks:
            self.call_later(lambda: [callback(event) for callback in message.callbacks or ()])
        if message._metadata is not None:
            message.enter_output()

    def _settle(self, message):
        """Forget a message for which nothing more will come."""
        if message.reply is not None and not message.has_output_pending:
            self.under_way.pop(message.number, None)

    def _engines_changed(self, what, engine_id, uuid):
        event = {"event": what, "id": engine_id, "uuid": uuid}
        for callback in list(self.engine_callbacks):
            self.call_later(lambda callback=callback: callback(event))

    def _call(self):
        calls = self._calls
        while calls:
            taken = []
            try:
                # In C, as above.
                taken.extend(map(deque.popleft, (calls,)))
                taken[0][0]()
            except Exception:
                if not taken:
                    # Another thread was faster.
                    return
                sys.excepthook(*sys.exc_info())
            except BaseException:
                if taken and taken[0][1]:
                    calls.append(taken[0])
                self._call()
                raise

    # -- waiting

    def wait_until(self, is_done, timeout=None, result=None):
        """Wait until `is_done()` is true, or the time (seconds, None for ever) is over. Returns the last `is_done()`.

        result: the PendingResult whose end `is_done` tells; without one, it is asked again after everything that happens.
        """
        deadline = None if timeout is None or timeout < 0 else monotonic() + timeout
        core, handle, me = self.core, self.handle, threading.get_ident()
        while not is_done():
            remaining = None if deadline is None else deadline - monotonic()
            if self.over or (remaining is not None and remaining <= 0):
                return is_done()
            if self._leader == me:
                # A callback that waits does so in the midst of its own thread's leading.
                self._lead(is_done, deadline)
                continue
            leads = []
            try:
                # In C from end to end: Ctrl-C finds us knowing that we lead, or not leading.
                leads.extend(filter(None, map(core.client_lead, self._taking)))
                if leads:
                    self._leader = me
                    self._lead(is_done, deadline)
                else:
                    self._follow(is_done, remaining, result)
            finally:
                if leads:
                    self._leader = None
                    core.client_unlead(handle)
        return True

    def _lead(self, is_done, deadline):
        wait, handle = self.core.client_wait, self.handle
        # What the background thread has taken it has also told, once we have had the lock.
        self.dispatch()
        while not is_done() and not self.over:
            milliseconds = -1 if self._can_wake else _LOOK_AGAIN
            if deadline is not None:
                remaining = deadline - monotonic()
                if remaining <= 0:
                    return
                milliseconds = max(1, round(remaining * 1000)) if milliseconds < 0 else max(1, min(milliseconds, round(remaining * 1000)))
            if wait(handle, milliseconds):
                self.dispatch()

    def _follow(self, is_done, timeout, result):
        # No condition: those of `threading` do not survive Ctrl-C in every place.
        waker = threading.Lock()
        waker.acquire()
        try:
            with LOCK:
                if is_done() or self.over:
                    return
                self._followers[waker] = result
            waker.acquire(timeout=-1 if timeout is None else timeout)
        finally:
            self._followers.pop(waker, None)

    def _wake_followers(self):
        """Wake those for whom something may have changed. With the lock."""
        for waker, result in list(self._followers.items()):
            if result is None or result._state is not PENDING or self.over:
                self._followers.pop(waker, None)
                if waker.locked():
                    waker.release()

    def abort(self, numbers, interrupts, kill_after=None):
        """Take tasks back. interrupts: those that run, too. kill_after: seconds after which what still runs ends with its engine."""
        if numbers and not self.over:
            self.core.client_abort(self.handle, numbers, interrupts, -1.0 if kill_after is None else kill_after)

    def run_calls(self):
        """Call what waits for the lock to be free."""
        if self._calls:
            self._call()

    def poke(self):
        """Let those look again who wait: something has happened in this thread and not by an event."""
        with LOCK:
            self._wake_followers()
        leader = self._leader
        if leader is not None and leader != threading.get_ident() and self._can_wake and not self.over:
            self.core.client_wake(self.handle)

    # -- the end

    def close(self):
        """End the connection; what is outstanding fails. Returns when that has been told."""
        self.core.client_close(self.handle)
        if threading.current_thread() is not self._thread:
            self._thread.join(5)
            if not self.over and not sys.is_finalizing():
                self.dispatch()


def _serve(core, handle, reference):
    """The background thread. It keeps no dispatcher alive."""
    while core.client_wait_background(handle):
        dispatcher = reference()
        if dispatcher is None:
            # Nobody is left to be told; the core lets go of the connection when all has been taken.
            core.client_close(handle)
            core.client_take(handle)
            continue
        try:
            dispatcher.dispatch()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        del dispatcher


def _close_all():
    for dispatcher in list(_dispatchers):
        try:
            dispatcher.core.client_close(dispatcher.handle)
        except Exception:
            pass
    for dispatcher in list(_dispatchers):
        dispatcher._thread.join(1)


def _forked():
    """In a child: the core has closed all clients."""
    LOCK._at_fork_reinit()
    for dispatcher in list(_dispatchers):
        dispatcher.over = "closed", "the process was forked"
    _dispatchers.clear()


import atexit  # noqa: E402

atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

__all__ = ["LOCK", "Dispatcher", "load_core"]
