"""Readers that stop, and a disk that does, for a minute each, while others work: what it costs in memory, and whether anything is lost.

``python Benchmarks/stopped_readers.py --bin PREFIX/bin [--seconds 60] [--only results,output,notifications,disk]``

- results: a client sends tasks of 64 KiB each way and is stopped (SIGSTOP); it goes on afterwards and must get every one of them.
- output: a client that listens to everything is stopped while engines print some 800 MB.
- notifications: a client is stopped while engines come and go.
- disk: everything the cluster writes is on a file system of its own, which is frozen (fsfreeze; for root), with ``--sqlitedb``.

Meanwhile another client works; the slowest of its rounds is told. Prints a line of JSON for each. Nothing is tested: it measures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts" / "lib"))
from temporary_cluster import TemporaryCluster  # noqa: E402

CLIENT = """
import sys, time, ipyparallel as ipp
client = ipp.Client(sys.argv[1]); client.wait_for_engines(2, timeout=30)
view = client.load_balanced_view()
payload = bytes(65536)
def echo(data): return data
results = []
print('ready', flush=True)
for line in sys.stdin:
    word = line.strip()
    if word == 'send': results += [view.apply_async(echo, payload) for _ in range(int(sys.argv[2]))]
    if word == 'count': print(sum(len(r.get(120)) == 65536 for r in results), flush=True)
    if word == 'end': break
"""


def pss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0


def said(cluster: TemporaryCluster, words: str) -> list[str]:
    """Lines with these words, of the command's output and of the logs."""
    texts = [cluster.output(4000)] + [log.read_text(errors="replace") for log in cluster.ipython_dir.rglob("log/*.log")]
    return [line.split("] ", 1)[-1] for text in texts for line in text.splitlines() if words in line][:3]


def measure(kind: str, bin_dir: str, seconds: float) -> dict:
    with TemporaryCluster(bin_dir, n=2) as cluster:
        worker = cluster.client()
        tasks = 12_000
        other = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(cluster.connection_file), str(tasks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=cluster.env)
        assert other.stdout.readline() == "ready\n"
        watched = {process.role + str(process.pid): process.pid for process in cluster.processes() if process.role in ("controller", "engine")}
        before = {name: pss(pid) for name, pid in watched.items()}
        most = dict(before)
        if kind == "results":
            other.stdin.write("send\n")
            other.stdin.flush()
            # Sent, for the most part, before it is stopped: it holds what the sockets do not take.
            time.sleep(2)
        other.send_signal(signal.SIGSTOP)
        # Not on engines that come and go.
        view = worker.load_balanced_view(targets=[0, 1])
        extra, slowest, rounds, started = [], 0.0, 0, time.monotonic()
        printing = None
        if kind == "output":
            printing = worker[:].execute("for _ in range(100): print('x' * 4_000_000)", silent=False)
        while time.monotonic() - started < seconds:
            began = time.monotonic()
            assert view.map_sync(lambda x: x + 1, range(4)) == [1, 2, 3, 4]
            slowest, rounds = max(slowest, time.monotonic() - began), rounds + 1
            if kind == "notifications":
                engine = subprocess.Popen(
                    [str(Path(bin_dir) / "ipengine")], env=cluster.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL)
                extra.append(engine)
                time.sleep(0.3)
                engine.send_signal(signal.SIGTERM)
                engine.wait()
            else:
                time.sleep(0.1)
            for name, pid in watched.items():
                most[name] = max(most[name], pss(pid))
        if printing is not None:
            printing.get(60)
        other.send_signal(signal.SIGCONT)
        summary = {
            "kind": kind, "seconds": seconds, "rounds_of_others": rounds, "slowest_of_others_s": round(slowest, 3),
            "engines_that_came_and_went": len(extra),
            **{f"{name.rstrip('0123456789')}_mb_more": 0 for name in watched},
        }
        for name in watched:
            key = f"{name.rstrip('0123456789')}_mb_more"
            summary[key] = max(summary[key], round(most[name] - before[name], 1))
        if kind == "results":
            other.stdin.write("count\n")
            other.stdin.flush()
            summary["results_of_stopped_client"] = f"{other.stdout.readline().strip()} of {tasks}"
        summary["said"] = said(cluster, "does not read")
        other.kill()
        return summary


@contextlib.contextmanager
def small_disk(megabytes: int = 512):
    """A file system in a file, mounted: gives its folder."""
    image = tempfile.NamedTemporaryFile(suffix=".img")
    folder = tempfile.mkdtemp(prefix="apus-disk-")
    image.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image.name], check=True)
    subprocess.run(["mount", "-o", "loop", image.name, folder], check=True)
    try:
        yield Path(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=False)
        os.rmdir(folder)
        image.close()


@contextlib.contextmanager
def frozen(folder: Path, seconds: float):
    """Nothing can be written there; in any case not for much longer than so many seconds."""
    rescue = subprocess.Popen(["sh", "-c", f"sleep {seconds + 60}; fsfreeze -u {folder}"])
    subprocess.run(["fsfreeze", "-f", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", str(folder)], check=False)
        rescue.kill()
        rescue.wait()


def measure_disk(bin_dir: str, seconds: float) -> dict:
    """Tasks, direct requests and registrations go on; the tasks are in the database afterwards."""
    with small_disk() as folder, tempfile.TemporaryDirectory() as elsewhere:
        tempfile.tempdir = str(folder)
        try:
            cluster = TemporaryCluster(bin_dir, n=2, arguments=["--", "--sqlitedb"]).start()
        finally:
            tempfile.tempdir = None
        try:
            client = cluster.client()
            client.wait_for_engines(2, timeout=30)
            controller = next(process.pid for process in cluster.processes() if process.role == "controller")
            before = most = pss(controller)
            view = client.load_balanced_view(targets=[0, 1])
            slowest, rounds, joined, ids = 0.0, 0, 0, []
            with frozen(folder, seconds):
                started = time.monotonic()
                while time.monotonic() - started < seconds:
                    began = time.monotonic()
                    result = view.map_async(lambda x: bytes(100_000) if x else 0, range(20))
                    assert [bool(part) for part in result.get(30)] == [x > 0 for x in range(20)]
                    ids += result.msg_ids
                    assert client[0].apply_sync(len, "abc") == 3
                    slowest, rounds = max(slowest, time.monotonic() - began), rounds + 1
                    if rounds % 50 == 1:
                        engine = subprocess.Popen(
                            [str(Path(bin_dir) / "ipengine"), f"--file={cluster.connection_file.parent / 'ipcontroller-engine.json'}"],
                            env=cluster.env | {"IPYTHONDIR": elsewhere}, cwd=elsewhere, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
                        client.wait_for_engines(3, timeout=20)
                        joined += 1
                        engine.terminate()
                        engine.wait()
                        while len(client.ids) > 2:
                            time.sleep(0.01)
                    most = max(most, pss(controller))
            began = time.monotonic()
            kept = len(client.db_query({"msg_id": {"$in": ids}}, keys=["msg_id", "completed"]))
            return {
                "kind": "disk", "seconds": seconds, "rounds": rounds, "slowest_round_s": round(slowest, 3), "engines_joined": joined,
                "controller_mb_more": round(most - before, 1), "tasks": len(ids), "recorded": kept,
                "first_answer_after_it_went_on_s": round(time.monotonic() - began, 3),
                "said": said(cluster, "task database"),
            }
        finally:
            cluster.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", default="results,output,notifications")
    arguments = parser.parse_args()
    for kind in arguments.only.split(","):
        result = measure_disk(arguments.bin, arguments.seconds) if kind == "disk" else measure(kind, arguments.bin, arguments.seconds)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
