"""Tracebacks as clients of ipyparallel expect them, with colours and context lines, without importing IPython.

An engine that only applies functions never needs IPython; importing it for the first error would cost 200 ms and 40 MB. When IPython is
there anyway, its own formatter is used instead (see `shell`).
"""

import sys

_RED, _GREEN, _CYAN, _BLUE, _BOLD, _OFF = "\033[31m", "\033[32m", "\033[36m", "\033[34m", "\033[1m", "\033[39m"
_WIDTH = 75
_CONTEXT = 2


def _paint(colored):
    return (lambda color, text: f"{color}{text}{_OFF}") if colored else (lambda color, text: text)


def render(exception, colored=True, skip_files=()):
    """The lines of a traceback, as a list of str.

    skip_files: frames of these files at the beginning are the engine's own and left out.
    """
    custom = getattr(exception, "_render_traceback_", None)
    if custom is not None:
        try:
            lines = custom()
            if lines:
                return [str(line) for line in lines]
        except Exception:
            pass
    lines = []
    seen = set()
    chain = []
    while exception is not None and id(exception) not in seen:
        seen.add(id(exception))
        chain.append(exception)
        cause = exception.__cause__
        if cause is None and not exception.__suppress_context__:
            cause = exception.__context__
        exception = cause
    for index, one in enumerate(reversed(chain)):
        if index:
            explicit = chain[len(chain) - index - 1].__cause__ is chain[len(chain) - index]
            if explicit:
                lines.append("\nThe above exception was the direct cause of the following exception:\n")
            else:
                lines.append("\nDuring handling of the above exception, another exception occurred:\n")
        lines.extend(_render_one(one, colored, skip_files))
    return lines


def _render_one(exception, colored, skip_files):
    paint = _paint(colored)
    name = type(exception).__name__
    heading = "Traceback (most recent call last)"
    lines = [
        paint(_RED, "-" * _WIDTH),
        paint(_RED, name) + " " * max(1, _WIDTH - len(name) - len(heading)) + heading,
    ]
    frames = []
    traceback = exception.__traceback__
    while traceback is not None:
        frames.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    while len(frames) > 1 and frames[0][0].f_code.co_filename in skip_files:
        frames.pop(0)
    if len(frames) > 60:
        omitted = len(frames) - 50
        frames = frames[:25] + [omitted] + frames[-25:]
    for frame in frames:
        lines.append(f"    ... {frame} frames left out ..." if isinstance(frame, int) else _render_frame(*frame, paint))
    if isinstance(exception, SyntaxError) and exception.text:
        lines.append(f"  File {exception.filename}:{exception.lineno}\n    {exception.text.rstrip()}")
    lines.append(f"{paint(_RED, name)}: {_text(exception)}")
    lines.extend(getattr(exception, "__notes__", ()))
    return lines


def _render_frame(frame, number, paint):
    import linecache

    code = frame.f_code
    arguments = ", ".join(
        f"{name}={_short(frame.f_locals[name])}" if name in frame.f_locals else name for name in code.co_varnames[: code.co_argcount]
    )
    place = f"{code.co_filename}:{number}"
    function = "<module>" if code.co_name == "<module>" else f"{code.co_name}({arguments})"
    block = [f"File {paint(_GREEN, place)}, in {paint(_CYAN, function)}"]
    source = linecache.getlines(code.co_filename, frame.f_globals)
    for current in range(max(1, number - _CONTEXT), min(len(source), number + _CONTEXT) + 1):
        text = source[current - 1].rstrip("\n")
        if current == number:
            block.append(paint(_GREEN, f"----> {current} " if current > 9 else f"----> {current} ") + text)
        else:
            block.append(paint(_GREEN, f"{current:>7}") + " " + text)
    return "\n".join(block)


def _short(value):
    try:
        is_large = isinstance(value, (list, dict, set, tuple)) and len(value) >= 10
        text = f"<{type(value).__name__} of {len(value)}>" if is_large else repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


def _text(exception):
    try:
        return str(exception)
    except Exception as error:
        return f"Failed to cast exception to string: {error}"


def describe(exception):
    """(ename, evalue) of the wire."""
    return type(exception).__name__, _text(exception)


def current():
    """The exception that is being handled."""
    return sys.exc_info()[1]
