"""The plot: one panel for each chief number, a bar for each peer on a logarithmic scale. Plain SVG, no library."""

from __future__ import annotations

import math
from html import escape

from harness.rounds import Measured
from harness.rows import ROWS, Row, middle
from harness.table import figure, there

PANELS = ["tasks_per_s", "map_items_per_s", "round_trip_ms", "push_100mb_2_ms", "start_first_result_s", "idle_pss_mb"]
WIDTH, COLUMNS = 900, 2
LABEL, VALUE, BAR, GAP, HEAD, MARGIN = 164, 96, 14, 6, 34, 16

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 13px }
  .better { fill: #6e7781 }
  .bar { fill: #8c959f }
  .ours { fill: #0969da }
  .spread { stroke: #24292f; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .better { fill: #9198a1 } .bar { fill: #656c76 } .ours { fill: #4493f8 } .spread { stroke: #e6edf3 }
  }
"""


def panel(row: Row, peers: dict[str, Measured], left: float, top: float, width: float) -> list[str]:
    better = "more is better" if row.more_is_better else "less is better"
    unit = f", {row.unit}" if row.unit else ""
    parts = [
        f'<text class="title" x="{left:g}" y="{top + 14:g}">{escape(row.name + unit)}'
        f'<tspan class="better" font-weight="400"> · {better}</tspan></text>']
    spreads = {name: middle(measured.rounds, row.key) for name, measured in peers.items()}
    values = [value for spread in spreads.values() if spread for value in spread if value > 0]
    if not values:
        return parts
    # A bar has some length even for the least value: half a decade.
    low, high = math.log10(min(values)) - 0.5, math.log10(max(values))
    room = width - LABEL - VALUE
    along = lambda value: left + LABEL + room * (math.log10(max(value, 1e-9)) - low) / max(high - low, 1e-9)  # noqa: E731
    for number, (name, measured) in enumerate(peers.items()):
        y = top + HEAD - 8 + number * (BAR + GAP)
        middle_line = y + BAR - 3
        parts.append(f'<text x="{left + LABEL - 8:g}" y="{middle_line:g}" text-anchor="end">{escape(measured.title)}</text>')
        spread = spreads[name]
        if spread is None or spread[0] <= 0:
            parts.append(f'<text class="better" x="{left + LABEL:g}" y="{middle_line:g}">–</text>')
            continue
        median, least, greatest = spread
        kind = "bar ours" if name.startswith("apus") else "bar"
        parts.append(
            f'<rect class="{kind}" x="{left + LABEL:g}" y="{y:g}" width="{along(median) - left - LABEL:.1f}" height="{BAR}" rx="2"/>')
        if greatest > least > 0:
            parts.append(
                f'<line class="spread" x1="{along(least):.1f}" x2="{along(greatest):.1f}" y1="{y + BAR / 2:g}" y2="{y + BAR / 2:g}"/>')
        parts.append(f'<text x="{along(greatest) + 6:.1f}" y="{middle_line:g}">{figure(median)}</text>')
    return parts


def svg(found: dict[str, Measured], caption: str) -> str:
    """The picture; `caption` stands under it."""
    peers = there(found)
    width = (WIDTH - MARGIN * (COLUMNS + 1)) / COLUMNS
    height = HEAD + len(peers) * (BAR + GAP) + 8
    rows = [ROWS[key] for key in PANELS]
    whole = MARGIN + math.ceil(len(rows) / COLUMNS) * height + 24
    parts = []
    for number, row in enumerate(rows):
        left = MARGIN + (number % COLUMNS) * (width + MARGIN)
        parts += panel(row, peers, left, MARGIN + (number // COLUMNS) * height, width)
    parts.append(f'<text class="better" x="{MARGIN}" y="{whole - 10}">{escape(f"Logarithmic scales. {caption}")}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole:g}" width="{WIDTH}" height="{whole:g}" role="img">'
        f"<title>Apus and its peers, logarithmic scales</title><style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n")
