"""When which engine worked on the tasks of a result, as a picture."""

import json
import re
from html import escape

from .metadata import parse_date

#: How many tasks are read at most, and up to how many each is a bar of its own.
MOST_READ, MOST_BARS = 8_000, 600
#: How many engines have a lane.
MOST_LANES = 32

#: The drawing's measures, in pixels.
_WIDTH, _LEFT, _LANE, _BAR, _AXIS = 640, 64, 18, 14, 22

_DONE, _FAILED = "#2f7ed8", "#d9534f"

_STARTED = re.compile(rb'"started"\s*:\s*"([^"]+)"')
_ENGINE = re.compile(rb'"engine"\s*:\s*"([^"]+)"')
_DATE = re.compile(rb'"date"\s*:\s*"([^"]+)"')


class Span:
    """One task on one engine: seconds since the epoch at which it began and ended, and whether it failed."""

    __slots__ = ("engine_id", "began", "ended", "has_failed", "text")

    def __init__(self, engine_id, began, ended, has_failed=False, text=""):
        self.engine_id = engine_id
        self.began = began
        self.ended = max(began, ended)
        self.has_failed = has_failed
        self.text = text


def spans_of_messages(messages, most=MOST_READ):
    """The spans of those messages that have been answered, and for how many tasks each of them stands.

    Of more than `most` messages, every second, third, … is read.
    """
    step = -(-len(messages) // most) if len(messages) > most else 1
    spans = []
    for position in range(0, len(messages), step):
        message = messages[position]
        if message.reply is not None:
            spans.extend(_spans_of_message(message, position))
    return spans, step


def _spans_of_message(message, position):
    _, kind, metadata, header, *_ = message.reply
    if not metadata or not header:
        return
    # Records are not made for this: for a large map they would be most of its memory. The two dates are found without reading the rest.
    metadata, header = bytes(metadata), bytes(header)
    began, ended = _date(_STARTED, metadata), _date(_DATE, header)
    if began is None or ended is None:
        return
    known = message.dispatcher.engines.known
    engines = []
    if b"broadcast_targets" in metadata:
        engines = [target[1] for target in json.loads(metadata).get("broadcast_targets") or ()]
    if not engines:
        uuid = _ENGINE.search(metadata)
        engines = [known.get(uuid[1].decode()) if uuid else message.target]
    for engine_id in engines:
        yield Span(engine_id, began, ended, kind != 0, f"task {position}")


def spans_of_records(records, most=MOST_READ):
    """The same for the records of tasks, each of which may be None."""
    step = -(-len(records) // most) if len(records) > most else 1
    spans = []
    for position in range(0, len(records), step):
        record = records[position]
        if record is not None and record["started"] and record["completed"]:
            dates = record["started"].timestamp(), record["completed"].timestamp()
            spans.append(Span(record["engine_id"], *dates, record["status"] not in ("ok", None), f"task {position}"))
    return spans, step


def _date(pattern, text):
    found = pattern.search(text)
    date = parse_date(found[1].decode()) if found else None
    return date.timestamp() if hasattr(date, "timestamp") else None


def seconds_text(seconds):
    """A duration for people: `12 ms`, `3.4 s`, `2 min 5 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def svg(spans, weight=1):
    """The picture: a lane for each engine, and on it what it did. Empty text without spans.

    weight: for how many tasks each span stands. Few tasks are bars with their durations as tooltips; of many one sees for how much of the
    time each engine was busy.
    """
    if not spans:
        return ""
    began = min(span.began for span in spans)
    length = max(max(span.ended for span in spans) - began, 1e-6)
    lanes = {}
    for span in spans:
        lanes.setdefault(span.engine_id, []).append(span)
    # An engine that nobody knows by its id (it is gone) has the last lane.
    engines = sorted(lanes, key=lambda engine: (engine is None, engine if engine is not None else 0))
    shown = engines[:MOST_LANES]
    hidden = len(engines) - len(shown)
    height = len(shown) * _LANE + _AXIS + (_LANE if hidden else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'style="max-width:100%" fill="currentColor" font-family="sans-serif" font-size="11" role="img">'
    ]
    scale = (_WIDTH - _LEFT - 2) / length
    draw = _bars if len(spans) <= MOST_BARS and weight == 1 else _loads
    for row, engine in enumerate(shown):
        top = row * _LANE
        name = "?" if engine is None else engine
        parts.append(
            f'<text x="0" y="{top + 12}">engine {escape(str(name))}</text>'
            f'<rect x="{_LEFT}" y="{top + 1}" width="{_WIDTH - _LEFT - 2}" height="{_BAR}" fill-opacity="0.07"/>'
        )
        parts.extend(draw(lanes[engine], began, scale, top + 1, weight))
    bottom = len(shown) * _LANE
    if hidden:
        parts.append(f'<text x="0" y="{bottom + 12}" fill-opacity="0.7">and {hidden} more engines</text>')
        bottom += _LANE
    parts.append(_axis(length, scale, bottom))
    parts.append("</svg>")
    return "".join(parts)


def _bars(spans, began, scale, top, _):
    for span in spans:
        x = _LEFT + (span.began - began) * scale
        # Bars that are shorter than a point can still be seen.
        width = max((span.ended - span.began) * scale, 0.75)
        title = f"{span.text}: {seconds_text(span.ended - span.began)}" + (", failed" if span.has_failed else "")
        yield (
            f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{_FAILED if span.has_failed else _DONE}" '
            f'stroke="#fff" stroke-opacity="0.6" stroke-width="0.4"><title>{escape(title)}</title></rect>'
        )


def _loads(spans, began, scale, top, weight):
    """The part of each two pixels' time for which the engine was busy, as an area; where tasks failed, a red mark."""
    # Of a sample, a piece of time needs some tasks to tell how busy it was.
    step = 2 if weight == 1 else min(40, max(2, round((_WIDTH - _LEFT) * 10 / len(spans))))
    count = (_WIDTH - _LEFT - 2) // step
    busy, change, failed = [0.0] * (count + 1), [0] * (count + 2), set()
    for span in spans:
        start, end = ((moment - began) * scale / step for moment in (span.began, span.ended))
        first, last = min(int(start), count), min(int(end), count)
        if span.has_failed:
            failed.add(min(last, count - 1))
        if first == last:
            busy[first] += end - start
            continue
        busy[first] += first + 1 - start
        busy[last] += end - last
        change[first + 1] += 1
        change[last] -= 1
    under_way = 0
    bottom = top + _BAR
    path, before = [f"M{_LEFT} {bottom}"], 0
    for index in range(count):
        under_way += change[index]
        part = round(min(1.0, (busy[index] + under_way) * weight) * _BAR, 1)
        if part != before:
            path.append(f"H{_LEFT + index * step}V{bottom - part:g}")
            before = part
    path.append(f"H{_LEFT + count * step}V{bottom}z")
    yield f'<path d="{"".join(path)}" fill="{_DONE}"/>'
    if failed:
        marks = "".join(f"M{_LEFT + index * step} {top}h{step}v3h-{step}z" for index in sorted(failed))
        yield f'<path d="{marks}" fill="{_FAILED}"/>'


def _axis(length, scale, top):
    """Round times below the lanes."""
    exponent = 10.0 ** _floor_log10(length / 5)
    step = next(exponent * factor for factor in (1, 2, 5, 10) if length / (exponent * factor) <= 6)
    parts = []
    index = 0
    while index * step <= length:
        x = _LEFT + index * step * scale
        anchor = "start" if index == 0 else "end" if x > _WIDTH - 30 else "middle"
        text = "0" if index == 0 else seconds_text(index * step)
        parts.append(
            f'<path d="M{x:.1f} {top}v4" stroke="currentColor" stroke-opacity="0.5"/>'
            f'<text x="{x:.1f}" y="{top + 15}" text-anchor="{anchor}" fill-opacity="0.7">{text}</text>'
        )
        index += 1
    return "".join(parts)


def _floor_log10(number):
    from math import floor, log10

    return floor(log10(number))
