"""The harness of `scripts/bench`: what it measures, how it bounds that, and what it makes of the numbers."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
import uuid
import xml.etree.ElementTree as xml
from pathlib import Path

import processes
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Benchmarks"))

import peers  # noqa: E402
from harness import journal, limits, measurements, plot, publish, rounds, table, works  # noqa: E402
from harness.peer import Peer  # noqa: E402
from harness.rounds import Measured  # noqa: E402
from harness.rows import CHIEF, GROUPS, ROWS, middle, times_better  # noqa: E402
from harness.scale import fitting, times  # noqa: E402


def measured(title: str, *numbers: dict) -> Measured:
    return Measured(title=title, version="1", how="as one does", rounds=list(numbers))


@pytest.fixture
def found():
    return {
        "apus": measured("Apus", {"tasks_per_s": 20_000, "round_trip_ms": 0.2}, {"tasks_per_s": 30_000, "round_trip_ms": 0.3}),
        "ipyparallel": measured("ipyparallel", {"tasks_per_s": 200, "round_trip_ms": 5.0}, {"tasks_per_s": 300, "round_trip_ms": 5.0}),
        "ray": Measured(title="ray", absent="ray is not installed"),
        "dask": Measured(title="Dask", rounds=[{"tasks_per_s": 500}], errors=["pull of 1 MB: TooLong: not done within 150 s"]),
    }


def test_a_table_has_medians_spread_and_dashes(found):
    lines = table.figures([ROWS["tasks_per_s"], ROWS["round_trip_ms"]], found, aims=False).splitlines()
    assert lines[0] == "|  | Apus | ipyparallel | Dask |"
    assert lines[2] == "| no-op tasks, one message each, /s | 25 000 (20 000–30 000) | 250 (200–300) | 500 |"
    assert lines[3] == "| round trip of one task, median, ms | 0.25 (0.20–0.30) | 5 | – |"


def test_ratios_say_how_many_times_better_ours_is(found):
    assert times_better(ROWS["tasks_per_s"], found["apus"], found["ipyparallel"]) == 100
    assert times_better(ROWS["round_trip_ms"], found["apus"], found["ipyparallel"]) == 20
    lines = table.ratios([ROWS["tasks_per_s"], ROWS["round_trip_ms"]], found).splitlines()
    assert lines[2:] == [
        "| no-op tasks, one message each | 100× | 50× |", "| round trip of one task, median | 20× | – |"]


def test_the_page_names_who_is_absent_and_what_failed(found):
    page = table.page(found)
    assert "- ray: absent, ray is not installed" in page
    assert "  - failed: pull of 1 MB: TooLong: not done within 150 s" in page


def test_the_plot_is_a_picture_with_a_bar_for_each_number(found):
    picture = xml.fromstring(plot.svg(found, "two & a half <machines>"))
    name = "{http://www.w3.org/2000/svg}"
    bars = picture.findall(f"{name}rect")
    assert len(bars) == 5
    assert all(float(bar.get("width")) > 0 for bar in bars)
    # The first panel's: Apus, ipyparallel, Dask.
    lengths = [float(bar.get("width")) for bar in bars[:3]]
    assert bars[0].get("class") == "bar ours" and lengths[0] > lengths[2] > lengths[1]
    texts = ["".join(text.itertext()) for text in picture.findall(f"{name}text")]
    assert texts[-1].endswith("two & a half <machines>") and "25 000" in texts


def test_a_page_is_filled_where_it_says_so_and_can_be_filled_again():
    page = "a\n<!-- bench: chief -->\nold\n<!-- bench end -->\nb\n<!-- bench: limits -->\nkept\n<!-- bench end -->\n"
    once = publish.fill(page, {"chief": "new"})
    assert once == page.replace("old", "new")
    assert publish.fill(once, {"chief": "new"}) == once


def test_every_block_of_the_documentation_is_known(found):
    bare = {"call_us": 0.1, "raw_relay_per_s": 1e5, "wake_us": 12.0}
    results = {"machine": {"processor": "p", "cores": 2, "python": "3", "date": "d"}, "limits": bare}
    found["apus"].rounds[0] |= {"cpu_client_us": 20, "cpu_controller_us": 9, "cpu_engine_us": 30}
    known = publish.blocks(results, found)
    for page in publish.PAGES:
        for block in publish.BLOCK.finditer((ROOT / page).read_text()):
            assert block[2] in known, f"{page} wants {block[2]}"
    assert "| round trip of one task, median, ms | 0.25 (0.20–0.30) | 0.024 ms: four wake-ups |" in known["waits"]
    assert "| the controller | 9 | 10 µs (a bare relay, at its rate) |" in known["rooms"]


def test_the_chief_rows_are_rows():
    assert set(CHIEF) | set(plot.PANELS) <= set(ROWS)
    assert len(ROWS) == sum(len(rows) for rows in GROUPS.values())
    assert middle([{"a": 1.0}, {"a": 3.0}, {}], "a") == (2.0, 1.0, 3.0)


@pytest.mark.parametrize("name", peers.NAMES)
def test_every_peer_says_what_it_is_or_why_it_is_absent(name):
    peer = importlib.import_module(f"peers.{name}").Peer
    assert issubclass(peer, Peer) and not getattr(peer, "__abstractmethods__", None)
    assert peer.title and peer.how
    assert peer.absent() is None or isinstance(peer.absent(), str)


def test_counts_grow_until_they_fill_the_budget():
    counts = []

    def run(count):
        counts.append(count)
        time.sleep(count * 0.0005)

    count, took = fitting(run, 0.2, 10, 100_000)
    assert count == counts[-1] > 100 and 0.1 <= took < 2
    assert counts == sorted(counts)


def test_a_cost_that_every_count_has_does_not_end_the_growth():
    def run(count):
        time.sleep(0.03)

    assert fitting(run, 0.02, 10, 5000)[0] == 5000


def test_a_number_of_calls_is_bounded_in_time():
    taken = times(lambda: time.sleep(0.02), 1000, 0.1)
    assert 1 <= len(taken) < 10


#: Whoever looks for the processes of a run reads the environment that they were started with, so it is a process of its own.
WHOLE = """
import json
from harness import measurements, works
from harness.scale import Sizes
from peers.multiprocessing import Peer

tiny = Sizes(0.05, 0.02, 5, 0.2, 1000, 1, 1, (10,), True)
peer = Peer()
numbers = measurements.start(peer, 2)
assert len(set(peer.each(works.pid, range(8)))) == 2
for measure in (measurements.idle, measurements.round_trip, measurements.tasks, measurements.after_tasks, measurements.small_items):
    numbers |= measure(peer, tiny)
numbers |= measurements.lengths(peer, tiny, (1, 10), numbers["map_items_per_s"])
for name in ("push", "scatter", "pull", "gather", "push_bytes"):
    numbers |= measurements.transfer(peer, tiny, name, 1)
peer.stop()
print(json.dumps(numbers))
"""


def test_a_pool_is_measured_whole(tmp_path):
    mark = uuid.uuid4().hex
    env = rounds.environment(tmp_path, mark, tmp_path)
    try:
        done = subprocess.run([sys.executable, "-c", WHOLE], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    finally:
        left = processes.end(mark)
    assert done.returncode == 0, done.stderr
    assert not left
    numbers = json.loads(done.stdout)
    assert {"idle_pss_mb", "after_pss_mb", "map_1ms_2_percent", "each_10ms_2_percent", "gather_1mb_2_ms"} <= set(numbers)
    assert numbers["idle_processes"] == 2 and numbers["idle_pss_mb"] > 1
    assert numbers["cpu_client_us"] > 0 and "cpu_other_us" in numbers
    assert 0 < numbers["map_10ms_2_percent"] <= 100
    assert 0 < numbers["after_tasks"] <= 1000
    assert all(value >= 0 for value in numbers.values())


def test_a_wrong_value_that_comes_back_is_no_measurement():
    value = works.array(10_000)
    measurements.check(value, 10_000, works.read(value))
    with pytest.raises(AssertionError):
        measurements.check(value[:-1], 10_000)


def run_one(name: str, tmp_path: Path, monkeypatch, limit: float = 60) -> list[dict]:
    monkeypatch.setattr(rounds, "QUICK_LIMIT", limit)
    lines: list[dict] = []
    rounds.measure(name, tmp_path, True, tmp_path / "log", lines.append)
    return lines


def test_an_absent_peer_is_told_by_a_run(tmp_path, monkeypatch):
    # There is no installation of Apus in that prefix.
    assert run_one("ipyparallel_on_apus", tmp_path, monkeypatch) == [{"absent": "there is no installation of Apus"}]


def test_a_run_that_takes_too_long_is_ended_with_all_it_started(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(work))
    # Long enough to begin, and not to end.
    for limit in (4, 8, 16, 32):
        lines = run_one("multiprocessing", tmp_path, monkeypatch, limit=limit)
        assert lines[-1] == {"of": "the run", "error": f"not done within {limit} s"}
        assert not list(work.iterdir())
        if len(lines) > 1:
            break
    assert lines[0]["peer"]["title"] == "multiprocessing"


def test_limits_are_measured():
    found = limits.python(0.02) | limits.sockets(0.02)
    assert 0 < found["call_us"] < found["future_us"] < 1000
    assert found["wake_us"] > found["call_us"] and found["socket_100mb_ms"] > 1
    text = limits.markdown(found)
    assert text.count("\n") == len(found) + 1


def test_a_journals_price_is_its_share_of_the_rate_without(monkeypatch, capsys):
    rates = {"without": 1000.0, "interval": 900.0, "never": 950.0, "always": 500.0}
    order = []

    def measure(program, controller, options, tasks):
        mode = next(name for name, own in journal.MODES.items() if own == options)
        order.append(mode)
        return {"error": "it burns"} if mode == "never" and len(order) < 5 else {"tasks_per_s": rates[mode], "controller_us": 20.0}

    monkeypatch.setattr(journal, "measure", measure)
    found = journal.run(Path("program"), Path("apus"), quick=False)
    assert order[:8] == [*journal.MODES, *reversed(journal.MODES)]
    assert len(found["interval"]) == journal.ROUNDS
    lines = capsys.readouterr().out.splitlines()
    assert any("interval" in line and "90 %" in line for line in lines)
    assert "  never: it burns" in lines and any(line.startswith("  never") and "95 %" in line for line in lines)
