"""How long clusters take to start and to stop, where engines are on other hosts or are jobs: Apus's, and ipyparallel's on the same systems.

``python Benchmarks/launching.py --bin PREFIX/bin [--only ssh,slurm,crowd] [--stock] [--rounds 3] [--load-program apus-bench]``

- ssh: two hosts with two engines each, from the command to the last registration, and the stop.
- slurm: a job of four engines on a Slurm of its own, beside the time that Slurm takes until four processes of a job run. Slurm lets a job wait for up to a
  second, as its clock happens to stand: each measurement begins at a random moment, and ``beyond_slurm_seconds`` is the difference between both without
  what each job waited.
- crowd: 1 000 engines, played natively by ``apus-bench echo-engine``, as 20 jobs of 50 on that Slurm.

``--stock`` measures ipyparallel's launchers in their place (not the crowd, which it has no launcher for). Prints a line of JSON for each. Nothing is
tested: it measures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts" / "lib"), str(ROOT / "Tests")]

from systems.slurm import Slurm  # noqa: E402
from systems.ssh import SSHHosts  # noqa: E402

_STOCK = """\
import json, sys, time
import ipyparallel as ipp
from traitlets.config import Config
kind, profile, n, python = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.executable
config = Config()
config.SSHLauncher.remote_python = python
config.SSHEngineSetLauncher.engines = {"host1": 2, "host2": 2}
began = time.perf_counter()
cluster = ipp.Cluster(engines=kind, n=n, profile_dir=profile, controller_ip="127.0.0.1", config=config, send_engines_connection_env=kind != "ssh")
client = cluster.start_and_connect_sync()
client.wait_for_engines(n, timeout=300)
started = time.perf_counter() - began
client.close()
began = time.perf_counter()
cluster.stop_cluster_sync()
print(json.dumps({"start": started, "stop": time.perf_counter() - began}))
"""


def timed(words: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.returncode}\n{done.stderr}")
    return time.perf_counter() - began


def own(bin_dir: Path, profile: Path, words: list[str], environment: dict[str, str], when_ready=lambda: None) -> dict:
    place = f"--profile-dir={profile}"
    start = timed([str(bin_dir / "apus"), "start", "-n4", "--daemonize", place, *words], environment)
    when_ready()
    return {"start": start, "stop": timed([str(bin_dir / "apus"), "stop", place], environment)}


def stock(kind: str, profile: Path, environment: dict[str, str]) -> dict:
    done = subprocess.run([sys.executable, "-c", _STOCK, kind, str(profile), "4"], env=environment, cwd=profile.parent, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def rounds(count: int, once) -> dict:
    found = [once(number) for number in range(count)]
    return {f"{name}_seconds": round(statistics.median(each[name] for each in found), 2) for name in found[0]}


def surroundings(system) -> dict[str, str]:
    variables = {**os.environ, **system.variables, "APUS_PYTHON": sys.executable}
    # This interpreter stays the first on PATH.
    variables["PATH"] = f"{system.variables.get('PATH', '').split(':')[0]}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return variables


def ssh(options) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        system = SSHHosts(Path(folder), 2).start()
        try:
            hosts = Path(folder) / "hosts"
            hosts.write_text("".join(f"{host} 2\n" for host in system.hosts))
            environment = surroundings(system)

            def once(number: int) -> dict:
                profile = Path(folder) / f"profile{number}"
                if options.stock:
                    return stock("ssh", profile, environment)
                words = ["--engines=ssh", f"--hosts={hosts}", f"--SSHLauncher.remote_python={sys.executable}"]
                return own(options.bin, profile, words, environment)

            return rounds(options.rounds, once)
        finally:
            system.stop()


def bare_job(system: Slurm, folder: Path) -> tuple[float, float]:
    """From the submission to the first words of four processes of a job; and how long the job waited."""
    script, output = folder / "bare.sbatch", folder / "bare.out"
    output.unlink(missing_ok=True)
    script.write_text(f"#!/bin/sh\n#SBATCH --ntasks=4\n#SBATCH --output={output}\ndate +%s.%N\nsrun echo here\n")
    time.sleep(random.random())
    began, at = time.perf_counter(), time.time()
    system.run("sbatch", str(script))
    while not output.exists() or output.read_text().count("here") < 4:
        time.sleep(0.005)
    return time.perf_counter() - began, float(output.read_text().split()[0]) - at


def waited(profile: Path) -> float:
    """How long a job of engines waited: from its script, which is written before it is submitted, to its own first words."""
    [script] = (profile / "log").glob("ipengine-*.sbatch")
    [output] = [path for path in (profile / "log").glob("ipengine-*.log") if "submitted" not in path.name]
    return output.stat().st_mtime - script.stat().st_mtime


def slurm(options) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        system = Slurm(Path(folder)).start()
        try:
            environment = surroundings(system)

            def once(number: int) -> dict:
                profile = Path(folder) / f"profile{number}"
                time.sleep(random.random())
                if options.stock:
                    return stock("slurm", profile, environment) | {"bare_job": bare_job(system, Path(folder))[0]}
                queued = []
                found = own(options.bin, profile, ["--engines=slurm"], environment, lambda: queued.append(waited(profile)))
                bare, bare_queued = bare_job(system, Path(folder))
                return found | {"bare_job": bare, "beyond_slurm": found["start"] - queued[0] - (bare - bare_queued)}

            return rounds(options.rounds, once)
        finally:
            system.stop()


def crowd(options, engines: int = 1000, per_job: int = 50) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        system = Slurm(Path(folder), nodes=4, processors=engines // 4).start()
        profile = Path(folder) / "profile"
        (profile / "security").mkdir(parents=True)
        # One program plays the engines of a job: a machine of two cores has no place for a thousand processes.
        template = (
            "#!/bin/sh\n#SBATCH --ntasks={n}\n#SBATCH --output={output_file}\n"
            f"tail -f /dev/null | exec {options.load_program} echo-engine --engine-file {profile}/security/ipcontroller-engine.json --count {{n}}\n")
        (profile / "ipcluster_config.json").write_text(json.dumps({"SlurmEngineSetLauncher": {"batch_template": template}}))
        environment, log = surroundings(system), Path(folder) / "log"
        try:
            with log.open("wb") as file:
                began = time.perf_counter()
                launcher = subprocess.Popen(
                    [str(options.bin / "apus"), "start", f"-n{engines}", f"--per-job={per_job}", "--engines=slurm", f"--profile-dir={profile}"],
                    env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
            while f"{engines} engines ready" not in log.read_text():
                if launcher.poll() is not None or time.perf_counter() - began > 120:
                    raise SystemExit(log.read_text())
                time.sleep(0.02)
            ready = time.perf_counter() - began
            jobs = len(system.jobs())
            began = time.perf_counter()
            launcher.send_signal(signal.SIGINT)
            launcher.wait(150)
            return {"engines": engines, "jobs": jobs, "start_seconds": round(ready, 2), "stop_seconds": round(time.perf_counter() - began, 2)}
        finally:
            if launcher.poll() is None:
                launcher.terminate()
                launcher.wait(60)
            system.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=Path)
    parser.add_argument("--only", default="ssh,slurm,crowd")
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--load-program", default=str(ROOT / ".build/benchmarks/release/apus-bench"))
    options = parser.parse_args()
    for name in options.only.split(","):
        if options.stock and name == "crowd":
            continue
        result = {"ssh": ssh, "slurm": slurm, "crowd": crowd}[name](options)
        print(json.dumps({"measurement": name, "of": "ipyparallel" if options.stock else "apus"} | result), flush=True)


if __name__ == "__main__":
    main()
