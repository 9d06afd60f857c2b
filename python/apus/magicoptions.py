"""The options of the parallel magics, and how their values are read."""

import signal
from types import SimpleNamespace

from IPython.core import magic_arguments
from IPython.core.error import UsageError

_GROUPINGS = ("type", "engine", "order")


def _together(*arguments):
    """One decorator of several arguments, which the help shows in this order."""

    def decorate(function):
        # The magic's parser adds the last decorator's argument first.
        for argument in reversed(arguments):
            function = argument(function)
        return function

    return decorate


def _switch(*names, dest, value, help):
    return magic_arguments.argument(*names, dest=dest, action="store_const", const=value, default=None, help=help)


#: How code is run: options of %pxconfig and %%px.
execution_options = _together(
    _switch("-b", "--block", dest="block", value=True, help="Wait until the engines are done."),
    _switch("-a", "--noblock", dest="block", value=False, help="Return an AsyncResult at once; %%pxresult shows it later."),
    magic_arguments.argument(
        "-t", "--targets", type=str,
        help="The engines: a number, a list, a slice of the client's ids such as 0:4 or ::2, 'all', or an expression that gives one "
        "of them.",
    ),
    _switch("--stream", dest="stream", value=True, help="While waiting, show output as it comes."),
    _switch("--no-stream", dest="stream", value=False, help="Show output when all engines are done."),
    _switch("--verbose", dest="set_verbose", value=True, help="Say which engines the code is sent to."),
    _switch("--no-verbose", dest="set_verbose", value=False, help="Do not say it."),
    magic_arguments.argument(
        "--progress-after", dest="progress_after_seconds", type=float, default=None,
        help="How many seconds to wait before a progress bar is shown: 0 shows it at once, -1 never.",
    ),
    magic_arguments.argument(
        "--signal-on-interrupt", dest="signal_on_interrupt", type=str, default=None,
        help="The signal that the engines get when waiting for them is interrupted, by its name or number: SIGINT, 2, SIGKILL, … "
        "With 0 they get none and go on.",
    ),
)  # fmt: skip

#: How output is shown: options of %pxresult and %%px.
output_options = _together(
    magic_arguments.argument(
        "-r", dest="groupby", action="store_const", const="order", default="type", help="The same as --group-outputs=order."
    ),
    magic_arguments.argument(
        "-e", dest="groupby", action="store_const", const="engine", default="type", help="The same as --group-outputs=engine."
    ),
    magic_arguments.argument(
        "--group-outputs", dest="groupby", type=str, choices=_GROUPINGS, default="type",
        help="The order of what is shown. type: all that was printed, then all displays, then all values. engine: everything of one "
        "engine, then of the next. order: as type, but the first display of each engine, then the second of each, and so on.",
    ),
    magic_arguments.argument("-o", "--out", dest="save_name", type=str, help="Store the AsyncResult under this name."),
)  # fmt: skip

local_option = _switch("--local", dest="local", value=True, help="Run the cell here, too.")


def read_targets(text, client, namespace):
    """The targets that an option's text means: a number, a list of numbers, or "all".

    namespace: a dict of the names that it may use. Raises UsageError if it means none.
    """
    text = text.strip()
    if text.strip("\"'") == "all":
        return "all"
    ids = client.ids
    try:
        try:
            value = eval(text, dict(namespace))
        except SyntaxError:
            # A slice is no expression by itself.
            value = eval(f"_ids[{text}]", dict(namespace) | {"_ids": ids})
        if value == "all":
            return "all"
        return _engine(value, ids) if hasattr(value, "__index__") else [_engine(engine, ids) for engine in value]
    except Exception as failure:
        raise UsageError(f"--targets {text}: {failure}; say a number, a list, a slice such as 0:4, or all") from None


def _engine(value, ids):
    """An engine's id; negative numbers count from the end."""
    number = value.__index__()
    return ids[number] if number < 0 else number


def read_signal(text):
    """The signal that an option's text means: a number, or a name as it was given. Raises UsageError."""
    text = text.strip()
    if text.isdigit():
        return int(text)
    if isinstance(getattr(signal, text, None), signal.Signals):
        return text
    raise UsageError(f"--signal-on-interrupt {text}: there is no such signal; say a name such as SIGINT, or a number")


def read_execution_options(arguments, client, namespace):
    """The values of `execution_options`, each None where nothing was said: targets, block, stream, verbose, progress_after, signal."""
    return SimpleNamespace(
        targets=read_targets(arguments.targets, client, namespace) if arguments.targets else None,
        block=arguments.block,
        stream=arguments.stream,
        verbose=arguments.set_verbose,
        progress_after=arguments.progress_after_seconds,
        signal=read_signal(arguments.signal_on_interrupt) if arguments.signal_on_interrupt else None,
    )
