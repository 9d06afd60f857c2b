"""The rows of the tables: what each number is called, and which way is better."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from harness.rounds import Measured


@dataclass(frozen=True)
class Row:
    key: str
    name: str
    unit: str
    more_is_better: bool = False
    #: What Apus aims at: said beside its numbers, never tested.
    aim: str = ""


def share(key: str, what: str, aim: str = "") -> Row:
    return Row(key, what, "% of ideal", True, aim)


def transfers(megabytes: int) -> list[Row]:
    names = {
        "push": "push to both workers", "scatter": "scatter over both", "pull": "pull from one", "gather": "gather from both"}
    aims = {("push", 100): "≤ 120 ms"}
    return [
        Row(f"{name}_{megabytes}mb_2_ms", f"{megabytes} MB: {text}", "ms", aim=aims.get((name, megabytes), ""))
        for name, text in names.items()
    ]


#: Heading to rows, in the order of the page.
GROUPS: dict[str, list[Row]] = {
    "Small tasks": [
        Row("tasks_per_s", "no-op tasks, one message each", "/s", True, "≥ 25 000"),
        Row("map_items_per_s", "small items, left to the map", "/s", True, "≥ 1 000 000"),
        Row("divided_map_items_per_s", "small items, divided among the workers", "/s", True),
        Row("round_trip_ms", "round trip of one task, median", "ms", aim="≤ 0.3 ms"),
        Row("round_trip_p99_ms", "round trip of one task, 99th of 100", "ms"),
        Row("direct_round_trip_ms", "round trip to a named worker, median", "ms"),
    ],
    "Tasks that take their time": [
        share("map_1ms_2_percent", "1 ms, left to the map, 2 workers"),
        share("map_10ms_2_percent", "10 ms, left to the map, 2 workers", "≥ 97 %"),
        share("map_100ms_2_percent", "100 ms, left to the map, 2 workers"),
        share("each_10ms_2_percent", "10 ms, one message each, 2 workers"),
        share("map_1ms_8_percent", "1 ms, left to the map, 8 workers"),
        share("map_10ms_8_percent", "10 ms, left to the map, 8 workers"),
        share("map_100ms_8_percent", "100 ms, left to the map, 8 workers"),
        share("each_10ms_8_percent", "10 ms, one message each, 8 workers"),
    ],
    "Data": [
        *transfers(1), *transfers(100),
        Row("push_100mb_2_first_ms", "100 MB: push, the first of a cluster", "ms"),
        Row("push_bytes_100mb_2_ms", "100 MB of `bytes`: push to both", "ms"),
        Row("push_100mb_8_ms", "100 MB: push to eight workers", "ms", aim="≤ 200 ms"),
    ],
    "Start, stop, memory": [
        Row("start_first_result_s", "start to first result, 2 workers", "s", aim="≤ 0.4 s"),
        Row("start_8_first_result_s", "start to first result, 8 workers", "s"),
        Row("stop_s", "stop", "s"),
        Row("idle_processes", "processes beside the program", ""),
        Row("idle_pss_mb", "memory beside the program, idle (PSS)", "MB"),
        Row("after_pss_mb", "memory beside the program, after the tasks below (PSS)", "MB"),
        Row("idle_client_pss_mb", "memory of the program, idle (PSS)", "MB"),
        Row("after_client_pss_mb", "memory of the program, after the tasks below (PSS)", "MB"),
        Row("after_tasks", "tasks between the two looks", "", True),
    ],
    "Processor time of a no-op task": [
        Row("cpu_client_us", "processor time in the program", "µs"),
        Row("cpu_controller_us", "processor time in the controller", "µs"),
        Row("cpu_engine_us", "processor time in the engines", "µs"),
        Row("cpu_other_us", "processor time in all other processes", "µs"),
    ],
}

ROWS = {row.key: row for rows in GROUPS.values() for row in rows}

#: What a person wants to see first.
CHIEF = [
    "tasks_per_s", "map_items_per_s", "round_trip_ms", "map_10ms_2_percent", "push_100mb_2_ms", "start_first_result_s",
    "idle_processes", "idle_pss_mb",
]


def middle(rounds: list[dict], key: str) -> tuple[float, float, float] | None:
    """Median, least and greatest over the rounds that have it."""
    values = [numbers[key] for numbers in rounds if key in numbers]
    return (statistics.median(values), min(values), max(values)) if values else None


def times_better(row: Row, ours: Measured, theirs: Measured) -> float | None:
    """How many times better our median is; below 1 it is worse."""
    mine, other = middle(ours.rounds, row.key), middle(theirs.rounds, row.key)
    if mine is None or other is None or not mine[0] or not other[0]:
        return None
    return mine[0] / other[0] if row.more_is_better else other[0] / mine[0]
