"""A pytest plugin: writes one JSON line as each case is collected (with the seconds that it may take by its own mark), begins and ends, to the file APUS_OUTCOMES.

A report written at the end is lost when the interpreter dies or must be killed, and that is when it is needed most.
"""

import json
import os

import pytest

_ended: dict[str, dict] = {}


def _write(**line: object) -> None:
    with open(os.environ["APUS_OUTCOMES"], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def pytest_collection_finish(session: pytest.Session) -> None:
    for item in session.items:
        marker = item.get_closest_marker("timeout")
        own = marker.args[0] if marker and marker.args else marker.kwargs.get("timeout") if marker else None
        _write(event="collected", case=item.nodeid, limit=own)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _write(event="ended", case=report.nodeid or "collection", outcome="failed", seconds=0, text=report.longreprtext)


def pytest_runtest_logstart(nodeid: str) -> None:
    _ended[nodeid] = {"outcome": "passed", "seconds": 0.0, "text": ""}
    _write(event="began", case=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    result = _ended[report.nodeid]
    result["seconds"] += report.duration
    if report.failed:
        result["outcome"] = "failed"
        result["text"] += f"[{report.when}] {report.longreprtext}\n"
    elif report.skipped and result["outcome"] == "passed":
        result["outcome"] = "skipped"
        result["text"] = report.wasxfail if hasattr(report, "wasxfail") else str(report.longrepr[-1])


def pytest_runtest_logfinish(nodeid: str) -> None:
    _write(event="ended", case=nodeid, **_ended[nodeid])
