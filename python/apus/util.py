"""Small things that users of ipyparallel import from its `util`."""

import sys
from types import FunctionType

from .engines import EngineTable as ReverseDict
from .metadata import extract_dates, utc, utcnow
from .metadata import parse_date as _parse_date


def interactive(f):
    """Make a function or class look as if it were defined in `__main__`: on an engine, its globals are the names of the user's code there."""
    if isinstance(f, FunctionType):
        main = sys.modules["__main__"]
        made = FunctionType(f.__code__, main.__dict__, f.__name__, f.__defaults__, f.__closure__)
        made.__kwdefaults__ = f.__kwdefaults__
        made.__annotations__ = dict(f.__annotations__)
        made.__doc__ = f.__doc__
        f = made
    f.__module__ = "__main__"
    return f


def compare_datetimes(a, b):
    """The difference a - b; a date without a zone is local."""
    if (a.tzinfo is None) != (b.tzinfo is None):
        a, b = a.astimezone(), b.astimezone()
    return a - b


def int_keys(mapping):
    """Numbers that JSON has made text are numbers again, in place."""
    for key in [key for key in mapping if isinstance(key, str)]:
        try:
            number = int(key)
        except ValueError:
            continue
        mapping[number] = mapping.pop(key)
    return mapping


def is_url(url):
    """Whether it is an address such as tcp://127.0.0.1:5555."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme.lower() in ("tcp", "pgm", "epgm", "ipc", "inproc")


def progress(*args, widget=None, **kwargs):
    """A progress bar, of tqdm where it is installed; a notebook's or a terminal's, as `widget` says or as it fits."""
    from .display import progress

    return progress(*args, widget=widget, **kwargs)


__all__ = [
    "ReverseDict", "_parse_date", "compare_datetimes", "extract_dates", "int_keys", "interactive", "is_url", "progress", "utc", "utcnow",
]  # fmt: skip
