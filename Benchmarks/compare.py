"""Stock ipyparallel and Apus side by side, in alternating rounds: see scripts/bench."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROUND_LIMIT = 300.0


@dataclass(frozen=True)
class Row:
    key: str
    name: str
    unit: str
    more_is_better: bool
    target: str
    digits: int = 1


ROWS = [
    Row("tasks_per_s", "tasks, one message each", "/s", True, "≥ 2×", 0),
    Row("map_tasks_per_s", "tasks of a balanced map", "/s", True, "", 0),
    Row("round_trip_ms", "round trip, median", "ms", False, "≤ 1/2", 2),
    Row("round_trip_p99_ms", "round trip, 99th of 100", "ms", False, "", 2),
    Row("start_ready_s", "start to engines ready", "s", False, "", 2),
    Row("start_first_result_s", "start to first result", "s", False, "≤ 0.7 s", 2),
    Row("stop_s", "stop", "s", False, "", 2),
    Row("processes", "processes", "", False, "≤ 4", 0),
    Row("memory_pss_mb", "idle memory, all, PSS", "MB", False, ""),
    Row("memory_rss_mb", "idle memory, all, RSS", "MB", False, ""),
    Row("memory_pss_without_ipcluster_mb", "controller and engines, PSS", "MB", False, "≤ 80 MB"),
    Row("push_bytes_s", "push 100 MB of bytes", "s", False, "≤ 1/3", 3),
    Row("push_bytes_first_s", "the same, the first of a cluster", "s", False, "", 3),
    Row("push_array_s", "push 100 MB of an array", "s", False, "≤ 1/3", 3),
]

@dataclass(frozen=True)
class NativeRow:
    program: str
    key: str
    name: str
    unit: str
    target: str = ""
    digits: int = 0


# How connections are made when they are not local sockets.
TCP = "--controller-options=--IPController.local_sockets=False"
OPEN = "--controller-options=--IPController.local_sockets=False,--IPController.enable_curve=False"

# The controller alone, under a native load program; each of its parts prints a flat JSON object of numbers.
NATIVE = [
    NativeRow("tasks", "tasks_per_s", "tasks through the scheduler", "/s", "≥ 40 000"),
    NativeRow("tasks", "controller_cpu_us_per_task", "controller's processor time a task", "µs", digits=1),
    NativeRow(f"tasks {TCP}", "tasks_per_s", "the same by TCP, encrypted", "/s"),
    NativeRow(f"tasks {TCP}", "controller_cpu_us_per_task", "controller's processor time a task", "µs", digits=1),
    NativeRow(f"tasks {OPEN}", "tasks_per_s", "the same by TCP, not encrypted", "/s"),
    NativeRow(f"tasks {OPEN}", "controller_cpu_us_per_task", "controller's processor time a task", "µs", digits=1),
    NativeRow("roundtrip", "p50_us", "round trip, median", "µs", "≤ 200"),
    NativeRow("roundtrip", "p99_us", "round trip, 99th of 100", "µs"),
    NativeRow("roundtrip", "p999_us", "round trip, 999th of 1 000", "µs"),
    NativeRow("roundtrip", "one_cpu_p50_us", "round trip on one core, median", "µs"),
    NativeRow("burst", "tasks", "burst: tasks queued at once", "", "1 000 000"),
    NativeRow("burst", "nodb_bytes_per_task_beyond_frames", "burst: memory a task, no task database", "B", "≤ 1 536"),
    NativeRow("burst", "dictdb_bytes_per_task_beyond_frames", "burst: memory a task, task database in memory", "B"),
    NativeRow("engines", "registered_s", "1 000 engines registered", "s", "≤ 10", 2),
    NativeRow("engines", "kb_per_engine", "controller's memory an engine", "KB"),
]


@dataclass(frozen=True)
class SwiftRow:
    key: str
    name: str
    unit: str
    target: str = ""
    digits: int = 0


# The Swift client with two Swift engines, and multiprocessing.Pool(2) beside it.
SWIFT = [
    SwiftRow("tasks_per_s", "no-op tasks, one message each", "/s", "≥ 40 000"),
    SwiftRow("client_and_controller_us_per_task", "client's and controller's time a task", "µs", digits=1),
    SwiftRow("round_trip_ms", "round trip, median", "ms", "≤ 0.25", 3),
    SwiftRow("round_trip_p99_ms", "round trip, 99th of 100", "ms", digits=3),
    SwiftRow("map_items_per_s", "map, left to itself", "/s", "≥ 1 000 000"),
    SwiftRow("array_8mb_ms", "8 MB of numbers, one way", "ms", "≤ 25", 1),
    SwiftRow("square_call_us", "encode, run, decode a call in process", "µs", "≤ 6", 2),
    SwiftRow("streamed_tasks", "tasks of one stream, none lost", "", "1 000 000"),
    SwiftRow("streamed_peak_mb", "most memory of client and controller then", "MB", "< 200", 0),
]


def run_json(command: list[str], limit: float) -> dict:
    """The last line of a program's output as JSON; an ``error`` instead of numbers when it fails."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        # It has a cluster to stop, and gets the time to do so.
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        return {"error": f"not done within {limit:g} s"}
    try:
        return json.loads(output) if output.lstrip().startswith("{\n") else json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = (errors or output).strip().splitlines()[-1:] or ["no output"]
        return {"error": f"exit code {process.returncode}: {last[0]}"}


def middle(rounds: list[dict], key: str) -> tuple[float, float, float] | None:
    """Median, least and greatest over the rounds that have it."""
    values = [numbers[key] for numbers in rounds if key in numbers]
    return (statistics.median(values), min(values), max(values)) if values else None


def cell(values: tuple[float, float, float] | None, row: Row | NativeRow | SwiftRow) -> str:
    if values is None:
        return "-"
    median, least, greatest = (f"{value:,.{row.digits}f}".replace(",", " ") for value in values)
    spread = f" ({least}–{greatest})" if least != greatest else ""
    return f"{median}{spread}"


def ratio(stock: tuple | None, ours: tuple | None, row: Row) -> str:
    if stock is None or ours is None or not stock[0] or not ours[0]:
        return "-"
    times = ours[0] / stock[0] if row.more_is_better else stock[0] / ours[0]
    better = "more" if row.more_is_better else "less"
    if times < 1:
        times, better = 1 / times, "less" if row.more_is_better else "more"
    return f"{times:.1f}× {better}"


def print_table(rounds: dict[str, list[dict]]) -> None:
    header = ("", "", "stock 9.2", "Apus", "Apus has", "aim")
    lines = [header]
    for row in ROWS:
        stock, ours = middle(rounds["stock"], row.key), middle(rounds["apus"], row.key)
        lines.append((row.name, row.unit, cell(stock, row), cell(ours, row), ratio(stock, ours, row), row.target))
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for number, line in enumerate(lines):
        cells = [text.ljust(width) if column in (0, 1, 5) else text.rjust(width)
                 for column, (text, width) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("─" * width for width in widths))
    for side, numbers in rounds.items():
        for failure in [one["error"] for one in numbers if "error" in one]:
            print(f"{side}: a round failed: {failure}")


def run_native(program: Path, controller: Path, quick: bool) -> dict[str, dict]:
    results = {}
    print("\nThe controller alone, under a native load program (median, least–greatest of its rounds)")
    for name in dict.fromkeys(row.program for row in NATIVE):
        if quick and name == "burst":
            continue
        program_of, *more = name.split()
        results[name] = run_json(
            [str(program), program_of, *more, "--json", "--controller", f"{controller} controller"], ROUND_LIMIT)
        if "error" in results[name]:
            print(f"  {name}: {results[name]['error']}", flush=True)
        for row in (row for row in NATIVE if row.program == name and row.key in results[name]):
            numbers = results[name]
            values = tuple(numbers.get(f"{row.key}{end}", numbers[row.key]) for end in ("", "_least", "_greatest"))
            aim = f"   aim {row.target}" if row.target else ""
            print(f"  {row.name:<46} {cell(values, row):>24} {row.unit:<3}{aim}", flush=True)
    return results


def run_swift(program: Path, rounds: int, quick: bool) -> dict[str, list[dict]]:
    """Rounds of the Swift client and of a pool of processes, in turn; each part in a fresh cluster."""
    extra = ["--quick"] if quick else []
    results: dict[str, list[dict]] = {"swift": [], "pool": []}
    for number in range(rounds):
        parts = ["call", "roundtrip", "array", "map", "tasks"] + (["stream"] if number == 0 else [])
        numbers: dict = {}
        for part in parts:
            numbers |= run_json([str(program), part, "--engines", "2", *extra], ROUND_LIMIT)
        results["swift"].append(numbers)
        results["pool"].append(run_json([sys.executable, str(HERE / "pool.py"), *extra], ROUND_LIMIT))
    print("\nThe Swift client with two Swift engines, and multiprocessing.Pool(2) (median, least–greatest)")
    for row in SWIFT:
        ours, pool = middle(results["swift"], row.key), middle(results["pool"], row.key)
        aim = f"   aim {row.target}" if row.target else ""
        print(f"  {row.name:<42} {cell(ours, row):>32} {cell(pool, row):>28} {row.unit:<3}{aim}", flush=True)
    for side, numbers in results.items():
        for failure in [one["error"] for one in numbers if "error" in one]:
            print(f"  {side}: {failure}")
    return results


def machine() -> dict[str, object]:
    model = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine())
    return {"processor": model, "cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", add_help=False)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--stock", type=Path, default=Path(sys.executable).parent)
    parser.add_argument("--native", type=Path)
    parser.add_argument("--swift", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["python", "native", "swift"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    size = ["--tasks", "300", "--round-trips", "100"] if arguments.quick else []
    rounds: dict[str, list[dict]] = {"stock": [], "apus": []}
    began = time.monotonic()
    where = machine()
    print(f"Two engines, stock Python client on both sides; {where['processor']}, {where['cores']} cores, Python {where['python']}")
    if arguments.only in (None, "python"):
        count = 1 if arguments.quick else arguments.rounds
        for number in range(count):
            # The side that goes first changes each round, so that neither always finds the machine warmer.
            sides = [("stock", arguments.stock), ("apus", arguments.bin)]
            for side, bin_dir in sides if number % 2 == 0 else sides[::-1]:
                print(f"round {number + 1} of {count}, {side} …", end="\r" if sys.stdout.isatty() else "\n", flush=True)
                rounds[side].append(run_json([sys.executable, str(HERE / "measure.py"), "--bin", str(bin_dir), *size], ROUND_LIMIT))
        print(f"medians of {count} alternating rounds (least–greatest), {time.monotonic() - began:.0f} s\n")
        print_table(rounds)
    native = {}
    if arguments.only in (None, "native") and arguments.native and arguments.native.exists():
        native = run_native(arguments.native, arguments.bin / "apus", arguments.quick)
    swift: dict[str, list[dict]] = {}
    if arguments.only in (None, "swift") and arguments.swift and arguments.swift.exists():
        swift = run_swift(arguments.swift, 1 if arguments.quick else arguments.rounds, arguments.quick)
    if arguments.json:
        summary = {
            row.key: {"unit": row.unit, "target": row.target} | {
                side: dict(zip(("median", "least", "greatest"), middle(numbers, row.key) or ()))
                for side, numbers in rounds.items()
            }
            for row in ROWS
        }
        arguments.json.write_text(json.dumps(
            {"machine": where, "summary": summary, "rounds": rounds, "native": native, "swift": swift}, indent=1) + "\n")
    failed = any("error" in one for numbers in [*rounds.values(), native.values(), *swift.values()] for one in numbers)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
