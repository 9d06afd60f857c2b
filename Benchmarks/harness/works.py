"""The work itself: what every peer runs, imported by its workers under this name."""

from __future__ import annotations

import os
import time

_arrays: dict = {}


def nothing(*_):
    return None


def square(value):
    return value * value


def wait(seconds: float) -> None:
    """A task of a known length that takes no processor from the others."""
    time.sleep(seconds)


def length(value) -> int:
    """Takes a value as an argument: what a peer without named values has for a push."""
    return len(value)


def pid(*_) -> int:
    """Which worker it was; long enough that the others get the next ones."""
    time.sleep(0.02)
    return os.getpid()


def array(size: int, seed: int = 1):
    """So many random bytes: nothing on the way can make them smaller."""
    import numpy

    return numpy.random.default_rng(seed).integers(0, 255, size, "uint8")


def hold(size: int, *_):
    """The same array each time, made by the first call in a process and then kept: what is measured is its way back."""
    if size not in _arrays:
        _arrays[size] = array(size)
    return _arrays[size]


def prepare(size: int, *_) -> int:
    """Makes the array that `hold` gives, and takes long enough that another worker gets the next call."""
    time.sleep(0.05)
    return len(hold(size))


def read(value) -> int:
    """Reads one byte of each page, so that a value that is only mapped is paid for like one that was copied."""
    return int(value[::4096].sum())
