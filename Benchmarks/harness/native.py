"""The parts of `scripts/bench` without Python peers: the controller alone, and the Swift client with Swift engines."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from harness.rounds import run_json
from harness.rows import middle

HERE = Path(__file__).resolve().parents[1]
ROUND_LIMIT = 300.0


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


def cell(values: tuple[float, float, float] | None, row: NativeRow | SwiftRow) -> str:
    if values is None:
        return "-"
    median, least, greatest = (f"{value:,.{row.digits}f}".replace(",", " ") for value in values)
    spread = f" ({least}–{greatest})" if least != greatest else ""
    return f"{median}{spread}"


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
