"""Waits for the connection files of a controller that was started, and reads them."""

import asyncio
import inspect
import json

from . import loop
from .arrival import Arrival


async def connection_info(launcher, timeout):
    """The contents of both connection files by kind, as soon as they are there: see `ControllerLauncher.get_connection_info`."""
    return await loop.run(_wait(launcher, None if timeout < 0 else timeout))


async def _wait(launcher, timeout):
    files = launcher.connection_files
    arrival = launcher._arrival or Arrival(files.values(), accepts_old=True)
    if arrival.missing():
        launcher.log.debug("waiting for %s", ", ".join(arrival.missing()))
        status = launcher.poll()
        if inspect.isawaitable(status):
            status = await status
        if status is not None:
            raise _ended(launcher, arrival)
        await _wait_for_files_or_end(launcher, arrival, timeout)
    return {kind: _read(path) for kind, path in files.items()}


async def _wait_for_files_or_end(launcher, arrival, timeout):
    running = asyncio.get_running_loop()
    end = running.create_future()

    def ended(data=None):
        running.call_soon_threadsafe(lambda: end.done() or end.set_result(None))

    launcher.on_stop(ended)
    files = asyncio.ensure_future(arrival.wait())
    try:
        await asyncio.wait([files, end], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        missing = arrival.missing()
        if not missing:
            return
        if end.done():
            raise _ended(launcher, arrival)
        words = launcher.last_words(20)
        raise TimeoutError(
            f"the controller did not write {' and '.join(missing)} within {timeout:g} s" + (f". It says:\n{words}" if words else ""))
    finally:
        files.cancel()
        end.cancel()
        with launcher._state_lock:
            if ended in launcher.stop_callbacks:
                launcher.stop_callbacks.remove(ended)


def _ended(launcher, arrival):
    """The error that says what the controller has said before it ended."""
    code = (launcher.stop_data or {}).get("exit_code") if isinstance(launcher.stop_data, dict) else None
    words = launcher.last_words()
    place = getattr(launcher, "output_file", "")
    text = f"the controller ended{f' with exit code {code}' if code is not None else ''} before it wrote its connection files"
    if words:
        return RuntimeError(f"{text}. The last of {place or 'its output'}:\n{words}")
    return RuntimeError(f"{text}, and left no words in {place}" if place else text)


def _read(path):
    # Apus writes it whole or not at all; a stock controller may be at it, and closes it when it is done: that is what was waited for.
    with open(path, encoding="utf-8") as file:
        return json.load(file)
