"""What clients, views and results show of themselves, whatever their size."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from apus import display, timeline
from stands import Client, Message, Result, View

EPOCH = 1_790_000_000.0


def queues(n, **numbers):
    return {engine: {"queue": 0, "tasks": 0, "completed": 0} | numbers for engine in range(n)} | {"unassigned": 0}


def picture(html):
    """The drawing in a result's HTML, read as XML."""
    return ElementTree.fromstring(re.search(r"<svg.*</svg>", html, re.S)[0])


def well_formed(html):
    return ElementTree.fromstring(html.replace("&#9679;", "o"))


def rects(svg):
    return [part for part in svg.iter() if part.tag.endswith("rect") and part.find("{*}title") is not None]


def test_a_client_shows_its_engines_and_their_load():
    load = queues(3)
    load[1] = {"queue": 1, "tasks": 4, "completed": 17}
    load["unassigned"] = 9
    html = display.client_html(Client(3, load))
    table = well_formed(html).find(".//table")
    rows = [["".join(cell.itertext()).strip() for cell in row] for row in table.iter("tr")]
    assert rows[0] == ["engine", "uuid", "now", "waiting", "completed"]
    assert rows[1] == ["0", "00000000", "o idle", "0", "0"]
    assert rows[2] == ["1", "00000001", "o busy", "4", "17"]
    assert len(rows) == 4
    assert "9 tasks wait for an engine" in html


@pytest.mark.parametrize("failure", [TimeoutError("no answer"), OSError("closed"), RuntimeError("closed")])
def test_a_client_is_shown_though_the_hub_does_not_answer(failure):
    html = display.client_html(Client(2, failure=failure))
    assert "Client: 2 engines" in html
    assert "completed" not in html


def test_a_closed_client_asks_nobody():
    client = Client(2, failure=AssertionError("it was asked"))
    client._closed = True
    assert "closed" in display.client_html(client)
    assert display.client_text(client) == "<Client: closed>"


def test_thousands_of_engines_are_bounded():
    html = display.client_html(Client(10_000, queues(10_000, tasks=1)))
    well_formed(html)
    assert html.count("<tr>") == display.MOST_ROWS + 1
    assert "and 9984 more engines, 2000 of the next 2000 busy" in html
    assert len(html) < 60_000
    assert len(display.client_text(Client(10_000))) < 100


def test_views_show_targets_and_flags():
    client = Client(4, queues(4))
    assert display.view_text(View(client, "all")) == "<View all>"
    assert display.view_text(View(client, 2)) == "<View 2>"
    assert display.view_text(View(client, [0, 1, 2])) == "<View [0, 1, 2]>"
    assert display.view_text(View(client, list(range(100)))) == "<View [0, 1, 2, 3, ... 96 more]>"
    html = display.view_html(View(client, [1, 3, 7]))
    assert "block = <code>True</code>" in html
    assert "1 target not there any more" in html
    assert len(well_formed(html).findall(".//tr")) == 3
    assert "View of 1 engine: 2" in display.view_html(View(client, 2))
    assert "View of 4 engines: all" in display.view_html(View(client, "all"))


def test_what_users_named_is_escaped():
    view = View(Client(1), [0])
    view.label = "<script>alert(1)</script>"
    client = Client(1)
    client.profile = "<img src=x>"
    result = Result([Message(0, EPOCH, EPOCH + 1)])
    result._fname = "<lambda> & co"
    for html in (display.view_html(view), display.client_html(client), display.result_html(result)):
        well_formed(html)
        assert "<script>" not in html and "<img" not in html and "<lambda>" not in html


def test_a_result_is_one_bar_for_each_task():
    messages = [Message(task % 2, EPOCH + task // 2, EPOCH + task // 2 + 0.5, kind=int(task == 3)) for task in range(8)]
    html = display.result_html(Result(messages))
    svg = picture(html)
    bars = rects(svg)
    assert len(bars) == 8
    assert [bar.find("{*}title").text for bar in bars][:2] == ["task 0: 500 ms", "task 2: 500 ms"]
    assert [bar.find("{*}title").text for bar in bars if bar.get("fill") == timeline._FAILED] == ["task 3: 500 ms, failed"]
    # Lanes are engines; a bar's place and length are its time.
    places = {(float(bar.get("y")), float(bar.get("x")), float(bar.get("width"))) for bar in bars}
    assert len({y for y, _, _ in places}) == 2
    scale = 574 / 3.5
    xs = sorted({x for _, x, _ in places})
    assert xs == [pytest.approx(64 + second * scale, abs=0.1) for second in range(4)]
    assert all(width == pytest.approx(scale / 2, abs=0.1) for _, _, width in places)
    assert "failed, 8 tasks, 3.5 s, 4 s of work on 2 engines, 57% busy" in html


def test_a_pending_result_shows_what_is_done():
    messages = [Message(0, EPOCH, EPOCH + 1), Message(0, EPOCH, None)]
    result = Result(messages)
    assert display.result_text(result) == "<Result(square): pending, 1 of 2>"
    html = display.result_html(result)
    assert "pending, 1 of 2" in html and "so far" in html
    assert len(rects(picture(html))) == 1
    assert "<svg" not in display.result_html(Result([Message(0, EPOCH, None)]))


def test_grouped_items_are_said():
    messages = [Message(0, EPOCH, EPOCH + 1), Message(1, EPOCH, EPOCH + 1)]
    assert "finished, 500 items" in display.result_html(Result(messages, items=500))


def busy_part(path):
    """The area below a drawn load, as part of a lane that is busy all the time."""
    x = y = area = 0.0
    bottom = None
    for command, argument in re.findall(r"([MHV])([^MHVz]+)", path):
        if command == "M":
            x, y = map(float, argument.split())
            bottom = y
        elif command == "H":
            area += (float(argument) - x) * (bottom - y)
            x = float(argument)
        else:
            y = float(argument)
    return area / (574 * 14)


def test_many_tasks_are_drawn_as_load():
    # Engine 0 works without a pause, engine 1 every second time, and both until the same moment.
    messages = [Message(0, EPOCH + task * 0.01, EPOCH + task * 0.01 + 0.01) for task in range(2000)]
    messages += [Message(1, EPOCH + task * 0.02 + 0.01, EPOCH + task * 0.02 + 0.02) for task in range(1000)]
    svg = picture(display.result_html(Result(messages)))
    paths = [part.get("d") for part in svg.iter() if part.tag.endswith("path") and part.get("fill") == timeline._DONE]
    assert [busy_part(path) for path in paths] == [pytest.approx(1, abs=0.02), pytest.approx(0.5, abs=0.02)]


def test_a_long_task_among_many_fills_its_time():
    messages = [Message(0, EPOCH, EPOCH + 5)] + [Message(1, EPOCH + task * 0.01, EPOCH + task * 0.01 + 0.01) for task in range(1000)]
    svg = picture(display.result_html(Result(messages)))
    paths = [part.get("d") for part in svg.iter() if part.tag.endswith("path") and part.get("fill") == timeline._DONE]
    assert busy_part(paths[0]) == pytest.approx(0.5, abs=0.02)


def test_a_sample_of_very_many_tasks_gives_the_same_load():
    messages = [Message(task % 2, EPOCH + task * 0.01, EPOCH + task * 0.01 + 0.01) for task in range(50_000)]
    html = display.result_html(Result(messages))
    assert "of 50000 tasks, one in 7 is read" in html
    paths = [part.get("d") for part in picture(html).iter() if part.tag.endswith("path") and part.get("fill") == timeline._DONE]
    assert [busy_part(path) for path in paths] == [pytest.approx(0.5, abs=0.05)] * 2
    assert len(html) < 30_000


def test_thousands_of_lanes_and_tasks_are_bounded():
    messages = [Message(task % 1000, EPOCH + task * 0.01, EPOCH + task * 0.01 + 5) for task in range(20_000)]
    html = display.result_html(Result(messages))
    assert "and 968 more engines" in html
    assert html.count("engine ") <= timeline.MOST_LANES + 2
    assert len(html) < 200_000


def test_durations_and_axis():
    assert [timeline.seconds_text(seconds) for seconds in (0, 0.0123, 0.9999, 3.456, 65, 125, 7322)] == [
        "0 ms", "12.3 ms", "1 s", "3.46 s", "65 s", "2 min 5 s", "2 h 2 min"
    ]  # fmt: skip
    for length in (1e-6, 0.0007, 0.3, 1, 59, 1e5):
        svg = timeline.svg([timeline.Span(0, EPOCH, EPOCH + length)])
        texts = [part.text for part in ElementTree.fromstring(svg).iter() if part.tag.endswith("text")]
        assert 2 <= len(texts) <= 8, (length, texts)
