"""How clients, views and results show themselves: one line of text, and HTML in a notebook.

Everything here is bounded, whatever the number of engines and tasks, and never waits for a task.
"""

from html import escape
from itertools import islice
from time import time

from .error import KernelError
from .progressbar import progress, writing

#: How many engines have a row of their own, and how many at most have a square.
MOST_ROWS, MOST_SQUARES = 16, 2000

#: How long a hub may take to say what its engines do, in seconds, before they are shown without it.
HUB_TIMEOUT = 1.0

#: The core's number of the route to the hub.
_HUB = 0

_BUSY, _WAITING, _IDLE = "#2f7ed8", "#f0ad4e", "#9aa5b1"


# -- text


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def targets_text(targets, most=4):
    """The targets of a view, at most some of them: `all`, `2`, `[0, 1, 2, 3, ... 96 more]`."""
    if targets is None:
        return "all"
    if isinstance(targets, (str, int)):
        return str(targets)
    if len(targets) <= most + 1:
        return "[" + ", ".join(map(str, targets)) + "]"
    return "[" + ", ".join(map(str, islice(targets, most))) + f", ... {len(targets) - most} more]"


def client_text(client):
    """One line about a client: its engines, profile and cluster."""
    if client._closed:
        return f"<{type(client).__name__}: closed>"
    parts = [_count(len(client.ids), "engine")]
    parts += [f"{noun} {value!r}" for noun, value in _origin(client)]
    return f"<{type(client).__name__}: {', '.join(parts)}>"


def _origin(client):
    """Where a client's cluster comes from: (what, value) for what is known."""
    cluster = getattr(client, "cluster", None)
    known = (("profile", getattr(client, "profile", None)), ("cluster", getattr(cluster, "cluster_id", None)))
    return [(noun, str(value)) for noun, value in known if value]


def view_text(view):
    """One line about a view: its targets."""
    return f"<{type(view).__name__} {targets_text(view.targets)}>"


def result_text(result):
    """One line about a result: what was called, and how far it is."""
    return f"<{type(result).__name__}({result._fname}): {_state(result)}>"


def _state(result):
    # Results of the hub's are asked for, which takes a while: what is known here must do.
    if not result._ready:
        return f"pending, {result.progress} of {len(result)}" if len(result) > 1 and result._children else "pending"
    if result.cancelled():
        return "cancelled"
    return "failed" if result._has_failed() else "finished"


# -- HTML


def _box(title, *parts):
    """What all of them look like: a title, and below it what there is to say."""
    body = "".join(part for part in parts if part)
    return f'<div style="font-size:0.92em;overflow-x:auto"><div><b>{title}</b></div>{body}</div>'


def _line(text):
    return f'<div style="opacity:0.8">{text}</div>' if text else ""


def client_html(client):
    """A client's engines with their load, as HTML."""
    if client._closed:
        return _box(type(client).__name__, _line("closed"))
    ids = client.ids
    origin = ", ".join(f"{noun} <code>{escape(value)}</code>" for noun, value in _origin(client))
    load = _load(client)
    outstanding = len(client.outstanding)
    return _box(
        f"{type(client).__name__}: {_count(len(ids), 'engine')}",
        _line(origin),
        _engines(ids, load, client._engines),
        _line(_totals(load)),
        _line(f"{_count(outstanding, 'task')} of this client under way" if outstanding else ""),
    )


def view_html(view):
    """A view's targets, flags and engines, as HTML."""
    client = view.client
    flags = [(name, getattr(view, name, None)) for name in view._flag_names if name != "targets"]
    said = ", ".join(f"{name} = <code>{escape(_short(value))}</code>" for name, value in flags if value)
    targets = view.targets
    present = set(client.ids)
    if targets is None or targets == "all":
        ids = client.ids
    else:
        ids = [targets] if isinstance(targets, int) else list(targets)
    gone = len(set(ids) - present)
    outstanding = len(view.outstanding)
    return _box(
        f"{type(view).__name__} of {_count(len(ids), 'engine')}: {escape(targets_text(targets))}",
        _line(said),
        _engines([engine for engine in ids if engine in present], _load(client), client._engines),
        _line(f"{_count(gone, 'target')} not there any more" if gone else ""),
        _line(f"{_count(outstanding, 'task')} of this view under way" if outstanding else ""),
    )


def _short(value, most=60):
    text = str(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def _load(client):
    """What each engine has to do, as the hub knows it: engine id -> numbers; None if it does not say so in time."""
    if client._closed:
        return None
    try:
        content, _ = client._ask(_HUB, None, "queue_request", {"targets": None, "verbose": False}).result(HUB_TIMEOUT)
    except (OSError, RuntimeError, KernelError):
        return None
    return {int(key) if key.isdecimal() else key: value for key, value in content.items()}


def _engine_load(load, engine):
    """(running, waiting, completed) of one engine.

    The hub knows how many tasks were sent to it, by a view of this engine (`queue`) or by the scheduler (`tasks`): it runs the first.
    """
    entry = load.get(engine) or {}
    queued, tasks, completed = (_number(entry.get(name)) for name in ("queue", "tasks", "completed"))
    under_way = queued + tasks
    return min(under_way, 1), max(under_way - 1, 0), completed


def _number(value):
    return len(value) if isinstance(value, (list, tuple)) else int(value or 0)


def _totals(load):
    if not load:
        return ""
    unassigned = _number(load.get("unassigned"))
    if not unassigned:
        return ""
    return "1 task waits for an engine" if unassigned == 1 else f"{unassigned} tasks wait for an engine"


def _engines(ids, load, table):
    """A row for each of the first engines, and a square for each of the others."""
    if not ids:
        return _line("no engines")
    heads = ["engine", "uuid"] + (["now", "waiting", "completed"] if load else [])
    cell = '<td style="text-align:left;padding:1px 10px 1px 0">'
    rows = ["<tr>" + "".join(f"{cell}<i>{head}</i></td>" for head in heads) + "</tr>"]
    for engine in ids[:MOST_ROWS]:
        cells = [str(engine), f"<code>{escape(str(table.get(engine, ''))[:8])}</code>"]
        if load:
            running, waiting, completed = _engine_load(load, engine)
            colour, word = (_BUSY, "busy") if running else (_IDLE, "idle")
            cells += [f'<span style="color:{colour}">&#9679;</span> {word}', _bar(waiting), str(completed)]
        rows.append("<tr>" + "".join(f"{cell}{content}</td>" for content in cells) + "</tr>")
    html = f'<table style="border-collapse:collapse;margin:4px 0"><tbody>{"".join(rows)}</tbody></table>'
    return html + (_squares(ids[MOST_ROWS:], load) if len(ids) > MOST_ROWS else "")


def _bar(waiting, most=20):
    if not waiting:
        return "0"
    width = min(waiting, most) * 4
    return f'<span style="display:inline-block;width:{width}px;height:8px;background:{_WAITING}"></span> {waiting}'


def _squares(ids, load, side=8, columns=64):
    """A square for each engine, by its colour idle, busy, or busy with more waiting."""
    shown = ids[:MOST_SQUARES]
    paths = {_IDLE: [], _BUSY: [], _WAITING: []}
    busy = 0
    for position, engine in enumerate(shown):
        running, waiting, _ = _engine_load(load, engine) if load else (0, 0, 0)
        busy += running
        row, column = divmod(position, columns)
        colour = _WAITING if waiting else _BUSY if running else _IDLE
        paths[colour].append(f"M{column * (side + 1)} {row * (side + 1)}h{side}v{side}h-{side}z")
    height = -(-len(shown) // columns) * (side + 1)
    drawn = "".join(f'<path d="{"".join(path)}" fill="{colour}"/>' for colour, path in paths.items() if path)
    text = f"and {_count(len(ids), 'more engine')}"
    if load:
        text += f", {busy} of them busy" if len(shown) == len(ids) else f", {busy} of the next {len(shown)} busy"
    return (
        _line(text) + f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * (side + 1)}" height="{height}" role="img">{drawn}</svg>'
    )


def result_html(result):
    """How far a result is, and when which engine worked on it, as HTML."""
    from .timeline import seconds_text, spans_of_messages, spans_of_records, svg

    messages = list(result._children)
    spans, step = spans_of_messages(messages) if messages else spans_of_records(getattr(result, "_records", ()))
    said = [_state(result)]
    if len(result) > 1:
        # A map left to itself sends several items with one message.
        said.append(_count(len(result), "item" if len(messages) not in (0, len(result)) else "task"))
    took = _elapsed(result, messages)
    if took is not None:
        said.append(seconds_text(took) if result._ready else f"{seconds_text(took)} so far")
    if result._ready and spans:
        said.append(_use(spans, step))
    return _box(
        f"{type(result).__name__}: {escape(_short(result._fname))}",
        _line(", ".join(said)),
        _line(f"of {len(messages)} tasks, one in {step} is read" if step > 1 else ""),
        svg(spans, step),
    )


def _elapsed(result, messages):
    """Seconds from the call to its last result, or until now; None if they are not known."""
    # `result.elapsed` would make a record of every task.
    if not messages:
        return None
    began = min(message.submitted for message in messages)
    ended = max((message.received or 0 for message in messages), default=0) if result._ready else time()
    return ended - began if ended > began else None


def _use(spans, step):
    """For how much of the time the engines worked."""
    from .timeline import seconds_text

    engines = len({span.engine_id for span in spans})
    work = sum(span.ended - span.began for span in spans) * step
    length = max(span.ended for span in spans) - min(span.began for span in spans)
    text = f"{seconds_text(work)} of work on {_count(engines, 'engine')}"
    return text + (f", {min(1.0, work / (length * engines)):.0%} busy" if length > 0 and engines > 1 else "")


__all__ = ["client_html", "client_text", "progress", "result_html", "result_text", "targets_text", "view_html", "view_text", "writing"]
