"""Runs ipyparallel's own test suite against other executables: see scripts/conformance."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

import processes
from outcomes import SHIM, Outcome, Outcomes, run_pytest
from temporary_cluster import environment

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = ROOT / "Tests" / "conformance" / "expected-failures.txt"
MODULES = [
    "test_view", "test_view_broadcast", "test_lbview", "test_client", "test_asyncresult", "test_magics", "test_dependency",
    "test_executor", "test_joblib", "test_remotefunction", "test_label", "test_cluster", "test_apps",
]
#: The modules that are about the client; with ``--client apus``, what they import is ours.
CLIENT_MODULES = [name for name in MODULES if name != "test_apps"] + ["test_serialize", "test_canning"]
CASE_LIMIT = 180.0
MODULE_LIMIT = 900.0


def expected_failures(mode: str) -> dict[str, str]:
    """Case to reason, for one mode. A line reads ``MODE CASE REASON…``; the mode ``any`` counts for all."""
    expected = {}
    for line in EXPECTED.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            where, case, reason = line.split(maxsplit=2)
            if where in (mode, "any"):
                expected[case] = reason
    return expected


def shim_environment(bin_dir: Path, controller: str, engines: str) -> dict[str, str]:
    """Which executables take the place of stock's. ``ipcluster`` is ours when both of its children are."""
    shims = {"PYTHONPATH": str(SHIM)}
    if controller == "apus":
        shims["APUS_IPCONTROLLER"] = str(bin_dir / "ipcontroller")
    if engines == "apus":
        shims["APUS_IPENGINE"] = str(bin_dir / "ipengine")
    if controller == engines == "apus":
        shims["APUS_IPCLUSTER"] = str(bin_dir / "ipcluster")
    return shims


def alias_environment(bin_dir: Path, engines: str) -> dict[str, str]:
    """For ``--client apus``: the plugin that puts our package in the place of stock's, and where our package finds its program."""
    package = bin_dir.parent / "lib" / "apus" / "python"
    found = {
        "PYTHONPATH": os.pathsep.join([str(SHIM), str(package)]),
        "APUS_BIN": str(bin_dir / "apus"),
        "APUS_ALIAS_ENGINES": engines,
    }
    if "APUS_CORE" not in os.environ and not (package / "apus" / "_core.abi3.so").exists():
        # An installation that has only commands; the checkout's own core is of the same version.
        built = [ROOT / ".build" / kind / "lib_core.so" for kind in ("release", "debug")]
        found |= {"APUS_CORE": str(path) for path in built[:1] if path.exists()} or {"APUS_CORE": str(built[1])}
    return found


def run_module(module: str, shims: dict[str, str], choice: str | None, logs: Path, show, plugins: list[str]) -> tuple[Outcomes, list, Counter]:
    """The outcomes, the processes that were left over, and how many of each role were replaced by ours."""
    root = Path(importlib.util.find_spec("ipyparallel").origin).parents[1]
    mark = uuid.uuid4().hex
    work = Path(tempfile.mkdtemp(prefix="apus-conformance-"))
    replaced = work / "replaced"
    replaced.touch()
    shims = shims | {"APUS_REPLACED": str(replaced)}
    arguments = [str(root / "ipyparallel" / "tests" / f"{module}.py"), *(["-k", choice] if choice else [])]
    try:
        outcomes = run_pytest(
            arguments, env=environment(work / "ipython", mark, MPLBACKEND="agg", **shims), cwd=work, root=root,
            log=logs / f"{module}.log", case_limit=CASE_LIMIT, run_limit=MODULE_LIMIT, progress=show, plugins=plugins)
    finally:
        left = processes.end(mark)
        roles = Counter(replaced.read_text().split())
        shutil.rmtree(work, ignore_errors=True)
    short = Outcomes(seconds=outcomes.seconds)
    for case in outcomes.cases.values():
        case.case = case.case.removeprefix("ipyparallel/tests/").replace(".py", "", 1)
        short.cases[case.case] = case
    return short, left, roles


def mode_name(arguments, controller: str, engines: str) -> str:
    return f"client-{engines}" if arguments.client == "apus" else f"{controller}-{engines}"


def run_mode(arguments, controller: str, engines: str, logs: Path) -> tuple[dict[str, Outcomes], dict[str, str]]:
    """All chosen modules with one combination of executables, one after another."""
    own_client = arguments.client == "apus"
    who = f"{'apus client, ' if own_client else ''}{controller} controller, {engines} engines"
    print(f"ipyparallel 9.2.0's own suite, {who}{', not encrypted' if arguments.no_curve else ''}", flush=True)
    shims = shim_environment(arguments.bin, controller, engines)
    plugins = []
    if own_client:
        shims |= alias_environment(arguments.bin, engines)
        plugins = ["apus_alias"]
    if arguments.no_curve:
        shims["IPP_ENABLE_CURVE"] = "0"
    expected = expected_failures(mode_name(arguments, controller, engines))
    logs.mkdir(parents=True, exist_ok=True)
    results: dict[str, Outcomes] = {}
    replaced: Counter[str] = Counter()
    live = sys.stdout.isatty()
    for module in arguments.modules or (CLIENT_MODULES if own_client else MODULES):

        def show(ended: int, failed: int, collected: int) -> None:
            if live:
                print(f"\r  {module:<22} {ended}/{collected}, {failed} failed \033[K", end="", flush=True)

        outcomes, left, roles = run_module(module, shims, arguments.k, logs, show, plugins)
        results[module] = outcomes
        replaced += roles
        line = f"  {module:<22} {outcomes.summary:<38} {outcomes.seconds:6.1f} s"
        if left:
            line += f"   ended {len(left)} left over: " + ", ".join(sorted({process.role for process in left}))
        print(("\r\033[K" if live else "") + line, flush=True)
        for case in outcomes.failed:
            why = (case.text.strip().splitlines() or ["no text"])[-1][:150]
            known = f"   (expected: {expected[case.case]})" if case.case in expected else ""
            print(f"    failed: {case.case}{known}\n            {why}", flush=True)
    # Our launchers start our programs by themselves.
    if any(name.startswith("APUS_IP") for name in shims) and not own_client:
        ran = ", ".join(f"{count} × ip{role}" for role, count in sorted(replaced.items())) or "none"
        print(f"  of ours ran: {ran}", flush=True)
        for role in ("controller", "engine") if not arguments.k else ():
            if f"APUS_IP{role.upper()}" in shims and not replaced[role]:
                results["shim"] = Outcomes({role: Outcome(role, "failed", text=f"no ip{role} of ours was started")})
    return results, expected


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/conformance", add_help=False)
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--engines", choices=["stock", "apus", "both"], default="both")
    parser.add_argument("--controller", choices=["stock", "apus"], default="apus")
    parser.add_argument("--client", choices=["stock", "apus"], default="stock")
    parser.add_argument("-k")
    parser.add_argument("--no-curve", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--logs", type=Path)
    arguments = parser.parse_args()
    arguments.modules = [name.removesuffix(".py") for name in arguments.modules]
    arguments.modules = [name if name.startswith("test_") else f"test_{name}" for name in arguments.modules]
    for name in arguments.modules:
        if name not in [*MODULES, *CLIENT_MODULES]:
            parser.error(f"there is no module {name}; the modules are {' '.join(dict.fromkeys([*MODULES, *CLIENT_MODULES]))}")
    if arguments.client == "apus" and arguments.controller != "apus":
        parser.error("--client apus runs with our controller")
    return arguments


def report(path: Path, runs: dict[str, dict[str, Outcomes]]) -> None:
    document = {
        mode: {
            module: {
                "passed": outcomes.count("passed"), "failed": outcomes.count("failed"),
                "skipped": outcomes.count("skipped"), "seconds": round(outcomes.seconds, 2),
                "cases": {
                    case.case: {"outcome": case.outcome, "seconds": round(case.seconds, 3), "text": case.text}
                    for case in outcomes.cases.values()
                },
            }
            for module, outcomes in modules.items()
        }
        for mode, modules in runs.items()
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse()
    engines = ["stock", "apus"] if arguments.engines == "both" else [arguments.engines]
    logs = arguments.logs or Path(tempfile.mkdtemp(prefix="apus-conformance-logs-"))
    began = time.monotonic()
    runs: dict[str, dict[str, Outcomes]] = {}
    surprises: list[str] = []
    unmet: list[str] = []
    total = Outcomes()
    for engine in engines:
        mode = mode_name(arguments, arguments.controller, engine)
        results, expected = run_mode(arguments, arguments.controller, engine, logs / mode)
        runs[mode] = results
        whole = Outcomes()
        for outcomes in results.values():
            whole.add(outcomes)
        print(f"  {'in all':<22} {whole.summary:<38} {whole.seconds:6.1f} s\n", flush=True)
        total.add(whole, prefix=f"{mode} ")
        surprises += [f"{mode} {case.case}" for case in whole.failed if case.case not in expected]
        unmet += [f"{mode} {case}" for case in expected if case in whole.cases and whole.cases[case].outcome == "passed"]
        if not whole.cases:
            surprises.append(f"{mode}: no case was collected")
    if arguments.json:
        report(arguments.json, runs)
    for case in unmet:
        print(f"passes now, and can leave {EXPECTED.relative_to(ROOT)}: {case}")
    if surprises:
        print(f"The logs are in {logs}.")
    elif not arguments.logs:
        shutil.rmtree(logs, ignore_errors=True)
    if len(engines) > 1:
        print(f"{time.monotonic() - began:.0f} s for both.")
    print(total.summary)
    return 1 if surprises else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
