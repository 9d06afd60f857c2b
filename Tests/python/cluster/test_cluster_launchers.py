"""Kinds of launchers and their configuration; mpiexec and the batch systems' commands are stand-ins that the cases write."""

import asyncio
import json
import os
import stat
import sys

import pytest
from traitlets.config import Config


@pytest.fixture
def command(tmp_path, monkeypatch):
    """``command("qsub", "echo 1")`` puts a program of that name on PATH, a shell script that also notes how it was called."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")

    def command(name: str, script: str):
        path = directory / name
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {directory}/{name}.calls\n{script}\n')
        path.chmod(0o755)
        return lambda: (directory / f"{name}.calls").read_text().splitlines() if (directory / f"{name}.calls").exists() else []

    return command


@pytest.fixture
def in_profile(profile, tmp_path):
    """What launchers are made with when no cluster makes them."""
    return {"profile_dir": str(profile), "cluster_id": "id", "work_dir": str(tmp_path)}


# MARK: configuration

def test_configuration_of_the_profile(profile, make):
    profile.mkdir(parents=True)
    (profile / "ipcluster_config.py").write_text("""
c = get_config()
c.Cluster.n = 3
c.Cluster.engine_launcher_class = "mpi"
c.Cluster.engine_timeout = 7
c.LocalControllerLauncher.controller_args = ["--ping=500"]
""")
    from apus.cluster.launcher import MPIEngineSetLauncher

    config = Config()
    config.Cluster.engine_timeout = 8
    cluster = make(config=config)
    assert cluster.n == 3 and cluster.engine_launcher_class is MPIEngineSetLauncher and cluster.engine_timeout == 8
    assert make(n=1, engines="local").n == 1
    assert make(load_profile=False).n is None
    controller = cluster.controller_launcher_class(parent=cluster)
    assert controller.controller_args == ["--ping=500"]


def test_arguments_of_the_controller(make):
    config = Config()
    config.ControllerLauncher.controller_args = ["--hwm=2"]
    cluster = make(controller_ip="127.0.0.1", controller_location="localhost", controller_args=["--ping=500"], config=config)
    cluster.start_controller_sync()
    cluster.connect_client_sync().close()
    words = open(f"/proc/{cluster.controller.pid}/cmdline").read().split("\0")
    assert words[-5:-1] == ["--hwm=2", "--ip=127.0.0.1", "--location=localhost", "--ping=500"]


def test_the_environment_of_the_engines(make):
    config = Config()
    config.EngineLauncher.environment = {"OMP_NUM_THREADS": "1"}
    cluster = make(n=1, config=config, cluster_id="env")
    # Once they are ready: while a program starts, the system does not tell its environment.
    cluster.start_and_connect_sync().close()
    launcher = cluster.engine_set.launchers["0"]
    variables = dict(item.split("=", 1) for item in open(f"/proc/{launcher.pid}/environ").read().split("\0") if item)
    assert variables["OMP_NUM_THREADS"] == "1"
    assert variables["IPP_CLUSTER_ID"] == "env" and variables["IPP_PROFILE_DIR"] == cluster.profile_dir
    assert "key" in json.loads(variables["IPP_CONNECTION_INFO"])
    # The key is in no dict that somebody prints.
    assert "IPP_CONNECTION_INFO" not in config.EngineLauncher.environment


def test_engines_that_look_for_the_file_themselves(make):
    cluster = make(n=1, send_engines_connection_env=False)
    cluster.start_cluster_sync()
    assert "IPP_CONNECTION_INFO" not in cluster.engine_set.get_env()
    with cluster.connect_client_sync() as client:
        client.wait_for_engines(1, timeout=40)


def delayed(seconds: float) -> Config:
    return Config(LocalEngineSetLauncher={"delay": seconds})


def test_a_delay_between_engines_lets_others_work(make):
    slow, other = make(n=2, config=delayed(600), cluster_id="slow"), make()

    async def both():
        starting = asyncio.ensure_future(slow.start_cluster())
        await other.start_controller()
        await other.stop_controller()
        assert not starting.done()
        starting.cancel()
        await starting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(both())


def test_engines_with_a_delay_between_them_all_start(make):
    cluster = make(n=3, config=delayed(0.1))
    cluster.start_cluster_sync()
    assert len(cluster.engine_set.launchers) == 3


def test_output_is_shown_as_it_comes(make, capfd, wait_until):
    seen = []

    def registered():
        seen.append(capfd.readouterr().err)
        return "Completed registration" in "".join(seen)

    cluster = make(n=1, log_level=10)
    cluster.start_cluster_sync()
    wait_until(registered)


def test_launchers_of_ones_own(make, monkeypatch, tmp_path):
    tmp_path.joinpath("mylaunchers.py").write_text("""
from traitlets import Unicode
from apus.cluster.launcher import LocalEngineSetLauncher
class MyEngines(LocalEngineSetLauncher):
    greeting = Unicode("hello", config=True)
    def get_env(self):
        return {**super().get_env(), "GREETING": self.greeting}
""")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = Config()
    config.MyEngines.greeting = "good morning"
    cluster = make(n=1, engines="mylaunchers.MyEngines", config=config)
    cluster.start_cluster_sync()
    assert cluster.to_dict()["engines"]["class"] == "mylaunchers:MyEngines"
    from apus.cluster import Cluster

    again = Cluster.from_dict(cluster.to_dict())
    assert type(again.engine_set).__name__ == "MyEngines"


def test_names(profile):
    from apus.cluster import launcher

    for kind, suffix in (("engine", "EngineSetLauncher"), ("controller", "ControllerLauncher")):
        for name in ("local", "mpi", "batch", "pbs", "sge", "slurm", "lsf", "htcondor"):
            found = launcher.find_launcher_class(name.upper(), kind)
            assert found.__name__.lower() == (name + suffix).lower()
            assert launcher.abbreviate_launcher_class(found) == name
            assert getattr(launcher, found.__name__) is found


def test_a_stock_controller(make):
    pytest.importorskip("ipyparallel")
    config = Config()
    config.ControllerLauncher.controller_cmd = [sys.executable, "-m", "ipyparallel.controller"]
    cluster = make(n=1, config=config)
    with cluster as client:
        assert client[:].apply_sync(os.getpid) == [cluster.engine_set.launchers["0"].pid]
    assert cluster.controller is None


# MARK: MPI

def test_mpi(make, command, wait_until, tmp_path):
    # Runs its program as often as -n says, and ends when they have.
    calls = command("mpiexec", 'n=$2; shift 3; for i in $(seq $n); do "$@" & done; trap "kill %1 %2" TERM; wait; wait')
    gate = tmp_path / "gate"
    command("some-engine", f'while ! [ -e {gate} ]; do sleep 0.02; done; exit 1')
    config = Config()
    config.MPILauncher.mpi_args = ["--quiet"]
    config.MPIEngineSetLauncher.engine_cmd = ["some-engine"]
    cluster = make(n=2, engines="mpi", config=config, engine_args=["0"])
    cluster.start_cluster_sync()
    wait_until(calls)
    assert calls() == ["-n 2 --quiet some-engine --mpi 0"]
    engines = cluster.engine_set
    state = json.loads(json.dumps(cluster.to_dict()))["engines"]
    assert state["class"] == "mpi" and list(state["sets"].values())[0]["n"] == 2
    # mpiexec ends with its ranks.
    gate.touch()
    wait_until(lambda: engines.state == "after")


# MARK: batch systems

SYSTEMS = {
    "pbs": ("qsub", "qdel", "qsig", "#PBS -t 1-3", "#PBS -q long"),
    "sge": ("qsub", "qdel", "qsig", "#$ -t 1-3", "#$ -q long"),
    "slurm": ("sbatch", "scancel", "scancel", "#SBATCH --ntasks=3", "#SBATCH --partition=long"),
    "lsf": ("bsub", "bkill", "bkill", "#BSUB -J ipengine[1-3]", "#BSUB -q long"),
    "htcondor": ("condor_submit", "condor_rm", None, "queue 3", None),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_batch(make, command, system, profile):
    submit, delete, send, array, queue = SYSTEMS[system]
    read = "cat" if system == "lsf" else 'cat "$1"'
    submitted = command(submit, f'{read} > "$IPP_PROFILE_DIR/script"; echo "Submitted job <1234>"')
    deleted = command(delete, "echo deleted")
    sent = command(send, "") if send not in (None, delete) else deleted
    config = Config()
    config.BatchSystemLauncher.queue = "long"
    cluster = make(n=3, engines=system, config=config)
    # Scripts are written to the working directory: that of the case.
    cluster.start_controller_sync()
    name = _in(profile, cluster.start_engines_sync)
    engines = cluster.engines[name]
    assert engines.job_id == "1234" and engines.state == "running"
    assert len(submitted()) == 1
    lines = (profile / "script").read_text().splitlines()
    assert array in lines and (queue is None or queue in lines), lines
    words = " ".join(lines)
    assert f"--python={sys.executable}" in words
    assert engines.output_file in words
    assert stat.S_IMODE(os.stat(profile / engines.batch_file).st_mode) == 0o700
    again = type(cluster).from_dict(json.loads(json.dumps(cluster.to_dict())))
    assert again.engines[name].job_id == "1234" and again.engines[name].state == "running"
    if send:
        cluster.signal_engines_sync("INT")
        assert sent()[-1].split()[-2:] == ["2", "1234"]
    cluster.stop_engines_sync()
    assert deleted()[-1] == "1234" and cluster.engines == {}


def _in(directory, call):
    before = os.getcwd()
    os.chdir(directory)
    try:
        return call()
    finally:
        os.chdir(before)


def test_a_template_of_ones_own(in_profile, profile):
    from apus.cluster.launcher import SlurmEngineSetLauncher

    template = "#!/bin/sh\n#SBATCH -n {n}\n#SBATCH --mem={n * 2}G --time={hours:02d}:00:00 {{literal}}\n{program} {program_args}\n"
    launcher = SlurmEngineSetLauncher(
        batch_template=template, namespace={"hours": 4}, engine_cmd=["my engine"], engine_args=["-x"], **in_profile)
    launcher.write_batch_script(8)
    assert open(launcher.batch_file).read() == (
        "#!/bin/sh\n#SBATCH -n 8\n#SBATCH --mem=16G --time=04:00:00 {literal}\n'my engine' -x\n")
    launcher.batch_template = "{walltime}"
    with pytest.raises(Exception, match="(?s)walltime.*Its variables are .*hours"):
        launcher.write_batch_script(8)


def test_options_of_slurm(in_profile):
    from apus.cluster.launcher import SlurmEngineSetLauncher

    launcher = SlurmEngineSetLauncher(account="me", qos="high", timelimit="1:00:00", **in_profile)
    launcher.write_batch_script(1)
    lines = open(launcher.batch_file).read().splitlines()
    assert lines[0] == "#!/bin/sh"
    assert {"#SBATCH --account=me", "#SBATCH --qos=high", "#SBATCH --time=1:00:00"} <= set(lines)


@pytest.mark.parametrize("script, message", [
    ("echo 'no such queue' >&2; exit 3", "exit code 3: no such queue"),
    ("echo welcome", "did not say a job's id"),
])
def test_a_refused_job(make, command, profile, script, message):
    from apus.cluster.launcher import LauncherError

    command("qsub", script)
    cluster = make(n=1, engines="pbs")
    cluster.start_controller_sync()
    with pytest.raises(LauncherError, match=message):
        _in(profile, cluster.start_engines_sync)
    assert cluster.engines == {}


def test_no_batch_system(make, profile, monkeypatch):
    from apus.cluster.launcher import LauncherError

    cluster = make(n=1, engines="slurm")
    cluster.start_controller_sync()
    # On this machine there may be one.
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LauncherError, match="sbatch cannot be run"):
        _in(profile, cluster.start_engines_sync)
