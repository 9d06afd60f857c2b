"""The dispatcher on a core that the test plays: orders of events that a cluster brings about once in a million."""

import concurrent.futures
import linecache
import sys
import threading
import time

import pytest

from apus.dispatch import LOCK, Dispatcher
from apus.engines import Engines
from apus.message import APPLY_CODEC, EXECUTE, Message
from apus.result import PendingResult
from played_core import OK, PlayedCore


class Result(PendingResult):
    def _read(self):
        self._result = [message.value() for message in self._children]


@pytest.fixture
def core():
    return PlayedCore()


@pytest.fixture
def dispatcher(core):
    dispatcher = Dispatcher(core, 1, Engines([(0, "zero", "python", True)]))
    yield dispatcher
    dispatcher.close()


def send(dispatcher, count=1, form=APPLY_CODEC, flags=0, register=True):
    numbers = dispatcher.core.client_submit(1, 2, [0] * count)
    messages = [Message.sent(number, form, dispatcher, 0.0, flags) for number in numbers]
    result = Result(dispatcher, messages)
    if register:
        dispatcher.register_all(messages)
    return result, messages


def test_events_that_come_before_the_sender_has_noted_the_number(core, dispatcher):
    result, (message,) = send(dispatcher, register=False)
    core.reply(message.number)
    dispatcher.wait_until(lambda: dispatcher._early, 40)
    assert not result.done()
    dispatcher.register(message)
    assert result.done() and not dispatcher._early and not dispatcher.under_way


def test_early_output_and_its_end(core, dispatcher):
    _, (message,) = send(dispatcher, form=EXECUTE, flags=1, register=False)
    stream = b'{"name": "stdout", "text": "hello"}'
    core.give((message.number, 10, "stream", b"{}", stream, []), (message.number, 11, None, None, None, None))
    core.give((message.number, 0, b"{}", b"{}", b'{"status": "ok", "execution_count": 1}', []))
    dispatcher.wait_until(lambda: len(dispatcher._early.get(message.number, ())) == 3, 40)
    dispatcher.register(message)
    assert message.reply and not message.has_output_pending and message.metadata["stdout"] == "hello"
    assert not dispatcher.under_way


def test_output_that_the_reply_announces(core, dispatcher):
    result, (message,) = send(dispatcher)
    core.give((message.number, 0, b'{"output": 1}', b"{}", OK, [b"\x80\x05N."]))
    assert result.result(40) == [None] and message.has_output_pending and message.number in dispatcher.under_way
    core.give((message.number, 10, "stream", b"{}", b'{"name": "stdout", "text": "x"}', []), (message.number, 11, None, None, None, None))
    assert dispatcher.wait_until(lambda: not message.has_output_pending, 40)
    assert message.metadata["stdout"] == "x" and not dispatcher.under_way


def test_replies_in_any_order(core, dispatcher):
    result, messages = send(dispatcher, 5)
    for message in reversed(messages):
        assert not result.done()
        core.reply(message.number)
        dispatcher.wait_until(lambda: message.reply, 40)
    assert result.done() and len(result.result(0)) == 5


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("step", range(1, 60))
def test_interrupt_at_any_line(core, dispatcher, step):
    """A signal handler that raises after so many lines of the dispatcher: nobody is left waiting, and nobody is told twice."""
    results = [send(dispatcher, 2)[0] for _ in range(2)]
    called = []
    results[0].add_done_callback(called.append)
    waiter = concurrent.futures.wait
    left = step

    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename.endswith(("dispatch.py", "result.py", "message.py")) and event == "line":
            # A signal's handler is never called between taking a lock and the block that releases it; a tracer is.
            if linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip().startswith(("with ", "try:")):
                return trace
            left -= 1
            if left == 0:
                raise Interrupted
        return trace

    core.is_led = True  # The background thread stays out of it.
    core.reply(1, 2, 3, 4)
    sys.settrace(trace)
    try:
        dispatcher.dispatch()
    except Interrupted:
        pass
    finally:
        sys.settrace(None)
        assert not LOCK._is_owned()
        core.client_unlead(1)
    # What is left comes with the next look at the events, whoever has it.
    dispatcher.dispatch()
    assert waiter(results, 5).not_done == set()
    assert [result.result(40) for result in results] == [[None, None]] * 2
    assert not dispatcher.under_way
    assert called in ([results[0]], []) and (called or left <= 0)


def test_a_follower_is_told(core, dispatcher):
    """One thread leads; another one's result comes by way of it."""
    first, (one,) = send(dispatcher)
    second, (other,) = send(dispatcher)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        leading = pool.submit(first.result, 10)
        while not core.is_led:
            time.sleep(0.001)
        following = pool.submit(second.result, 10)
        while not dispatcher._followers:
            time.sleep(0.001)
        core.reply(other.number)
        assert following.result(40) == [None] and not leading.done()
        core.reply(one.number)
        assert leading.result(40) == [None]


def test_a_late_thread_tells_the_leader(core, dispatcher):
    """The background thread was woken, and another one leads before it has taken the events: then it takes what that one waits for."""
    result, (message,) = send(dispatcher)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        leading = pool.submit(result.result, 10)
        while dispatcher._leader is None or not core.is_waiting:
            time.sleep(0.001)
        with core.changed:
            # Nobody is woken by these events themselves.
            core.events.append((message.number, 0, b"{}", b"{}", OK, [b"\x80\x05N."]))
        dispatcher.dispatch()
        assert leading.result(40) == [None]


def test_leadership_is_given_back_when_waiting_is_cut_off(core, dispatcher):
    result, (message,) = send(dispatcher)

    def interrupt():
        raise Interrupted

    dispatcher.call_later(interrupt)
    with pytest.raises(Interrupted):
        core.give((message.number + 100, 12, None, None, None, None))
        result.result(40)
    assert not core.is_led and dispatcher._leader is None
    core.reply(message.number)
    assert result.result(40) == [None]


def test_callbacks_are_called_outside_of_the_lock(core, dispatcher):
    result, (message,) = send(dispatcher)
    free = []

    def try_lock(_):
        def other():
            free.append(LOCK.acquire(timeout=40))
            LOCK.release()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    result.add_done_callback(try_lock)
    core.reply(message.number)
    dispatcher.wait_until(lambda: free, 40)
    assert free == [True]


def test_everything_ends_with_the_connection(core, dispatcher):
    result, (message,) = send(dispatcher)
    failure = b'{"status": "error", "ename": "ClientError", "evalue": "closed", "traceback": [], "code": "closed"}'
    core.give((message.number, 2, None, None, failure, None))
    dispatcher.close()
    assert result.done() and result.result(0)[0].ename == "ClientError"
    never, _ = send(dispatcher)
    with pytest.raises(OSError):
        never.result(40)


def test_engines_come_and_go(core, dispatcher):
    seen = []
    dispatcher.engine_callbacks.append(seen.append)
    core.give((3, 20, "three", "python", True, None), (4, 20, "four", "swift", True, None), (0, 21, "zero", "python", True, None))
    dispatcher.wait_until(lambda: len(seen) == 3, 40)
    engines = dispatcher.engines
    assert engines.ids == [3, 4] and not engines.are_all_own and engines.are_own([3]) and not engines.are_own([4])
    assert engines.table["three"] == 3 and engines.table[4] == "four" and engines.known["zero"] == 0
    assert seen[2] == {"event": "unregister", "id": 0, "uuid": "zero"}


def test_engines_that_a_restarted_controller_has_not_back_have_their_names(core, dispatcher):
    seen = []
    dispatcher.engine_callbacks.append(seen.append)
    core.give((0, 20, "zero", "python", True, None), (1, 20, "one", "python", True, None), (2, 20, "two", "swift", True, None))
    away = [(1, "one", "python", True), (2, "two", "swift", True)]
    core.give((-1, 22, away, None, None, None), (1, 21, "one", "python", True, None), (2, 21, "two", "swift", True, None))
    dispatcher.wait_until(lambda: len(seen) == 5, 40)
    engines = dispatcher.engines
    assert engines.ids == [0] and [engines.uuid(engine_id) for engine_id in (0, 1, 2)] == ["zero", "one", "two"]
    assert engines.are_own([0, 1]) and not engines.are_own([0, 2])
    # Another one has its number meanwhile.
    core.give((1, 20, "another", "swift", True, None), (-1, 23, away, None, None, None), (3, 20, "three", "python", True, None))
    dispatcher.wait_until(lambda: len(seen) == 7, 40)
    assert engines.uuid(1) == "another" and not engines.are_own([1]) and engines.are_own([0, 3])
    with pytest.raises(KeyError):
        engines.uuid(2)


def test_engines_are_awaited_until_they_arrive_or_are_given_up():
    engines = Engines()
    engines.awaits([(1, "one", "python", True)])
    engines.awaits([(2, "two", "python", True), (3, "three", "swift", True)])
    assert engines.are_own([1, 2]) and not engines.are_own([3]) and engines.uuid(1) == "one"
    # Tasks wait; what does not is for engines that are there.
    with pytest.raises(KeyError):
        engines.uuid(1, may_wait=False)
    engines.known["one"] = 1
    engines.arrived(7, "one", "python", True)
    assert engines.uuid(7, may_wait=False) == "one" and engines.awaited == {2: "two", 3: "three"}
    engines.gives_up([(2, "another", "python", True), (3, "three", "swift", True)])
    assert engines.awaited == {2: "two"} and engines.are_own([2, 7])


@pytest.mark.parametrize("code", ["unknownEngine", "noEngines"])
def test_an_engine_that_the_core_no_longer_knows_is_an_engine_error(code):
    from apus import Client, error

    with pytest.raises(error.EngineError, match="no engine 5"):
        Client._raise(None, Exception(code, "there is no engine 5"))
