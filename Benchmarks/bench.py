"""Apus and its peers side by side, in alternating rounds: see scripts/bench."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scripts" / "lib")]

import peers  # noqa: E402
from harness import journal, limits, machine, native, plot, publish, rounds, table  # noqa: E402
from harness.rows import ROWS, middle  # noqa: E402

PARTS = ["peers", "limits", "native", "swift", "journal"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", add_help=False)
    parser.add_argument("--check-usage", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--prefix", type=Path)
    parser.add_argument("--native", type=Path)
    parser.add_argument("--swift", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--peers", type=lambda text: text.split(","), default=list(peers.NAMES))
    parser.add_argument("--publish", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.peers:
        if name not in peers.NAMES:
            parser.error(f"there is no peer {name}; the peers are {','.join(peers.NAMES)}")
    if arguments.rounds < 1:
        parser.error("--rounds is 1 or more")
    if arguments.quick:
        arguments.rounds = 1
    return arguments


def summary(found: dict[str, rounds.Measured]) -> dict:
    """By row and peer, for programs."""
    return {
        key: {"name": row.name, "unit": row.unit, "more_is_better": row.more_is_better, "aim": row.aim} | {
            "peers": {
                name: dict(zip(("median", "least", "greatest"), values))
                for name, measured in found.items() if (values := middle(measured.rounds, key))
            }
        }
        for key, row in ROWS.items()
    }


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse()
    if arguments.check_usage:
        return 0
    arguments.output.mkdir(parents=True, exist_ok=True)
    wanted = lambda part: arguments.only in (None, part)  # noqa: E731
    began = time.monotonic()
    where = machine.facts()
    print(machine.sentence(where), flush=True)
    results: dict = {"machine": where, "quick": arguments.quick}
    failed = False
    if wanted("peers"):
        found = rounds.run(arguments.peers, arguments.prefix, arguments.rounds, arguments.quick, arguments.output / "logs")
        where["load_after"] = machine.load()
        results |= {"summary": summary(found), "peers": {name: vars(measured) for name, measured in found.items()}}
        caption = machine.caption(where, arguments.rounds)
        text = f"{caption}\n\n{table.page(found)}\n"
        (arguments.output / "results.md").write_text(text)
        (arguments.output / "peers.svg").write_text(plot.svg(found, caption))
        print(f"\n{text}", flush=True)
        failed |= any(measured.errors for measured in found.values())
    if wanted("limits"):
        results["limits"] = limits.run(arguments.native, arguments.quick)
        print(f"\nLimits\n\n{limits.markdown(results['limits'])}\n", flush=True)
    if wanted("native") and arguments.native and arguments.native.exists():
        results["native"] = native.run_native(arguments.native, arguments.prefix / "bin" / "apus", arguments.quick)
        failed |= any("error" in one for one in results["native"].values())
    if wanted("swift") and arguments.swift and arguments.swift.exists():
        results["swift"] = native.run_swift(arguments.swift, arguments.rounds, arguments.quick)
        failed |= any("error" in one for numbers in results["swift"].values() for one in numbers)
    if wanted("journal") and arguments.swift and arguments.swift.exists():
        results["journal"] = journal.run(arguments.swift, arguments.prefix / "bin" / "apus", arguments.quick)
        failed |= any("error" in one for numbers in results["journal"].values() for one in numbers)
    results["seconds"] = round(time.monotonic() - began)
    (arguments.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    if arguments.publish:
        publish.run(arguments.output, HERE.parent)
    print(f"{results['seconds']} s; everything is in {arguments.output}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
