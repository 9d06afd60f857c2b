"""The loop that goes on between tasks, without an engine around it."""

import asyncio
import os
import socket
from collections import deque

import pytest
from apus.engine.background import Background


class PlayedCore:
    """Requests that wait at a descriptor, which stays readable until they were all taken."""

    def __init__(self, requests):
        self.reader, self.writer = socket.socketpair()
        self.requests = deque(requests)
        self.writer.send(b".")

    def descriptors(self):
        return (self.reader.fileno(),)

    def next(self, milliseconds):
        return self.requests.popleft() if self.requests else None


class PlayedKernel:
    def __init__(self, core, handle):
        self.core = core
        self.handle_async = handle


@pytest.fixture
def background():
    made = []

    def make(requests, handle):
        core = PlayedCore(requests)
        kernel = PlayedKernel(core, handle)
        background = Background(kernel)
        background.keep = True
        made.append((background, core))
        return background

    yield make
    for background, core in made:
        background.loop.close()
        core.reader.close()
        core.writer.close()


def test_a_task_that_waits_does_not_keep_the_loop_busy(background):
    """What comes meanwhile is reported once, and not at every turn of the loop."""
    turns = 0
    handled = []

    async def handle(request):
        handled.append(request)
        await asyncio.sleep(0.2)

    served = background(["first", "second", 7], handle)
    select = served.loop._selector.select

    def counted(timeout=None):
        nonlocal turns
        turns += 1
        return select(timeout)

    served.loop._selector.select = counted
    assert served.serve() == 7
    assert handled == ["first", "second"]
    assert turns < 50


def test_what_comes_later_is_served(background):
    handled = []

    async def handle(request):
        handled.append(request)

    served = background(["first"], handle)
    core = served.kernel.core

    def later():
        core.requests.extend(["second", 5])
        core.writer.send(b".")

    os.read(core.reader.fileno(), 1)
    served.loop.call_later(0.05, later)
    assert served.serve() == 5
    assert handled == ["first", "second"]
