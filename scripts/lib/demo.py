"""The tutorial of ipyparallel with the client and the cluster of Apus: see scripts/demo."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from temporary_cluster import ClusterFailed, TemporaryCluster, stock_client

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


# The word count. These three are pushed to the engines, where they find one another in the engine's namespace.

def words_of(text):
    """Split at white space, lower case, letters only; what is empty then is no word."""
    words = ("".join(filter(str.isalpha, word.lower())) for word in text.split())
    return [word for word in words if word]


def count_words(text):
    counts = {}
    for word in words_of(text):
        counts[word] = counts.get(word, 0) + 1
    return counts


def merged(parts):
    counts = {}
    for part in parts:
        for word, count in part.items():
            counts[word] = counts.get(word, 0) + count
    return counts


class Tutorial:
    """Runs the steps, shows each with its result, remembers which were wrong."""

    WIDTH = 48

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def step(self, code: str, call, expected) -> object:
        started = time.perf_counter()
        try:
            result = call()
            right = result == expected
        except Exception as error:  # a step that fails is a wrong result, and the steps after it still run
            result, right = f"{type(error).__name__}: {error}", False
        took = time.perf_counter() - started
        mark = paint("✓", "32") if right else paint("✗", "31")
        print(f"  {mark} {code:<{self.WIDTH}} {self._short(result):<26} {paint(self._time(took), '2')}")
        if not right:
            self.wrong.append(code)
            print(f"      expected {expected!r}\n      got      {result!r}")
        return result

    @staticmethod
    def _short(result: object) -> str:
        text = result if isinstance(result, str) else repr(result)
        return text if len(text) <= 26 else text[:12] + " … " + text[-11:]

    @staticmethod
    def _time(seconds: float) -> str:
        return f"{seconds * 1000:7.1f} ms" if seconds < 1 else f"{seconds:7.2f} s"


def ipython_session(client):
    """A real IPython shell in this process, with the magics of a view on all engines in it."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    client.activate()
    return shell


def session_output(shell, *cells: str) -> str:
    from IPython.utils.capture import capture_output

    with capture_output() as captured:
        for cell in cells:
            shell.run_cell(cell).raise_error()
    return captured.stdout


def run_steps(tutorial: Tutorial, client) -> None:
    squares = [x**2 for x in range(10)]
    view = client[:]
    balanced = client.load_balanced_view()

    tutorial.step("rc.ids", lambda: client.ids, [0, 1])
    tutorial.step("rc[:].map_sync(lambda x: x**2, range(10))", lambda: view.map_sync(lambda x: x**2, range(10)), squares)
    tutorial.step("r = rc[:].map_async(…); r.get()", lambda: view.map_async(lambda x: x**2, range(10)).get(30), squares)
    tutorial.step(
        "rc.load_balanced_view().map_sync(…)", lambda: balanced.map_sync(lambda x: x**2, range(10)), squares)

    shell = ipython_session(client)
    view.scatter("rank", client.ids, flatten=True, block=True)

    def px() -> list[str]:
        said = session_output(shell, "%px print('hello from', rank)")
        # Engines answer in any order; each answer begins with its engine's number.
        return sorted("[" + " ".join(answer.split()) for answer in said.split("[")[1:])

    def autopx() -> list[int]:
        said = session_output(shell, "%autopx", "tenfold = rank * 10", "%autopx")
        if "enabled" not in said or "disabled" not in said:
            raise RuntimeError(f"%autopx said {said!r}")
        return view.pull("tenfold", block=True)

    tutorial.step("%px print('hello from', rank)", px, ["[stdout:0] hello from 0", "[stdout:1] hello from 1"])
    tutorial.step("%autopx; tenfold = rank * 10; rc[:]['tenfold']", autopx, [0, 10])


def run_word_count(tutorial: Tutorial, client, path: Path) -> None:
    text = path.read_text(errors="replace")
    view = client[:]

    started = time.perf_counter()
    serial = count_words(text)
    serial_time = time.perf_counter() - started

    engines = len(client.ids)
    lines = text.splitlines(keepends=True)
    ends = [len(lines) * part // engines for part in range(engines + 1)]
    parts = ["".join(lines[first:last]) for first, last in zip(ends, ends[1:])]
    times = {}

    def parallel() -> dict[str, int]:
        view.push({"words_of": words_of, "count_words": count_words}, block=True)
        start = time.perf_counter()
        view.scatter("part", parts, flatten=True, block=True)
        sent = time.perf_counter()
        view.execute("counts = count_words(part)", block=True)
        counted = time.perf_counter()
        counts = merged(view.pull("counts", block=True))
        times.update(split=sent - start, count=counted - sent, merge=time.perf_counter() - counted)
        return counts

    total = sum(serial.values())
    result: dict[str, int] = {}

    def check() -> str:
        result.update(parallel())
        return f"{sum(result.values()):,} words, {len(result):,} kinds"

    print()
    tutorial.step(f"words of {path.name}", check, f"{total:,} words, {len(serial):,} kinds")
    if result != serial:
        if tutorial.wrong[-1:] != [f"words of {path.name}"]:
            tutorial.wrong.append("the counts of the words")
            print("      the parallel counts differ from the serial ones")
        return
    often = sorted(serial.items(), key=lambda item: (-item[1], item[0]))[:5]
    print(f"    {'the most frequent':<{tutorial.WIDTH}} " + ", ".join(f"{word} {count:,}" for word, count in often))
    print()

    whole = sum(times.values())
    rows = [
        ("serial", serial_time), (f"parallel, {engines} engines", whole), ("  split and send", times["split"]),
        ("  count", times["count"]), ("  fetch and merge", times["merge"]),
    ]
    print(f"    {paint('word count', '1')}{' ' * 15}{'time':>10}  {'against serial':>14}")
    for name, seconds in rows:
        against = f"  {serial_time / seconds:13.2f}×" if not name.startswith("  ") and seconds else ""
        print(f"    {name:<24} {seconds * 1000:7.1f} ms{against}")
    if whole > serial_time:
        print(paint(f"    ({len(text):,} letters are soon counted: most of the time goes by sending them."
                    " Name a larger file to see the engines win.)", "2"))


def measure(client) -> dict[str, float]:
    """Seconds of things that people do, with this client."""
    view, balanced = client[:], client.load_balanced_view()

    def seconds(call) -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    balanced.apply_sync(abs, -1)
    trips = [seconds(lambda: balanced.apply_sync(abs, -1)) for _ in range(50)]
    data = bytes(10_000_000)
    return {
        "one task there and back, median": statistics.median(trips),
        "1,000 tasks, one message each": seconds(lambda: [r.get() for r in [balanced.apply_async(abs, -1) for _ in range(1000)]]),
        "a balanced map of 1,000 items": seconds(lambda: balanced.map_sync(abs, range(1000))),
        "10 MB pushed to both engines": min(seconds(lambda: view.push({"data": data}, block=True)) for _ in range(3)),
    }


def run_comparison(tutorial: Tutorial, cluster: TemporaryCluster, client) -> None:
    """The same work by the stock client, on the same cluster."""
    own = measure(client)
    stock = stock_client()(str(cluster.connection_file))
    try:
        tutorial.step("ipyparallel.Client(): the stock client", lambda: stock[:].map_sync(lambda x: x**2, range(10)), [x**2 for x in range(10)])
        theirs = measure(stock)
    finally:
        stock.close()
    print(f"\n    {paint('on this cluster', '1')}{' ' * 18}{'ipyparallel':>15} {'apus':>12}")
    for name, seconds in own.items():
        print(f"    {name:<33} {theirs[name] * 1000:11.2f} ms {seconds * 1000:9.2f} ms  {theirs[name] / seconds:6.0f}×")


def run_swift_word_count(tutorial, program: str, path: Path) -> None:
    """The same count by a Swift program that brings up its own cluster: its words must be Python's."""
    print()
    print(f"{paint('A Swift program that is its own cluster', '1')}\n")
    began = time.perf_counter()
    result = subprocess.run([program, str(path), "--json"], capture_output=True, text=True, timeout=60)
    if result.returncode != 0:
        tutorial.wrong.append("the Swift word count")
        print(result.stderr.strip())
        return
    found = json.loads(result.stdout)
    serial = count_words(path.read_text(encoding="utf-8", errors="replace"))
    top = [list(pair) for pair in sorted(serial.items(), key=lambda item: (-item[1], item[0]))[:len(found["top"])]]
    if (found["total"], found["distinct"], found["top"]) != (sum(serial.values()), len(serial), top):
        tutorial.wrong.append("the words of the Swift program")
        print("      the Swift program counts other words than Python")
        return
    same = f"WordCount {path.name}"
    print(f"  {paint('✓', '32')} {same:<{tutorial.WIDTH}} {'the same words':<26} {paint(tutorial._time(time.perf_counter() - began), '2')}")
    for name, key in [("serial", "serial_s"), (f"direct, {found['engines']} engines", "direct_s"),
                      (f"balanced, {found['engines']} engines", "balanced_s")]:
        print(f"    {name:<24} {found[key] * 1000:7.1f} ms  {found['serial_s'] / found[key]:13.2f}×")


def main() -> int:
    bin_dir, path = Path(sys.argv[1]), Path(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.perf_counter()
    if len(sys.argv) > 3:
        sys.path.insert(0, sys.argv[3])
    import apus as ipp

    print(f"\n{paint('import apus as ipp: Apus ' + ipp.__version__ + ' on a cluster of two engines', '1')}\n")
    tutorial = Tutorial()
    try:
        with TemporaryCluster(bin_dir, n=2, command=("apus", "start"), client_class=ipp.Client) as cluster:
            client = cluster.client()
            ready = time.perf_counter() - cluster.started
            started = "apus start -n 2"
            print(f"  {paint('✓', '32')} {started:<{tutorial.WIDTH}} {'2 engines ready':<26} {paint(tutorial._time(ready), '2')}")
            run_steps(tutorial, client)
            run_word_count(tutorial, client, path)
            print()
            run_comparison(tutorial, cluster, client)
    except ClusterFailed as error:
        print(f"{paint('error:', '31')} {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; everything that was started is stopped", file=sys.stderr)
        return 130
    if os.environ.get("APUS_WORD_COUNT"):
        run_swift_word_count(tutorial, os.environ["APUS_WORD_COUNT"], path)
    if cluster.left_over:
        outlived = ", ".join(f"{process.pid} {process.role}" for process in cluster.left_over)
        print(f"\n    These outlived the cluster and were ended: {outlived}.")
    print()
    if tutorial.wrong:
        print(paint(f"{len(tutorial.wrong)} wrong: " + "; ".join(tutorial.wrong), "31"))
        return 1
    print(f"{paint('Every result was right', '32')}, and everything is stopped. {time.perf_counter() - began:.1f} s in all.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
