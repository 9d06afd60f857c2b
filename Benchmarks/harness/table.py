"""The tables, in Markdown."""

from __future__ import annotations

from typing import Iterable

from harness.rounds import Measured
from harness.rows import CHIEF, GROUPS, ROWS, Row, middle, times_better


def figure(value: float) -> str:
    """Three figures are more than a busy machine repeats."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        rounded = round(value, -max(0, len(str(int(abs(value)))) - 3))
        return f"{rounded:,.0f}".replace(",", " ")
    if value == int(value):
        return str(int(value))
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def cell(measured: Measured, key: str) -> str:
    values = middle(measured.rounds, key)
    if values is None:
        return "–"
    median, least, greatest = (figure(value) for value in values)
    return median if least == greatest else f"{median} ({least}–{greatest})"


def markdown(header: list[str], lines: Iterable[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines])


def there(found: dict[str, Measured]) -> dict[str, Measured]:
    return {name: measured for name, measured in found.items() if measured.rounds}


def label(row: Row, aims: bool) -> str:
    unit = f", {row.unit}" if row.unit else ""
    return f"{row.name}{unit}" + (f" (aim {row.aim})" if aims and row.aim else "")


def figures(rows: list[Row], found: dict[str, Measured], aims: bool = True) -> str:
    peers = there(found)
    lines = [
        [label(row, aims), *(cell(measured, row.key) for measured in peers.values())]
        for row in rows if any(middle(measured.rounds, row.key) for measured in peers.values())
    ]
    return markdown(["", *(measured.title for measured in peers.values())], lines)


def ratios(rows: list[Row], found: dict[str, Measured], ours: str = "apus") -> str:
    """How many times better ours is than each of the others."""
    peers = there(found)
    if ours not in peers or len(peers) < 2:
        return ""
    others = [measured for name, measured in peers.items() if name != ours]
    lines = []
    for row in rows:
        better = [times_better(row, peers[ours], other) for other in others]
        if any(value is not None for value in better):
            lines.append([row.name, *("–" if value is None else f"{figure(value)}×" for value in better)])
    return markdown([f"{peers[ours].title} against", *(other.title for other in others)], lines)


def notes(found: dict[str, Measured]) -> str:
    """Versions, how each was used, who was absent and what failed."""
    lines = []
    for name, measured in found.items():
        if measured.absent:
            lines.append(f"- {name}: absent, {measured.absent}")
            continue
        version = f" {measured.version}" if measured.version else ""
        lines.append(f"- {measured.title}{version}: {measured.how}")
        lines += [f"  - failed: {error}" for error in dict.fromkeys(measured.errors)]
    return "\n".join(lines)


def chief(found: dict[str, Measured]) -> str:
    return figures([ROWS[key] for key in CHIEF], found, aims=False)


def page(found: dict[str, Measured]) -> str:
    """Everything there is, with a heading for each group."""
    parts = []
    for heading, rows in GROUPS.items():
        parts.append(f"### {heading}\n\n{figures(rows, found)}")
    compared = [row for rows in GROUPS.values() for row in rows if row.key != "after_tasks"]
    if text := ratios(compared, found):
        parts.append(f"### Ratios\n\nHow many times better Apus is (below 1: worse), by medians.\n\n{text}")
    parts.append(f"### Peers\n\n{notes(found)}")
    return "\n\n".join(parts)
