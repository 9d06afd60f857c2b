"""Clusters that grow and shrink, and a crowd of engines that comes in jobs: how long it takes, and whether anything is lost.

``python Benchmarks/scaling.py --bin PREFIX/bin [--only burst,deaths,crowd] [--load-program apus-bench]``

- burst: 400 tasks of half a second each on 8 engines that stand, and on ``--min=1 --max=8``; then how long it takes until one is left.
- deaths: 20 rounds of tasks with retries on a cluster that grows and shrinks, while engines are killed.
- crowd: 1 000 engines, played natively by ``apus-bench echo-engine``, as 20 jobs of 50 of a batch system that is played.

Prints a line of JSON for each. Nothing is tested: it measures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts" / "lib"), str(ROOT / "Tests")]

from temporary_cluster import TemporaryCluster  # noqa: E402


def pids(cluster: TemporaryCluster) -> list[int]:
    return [process.pid for process in cluster.processes() if process.role == "engine"]


def wait_for(what, seconds: float) -> float:
    began = time.perf_counter()
    while not what():
        if time.perf_counter() - began > seconds:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.02)
    return time.perf_counter() - began


def own_client(bin_dir: Path):
    sys.path.insert(0, str(bin_dir.parent / "lib/apus/python"))
    import apus

    return apus.Client


def time_tasks(client, count: int, seconds: float) -> float:
    began = time.perf_counter()
    client.load_balanced_view().map_async(time.sleep, [seconds] * count, chunksize=1).get(600)
    return time.perf_counter() - began


def burst(bin_dir: Path, count: int = 400, seconds: float = 0.5) -> dict:
    client_class = own_client(bin_dir)
    with TemporaryCluster(bin_dir, n=8, command=("apus", "start"), client_class=client_class) as cluster:
        client = cluster.client()
        standing = time_tasks(client, count, seconds)
    options = ["--min=1", "--max=8", "--idle=5"]
    with TemporaryCluster(bin_dir, n=1, command=("apus", "start"), arguments=options, client_class=client_class) as cluster:
        client = cluster.client()
        adaptive = time_tasks(client, count, seconds)
        most = len(client.ids)
        back = wait_for(lambda: len(client.ids) == 1, 60)
        decisions = [reason for _, reason in client.scaling().decisions]
    return {
        "standing_seconds": round(standing, 2), "adaptive_seconds": round(adaptive, 2), "ratio": round(adaptive / standing, 3),
        "engines_at_the_end": most, "seconds_until_one_is_left": round(back, 2), "decisions": decisions}


def deaths(bin_dir: Path, rounds: int = 20, tasks: int = 120) -> dict:
    options = ["--min=1", "--max=6", "--idle=1", "--restart=on-failure", "--Cluster.restart_limit=1000"]
    killed = wrong = 0
    with TemporaryCluster(bin_dir, n=1, command=("apus", "start"), arguments=options, client_class=own_client(bin_dir)) as cluster:
        client = cluster.client()
        view = client.load_balanced_view()
        view.retries = 50
        work = eval("lambda number: (__import__('time').sleep(0.05), number * number)[1]", {"__name__": "__main__"})
        for _ in range(rounds):
            results = view.map_async(work, range(tasks), chunksize=1)
            while not results.ready():
                living = pids(cluster)
                if len(living) > 1:
                    os.kill(random.choice(living), signal.SIGKILL)
                    killed += 1
                time.sleep(0.4)
            wrong += results.get(60) != [number * number for number in range(tasks)]
    return {"rounds": rounds, "tasks": rounds * tasks, "engines_killed": killed, "rounds_with_losses": wrong}


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def crowd(bin_dir: Path, load_program: str, engines: int = 1000, per_job: int = 50) -> dict:
    from systems.played import PlayedSystem

    with tempfile.TemporaryDirectory() as folder:
        system = PlayedSystem(Path(folder), "slurm").start()
        profile = Path(folder) / "profile"
        (profile / "security").mkdir(parents=True)
        template = (
            "#!/bin/sh\n#SBATCH --ntasks={n}\n#SBATCH --output={output_file}\n"
            f"tail -f /dev/null | exec {load_program} echo-engine --engine-file {profile}/security/ipcontroller-engine.json --count {{n}}\n")
        (profile / "ipcluster_config.json").write_text(json.dumps({"SlurmEngineSetLauncher": {"batch_template": template}}))
        environment = {**os.environ, **system.variables}
        log = Path(folder) / "log"
        with log.open("wb") as file:
            began = time.perf_counter()
            launcher = subprocess.Popen(
                [str(bin_dir / "apus"), "start", f"-n{engines}", f"--per-job={per_job}", "--engines=slurm", f"--profile-dir={profile}"],
                env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            state = profile / "security/cluster-.json"
            wait_for(state.exists, 20)
            controller = json.loads(state.read_text())["controller"]["state"]["pid"]
            wait_for(lambda: f"{engines} engines ready" in log.read_text() or launcher.poll() is not None, 120)
            ready = time.perf_counter() - began
            used, memory = processor_seconds(controller), pss(controller)
            # All must stay.
            time.sleep(8)
            status = json.loads(
                subprocess.run([str(bin_dir / "apus"), "status", "--json", f"--profile-dir={profile}"], capture_output=True, text=True,
                               env=environment, check=True).stdout)
            idle = (processor_seconds(controller) - used) / 8
            result = {
                "engines": len(status["engines"]), "jobs": len(system.jobs()), "ready_seconds": round(ready, 2),
                "controller_cpu_seconds": round(used, 2), "controller_cpu_idle_share": round(idle, 3), "controller_pss_mb": round(memory, 1)}
        finally:
            began = time.perf_counter()
            launcher.send_signal(signal.SIGINT)
            launcher.wait(90)
            system.stop()
        return result | {"stop_seconds": round(time.perf_counter() - began, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=Path)
    parser.add_argument("--only", default="burst,deaths,crowd")
    parser.add_argument("--load-program", default=str(ROOT / ".build/benchmarks/release/apus-bench"))
    options = parser.parse_args()
    for name in options.only.split(","):
        result = crowd(options.bin, options.load_program) if name == "crowd" else {"burst": burst, "deaths": deaths}[name](options.bin)
        print(json.dumps({"measurement": name} | result), flush=True)


if __name__ == "__main__":
    main()
