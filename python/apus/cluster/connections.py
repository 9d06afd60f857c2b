"""Waits for the connection files of a controller that was started, and reads them."""

import asyncio
import inspect
import json

from . import loop
from .arrival import Arrival
from .processes import describe_exit


async def connection_info(launcher, timeout):
    """The contents of both connection files by kind, as soon as they are there: see `ControllerLauncher.get_connection_info`."""
    return await loop.run(_wait(launcher, None if timeout < 0 else timeout))


async def _wait(launcher, timeout):
    files = launcher.connection_files
    arrival = launcher._arrival or Arrival(files.values(), accepts_old=True)
    arrival.accepts = _is_whole
    if arrival.missing():
        launcher.log.debug("waiting for %s", ", ".join(arrival.missing()))
        status = launcher.poll()
        if inspect.isawaitable(status):
            status = await status
        if status is not None:
            raise _ended(launcher, status)
        await _wait_for_files_or_end(launcher, arrival, timeout)
    return {kind: _read(path) for kind, path in files.items()}


async def _wait_for_files_or_end(launcher, arrival, timeout):
    running = asyncio.get_running_loop()
    end = running.create_future()

    def ended(data=None):
        running.call_soon_threadsafe(lambda: end.done() or end.set_result(data))

    launcher.on_stop(ended)
    files = asyncio.ensure_future(arrival.wait())
    try:
        await asyncio.wait([files, end], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        missing = arrival.missing()
        if not missing:
            return
        if end.done():
            data = end.result()
            raise _ended(launcher, data.get("exit_code") if isinstance(data, dict) else None)
        raise TimeoutError(
            f"the controller did not write {' and '.join(missing)} within {timeout:g} s{launcher.words_for_error()}")
    finally:
        files.cancel()
        end.cancel()
        with launcher._state_lock:
            if ended in launcher.stop_callbacks:
                launcher.stop_callbacks.remove(ended)


def _ended(launcher, code):
    """The error that says what the controller has said before it ended."""
    how = describe_exit(code)
    return RuntimeError(f"the controller ended{how} before it wrote its connection files{launcher.words_for_error()}")


def _read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _is_whole(path):
    """Apus's controllers write a file whole or not at all; a stock one may be in the middle of it."""
    try:
        _read(path)
    except (OSError, ValueError):
        return False
    return True
