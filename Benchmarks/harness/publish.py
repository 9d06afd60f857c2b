"""Puts the figures of a run into the documentation: between `<!-- bench: NAME -->` and `<!-- bench end -->`.

`python -m harness.publish DIRECTORY` publishes a run that is finished; `scripts/bench --publish` does it at the end.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

from harness import limits, machine, table
from harness.rounds import Measured
from harness.rows import CHIEF, ROWS, middle

PAGES = ["README.md", "docs/performance.md"]
BLOCK = re.compile(r"(<!-- bench: (\S+) -->\n).*?(<!-- bench end -->)", re.S)


def rooms(found: dict[str, Measured], bare: dict[str, float]) -> str:
    """Where the processor time of a no-op task goes, with the least that the room's work takes beside it."""
    ours = found.get("apus")
    if ours is None or not ours.rounds:
        return ""
    python_work = sum(bare.get(key, 0.0) for key in ("future_us", "pickle_call_us"))
    relay = f"{table.figure(1e6 / bare['raw_relay_per_s'])} µs (a bare relay, at its rate)" if bare.get("raw_relay_per_s") else "–"
    engine_work = sum(bare.get(key, 0.0) for key in ("call_us", "pickle_call_us"))
    beside = {
        "client": (
            "the program: Python, and the client's part of the core", f"{table.figure(python_work)} µs (a future, pickle there and back)"),
        "controller": ("the controller", relay),
        "engine": ("both engines", f"{table.figure(engine_work)} µs (the call, pickle there and back)"),
    }
    lines = [
        [room, table.cell(ours, f"cpu_{role}_us"), limit]
        for role, (room, limit) in beside.items() if middle(ours.rounds, f"cpu_{role}_us")
    ]
    return table.markdown(["room", "processor time a task, µs", "its limit"], lines)


def waits(found: dict[str, Measured], bare: dict[str, float]) -> str:
    """What a person waits for, with the least that the machine takes for it beside it."""
    ours = found.get("apus")
    if ours is None or not ours.rounds:
        return ""
    through = ("socket_100mb_ms", 1.0, "ms: 100 MB through a socket, once")
    beside = {
        "round_trip_ms": ("wake_us", 2e-3, "ms: four wake-ups"),
        **{f"{name}_100mb_2_ms": through for name in ("push", "scatter", "pull", "gather")},
        "start_first_result_s": ("interpreter_ms", 1e-3, "s: starting Python"),
    }
    lines = [
        [table.label(ROWS[key], aims=False), table.cell(ours, key), f"{table.figure(bare[limit] * factor)} {text}"]
        for key, (limit, factor, text) in beside.items() if middle(ours.rounds, key) and limit in bare
    ]
    return table.markdown(["", "measured", "its limit"], lines)


def blocks(results: dict, found: dict[str, Measured]) -> dict[str, str]:
    bare = results.get("limits", {})
    rounds = max((len(measured.rounds) for measured in found.values()), default=0)
    known = {
        "chief": table.chief(found),
        "ratios": table.ratios([ROWS[key] for key in CHIEF], found),
        "all": table.page(found),
        "where": machine.caption(results["machine"], rounds) + ".",
        "rooms": rooms(found, bare),
        "waits": waits(found, bare),
        "limits": limits.markdown(bare) if bare else "",
    }
    return {name: text for name, text in known.items() if text}


def fill(text: str, known: dict[str, str]) -> str:
    """The page with those blocks replaced that the run has; the others stay as they are."""
    return BLOCK.sub(lambda found: f"{found[1]}{known[found[2]]}\n{found[3]}" if found[2] in known else found[0], text)


def run(directory: Path, root: Path) -> None:
    results = json.loads((directory / "results.json").read_text())
    found = {name: Measured(**measured) for name, measured in results.get("peers", {}).items()}
    known = blocks(results, found)
    for page in PAGES:
        path = root / page
        path.write_text(fill(path.read_text(), known))
    images = root / "docs" / "benchmarks"
    images.mkdir(exist_ok=True)
    for name in ("results.json", "peers.svg"):
        if (directory / name).exists():
            shutil.copyfile(directory / name, images / name)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(__file__).resolve().parents[2])
