"""What every launcher does, whatever it starts engines with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import processes
import pytest
from launcher_names import BATCH, EVERY, PLAYED
from launcher_stands import wait_for


def kill_engine(cluster, client, number: int = signal.SIGKILL) -> None:
    """Ends one of its engines from inside, as a crash would."""
    client[client.ids[0]].apply_async(os.kill, client[client.ids[0]].apply_sync(os.getpid), number)


@pytest.mark.parametrize("name", EVERY)
def test_engines_start_work_and_leave_nothing(make_cluster, name):
    cluster = make_cluster(name)
    cluster.start()
    cluster.hears("3 engines ready")
    client = cluster.client()
    assert client[:].map_sync(abs, range(-9, 0)) == list(range(9, 0, -1))
    client[:].push({"x": 7}, block=True)
    assert client[:]["x"] == [7, 7, 7]
    shown = json.loads(cluster.run("list", "--json").stdout)[0]
    assert shown["engines"]["class"] == cluster.stand.kind
    assert [state["n"] for state in shown["engines"]["sets"].values()] == [3]
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", EVERY)
def test_a_cluster_in_the_background_is_stopped(make_cluster, name):
    cluster = make_cluster(name)
    done = cluster.run("start", "-n3", "--daemonize", *cluster.stand.arguments)
    assert done.returncode == 0, done.stderr
    cluster.client().close()
    stopped = cluster.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    cluster.has_left_nothing()
    assert cluster.run("stop").returncode == 11


@pytest.mark.parametrize("name", PLAYED)
def test_engines_are_added_to_a_cluster_of_this_machine(make_cluster, name):
    cluster = make_cluster(name)
    assert cluster.run("start", "-n1", "--daemonize").returncode == 0
    added = cluster.run("engines", "-n2", "--daemonize", *cluster.stand.arguments)
    assert added.returncode == 0, added.stderr
    # On stand-ins they reach it all the same.
    assert "the controller listens on 127.0.0.1 only" in added.stderr
    assert len(cluster.client(3).ids) == 3
    assert json.loads(cluster.run("list", "--json").stdout)[0]["engines"]["class"] == "local"
    assert set(cluster.run("list").stdout.split()[-1].split("+")) > {"Local"}
    assert cluster.run("stop").returncode == 0
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", EVERY)
def test_stop_finds_what_a_killed_launcher_left(make_cluster, name):
    cluster = make_cluster(name)
    cluster.start()
    cluster.hears("3 engines ready")
    cluster.launcher.kill()
    cluster.launcher.wait(40)
    stopped = cluster.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", EVERY)
def test_the_end_of_an_engine_is_told_with_its_reason(make_cluster, name):
    cluster = make_cluster(name)
    cluster.start("--IPClusterStart.early_shutdown=0")
    cluster.hears("3 engines ready")
    kill_engine(cluster, cluster.client())
    cluster.hears("died with signal 9 (SIGKILL)")
    if cluster.stand.kind == "mpi":
        # With one rank mpiexec ends all, and says so of each.
        cluster.hears("all engines have ended")
    status = json.loads(cluster.run("status", "--json").stdout)
    ended = [engine for engine in status["ended"] if engine.get("signal") == 9]
    # MPICH tells that a rank was killed, and not which.
    assert len(ended) == (3 if name == "mpich" else 1) and {engine["reason"] for engine in ended} == {"signal"}
    assert "ended: signal 9" in cluster.run("list").stderr
    assert cluster.interrupt() == 0, cluster.said


@pytest.mark.parametrize("name", EVERY)
def test_a_dry_run_starts_nothing(make_cluster, name):
    cluster = make_cluster(name)
    before = len(cluster.stand.system.calls()) if name in PLAYED else 0
    done = cluster.run("start", "-n3", "--dry-run", *cluster.stand.arguments)
    assert done.returncode == 0, done.stderr
    assert "apus.engine" in done.stdout and "ipcontroller" in done.stdout
    assert not list((cluster.profile / "security").iterdir()) and not list((cluster.profile / "log").iterdir())
    assert cluster.stand.left_over() == []
    if name in PLAYED:
        # But for the question which dialect it speaks.
        assert [call for call in cluster.stand.system.calls()[before:] if "--version" not in call] == []


@pytest.mark.parametrize("name", BATCH)
def test_a_job_that_is_cancelled_from_outside_is_noticed(make_cluster, name):
    cluster = make_cluster(name)
    cluster.start("--IPClusterStart.early_shutdown=0")
    cluster.hears("3 engines ready")
    for job in cluster.stand.jobs():
        cluster.stand.system.cancel(job)
    cluster.hears("all engines have ended")
    assert cluster.interrupt() == 0, cluster.said


@pytest.mark.parametrize("name", BATCH)
def test_a_refusal_is_told_in_the_systems_own_words(make_cluster, name):
    cluster = make_cluster(name)
    done = cluster.run("start", "-n3", "--partition=nosuch", *cluster.stand.arguments)
    assert done.returncode == 14, done.stderr
    assert "nosuch" in done.stderr or "Unknown queue" in done.stderr or "nvalid partition" in done.stderr
    assert done.stderr.count("error:") == done.stderr.count("sbatch: error:") + 1
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", BATCH)
def test_many_small_jobs(make_cluster, name):
    cluster = make_cluster(name)
    cluster.start("--per-job=1")
    cluster.hears("3 engines ready")
    assert len(cluster.stand.jobs()) == 3
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", PLAYED)
def test_without_its_commands_a_system_is_named(make_cluster, name):
    cluster = make_cluster(name)
    done = cluster.run("start", "-n3", *cluster.stand.arguments, PATH="/nonexistent")
    assert done.returncode == 127, done.stderr
    assert "there is no program" in done.stderr and "installed" in done.stderr
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", PLAYED)
def test_an_interrupt_during_a_slow_submission_leaves_no_job(make_cluster, name):
    cluster = make_cluster(name)
    cluster.stand.system.faults(submit_delay=1.5)
    before = len(cluster.stand.system.calls())
    cluster.start()
    submit = {"slurm": "sbatch", "pbs": "qsub", "sge": "qsub", "lsf": "bsub", "htcondor": "condor_submit"}[name]
    wait_for(lambda: any(call[0] == submit for call in cluster.stand.system.calls()[before:]))
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", PLAYED)
def test_a_refused_submission(make_cluster, name):
    cluster = make_cluster(name)
    cluster.stand.system.faults(submit_refusal="your quota is exhausted")
    done = cluster.run("start", "-n3", *cluster.stand.arguments)
    assert done.returncode == 14 and "your quota is exhausted" in done.stderr
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", PLAYED)
def test_a_system_that_does_not_answer_ends_no_engine(make_cluster, name):
    cluster = make_cluster(name)
    cluster.start("--IPClusterStart.early_shutdown=0")
    cluster.hears("3 engines ready")
    client = cluster.client()
    cluster.stand.system.faults(status_failures=3)
    cluster.hears("does not answer: Connection timed out")
    assert client[:].apply_sync(os.getpid) and "died" not in cluster.said
    kill_engine(cluster, client)
    cluster.hears("died with signal 9", seconds=60)
    assert cluster.said.count("Connection timed out") == 1
    assert cluster.interrupt() == 0, cluster.said
    # The job's own output and the engine's.
    cluster.has_left_nothing(logs=2)


@pytest.mark.parametrize("name", PLAYED)
def test_engines_that_wait_in_a_queue_are_waited_for(make_cluster, name):
    cluster = make_cluster(name)
    cluster.stand.system.faults(hold=True)
    cluster.start("--Cluster.engine_timeout=1")
    if name in ("slurm", "pbs", "lsf"):
        # Those that say why.
        cluster.hears("wait in the queue (")
    wait_for(lambda: cluster.stand.jobs())
    assert "registered within" not in cluster.said
    assert cluster.interrupt() == 0, cluster.said
    cluster.has_left_nothing()


@pytest.mark.parametrize("name", PLAYED)
def test_stop_of_jobs_that_are_gone_is_no_error(make_cluster, name):
    import shutil

    cluster = make_cluster(name)
    # It stays where none of its engines is left, or there might be nothing to stop.
    assert cluster.run("start", "-n3", "--daemonize", "--IPClusterStart.early_shutdown=0", *cluster.stand.arguments).returncode == 0
    for job in cluster.stand.jobs():
        cluster.stand.system.cancel(job)
    wait_for(lambda: not cluster.stand.jobs())
    shutil.rmtree(cluster.stand.system.folder / "jobs")
    stopped = cluster.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert cluster.run("stop").returncode == 11


WORDS = {"time": "its time limit", "memory": "out of memory", "node": "the loss of its node"}
#: What a system has no word for.
UNSAID = {("sge", "memory"), ("htcondor", "node")}


@pytest.mark.parametrize("reason", WORDS)
@pytest.mark.parametrize("name", PLAYED)
def test_reasons(make_cluster, name, reason):
    if (name, reason) in UNSAID:
        pytest.skip(f"{name} has no word for '{reason}'")
    cluster = make_cluster(name)
    cluster.start("--IPClusterStart.early_shutdown=0")
    cluster.hears("3 engines ready")
    live = [element for element in cluster.stand.system.elements() if element.exit_code is None]
    live[-1].end(reason)
    cluster.hears(WORDS[reason])
    assert cluster.interrupt() == 0, cluster.said
    # The output of the job and of those that died.
    cluster.has_left_nothing(logs=4)


@pytest.mark.parametrize("name", ["slurm", "sge"])
def test_a_stop_during_a_submission_in_parts_leaves_no_job(make_cluster, name):
    cluster = make_cluster(name)
    cluster.stand.system.faults(submit_delay=0.7, hold=True)
    submit = {"slurm": "sbatch", "sge": "qsub"}[name]
    before = len(cluster.stand.system.calls(submit))
    cluster.start("--per-job=1", n=40)
    wait_for(lambda: len(cluster.stand.jobs()) >= 2)
    # The file names a job before the next one is submitted.
    (state,) = json.loads(cluster.run("list", "--json").stdout)[0]["engines"]["sets"].values()
    assert len(state["apus"]["jobs"]) >= 1
    assert cluster.interrupt() == 0, cluster.said
    assert len(cluster.stand.system.calls(submit)) - before < 40
    cluster.has_left_nothing()


def test_a_stop_from_elsewhere_waits_for_a_launcher_that_submits(make_cluster):
    cluster = make_cluster("slurm")
    # Longer than processes of this host have until they are killed.
    cluster.stand.system.faults(submit_delay=7)
    before = len(cluster.stand.system.calls())
    starting = subprocess.Popen(
        [str(cluster.bin_dir / "apus"), "start", "-n2", "--per-job=1", "--journal", "--daemonize", *cluster.stand.arguments],
        env=cluster.env, cwd=cluster.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: any(call[0] == "sbatch" for call in cluster.stand.system.calls()[before:]))
    stopped = cluster.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    starting.wait(30)
    cluster.has_left_nothing()


def kill_launcher_and_controller(cluster) -> None:
    shown = json.loads(cluster.run("list", "--json").stdout)[0]
    for party in ("supervisor", "controller"):
        processes.kill(shown[party]["state"]["pid"])


@pytest.mark.parametrize("name", ["slurm", "sge", "ssh"])
def test_a_new_launcher_goes_on_with_engines_that_lost_theirs(make_cluster, name):
    cluster = make_cluster(name)
    started = cluster.run("start", "-n3", "--journal", "--daemonize", *cluster.stand.arguments)
    assert started.returncode == 0, started.stderr
    client = cluster.client()
    client[:].push({"x": 7}, block=True)
    before = client[:].apply_sync(os.getpid)
    client.close()
    kill_launcher_and_controller(cluster)
    jobs = cluster.stand.jobs()
    again = cluster.run("start", "-n3", "--journal", "--daemonize", *cluster.stand.arguments)
    assert again.returncode == 0, again.stderr
    client = cluster.client()
    assert sorted(client[:].apply_sync(os.getpid)) == sorted(before) and client[:]["x"] == [7, 7, 7]
    assert cluster.stand.jobs() == jobs
    assert cluster.run("stop").returncode == 0
    cluster.has_left_nothing(logs=2)


@pytest.mark.parametrize("name", ["slurm", "local"])
def test_a_crashed_cluster_with_a_journal_is_stopped_without_a_trace(make_cluster, name):
    cluster = make_cluster("slurm")
    arguments = cluster.stand.arguments if name == "slurm" else []
    assert cluster.run("start", "-n2", "--journal", "--daemonize", *arguments).returncode == 0
    kill_launcher_and_controller(cluster)
    assert cluster.run("stop").returncode == 0
    # The last words of those that were killed.
    cluster.has_left_nothing(logs=2)
    assert not (cluster.profile / "journal").exists()


@pytest.mark.parametrize("name", ["openmpi", "mpich"])
def test_asking_ends_no_rank(make_cluster, name):
    cluster = make_cluster(name)
    cluster.start()
    cluster.hears("3 engines ready")
    cluster.launcher.kill()
    cluster.launcher.wait(40)
    (state,) = json.loads(cluster.run("list", "--json").stdout)[0]["engines"]["sets"].values()
    mpiexec = state["pid"]
    ranks = [process.pid for process in processes.processes(cluster.mark) if "apus.engine" in process.command and process.pid != mpiexec]
    # Stopped, they do not follow mpiexec at once: what is left is what somebody asks about.
    for pid in ranks:
        os.kill(pid, signal.SIGSTOP)
    processes.kill(mpiexec)
    # MPICH has a process between, which may kill them; and where the system wakes them, they end by themselves.
    wait_for(lambda: not [process for process in processes.processes(cluster.mark) if "hydra" in process.command[0]])
    wait_for(lambda: all(processes.state(pid) == "T" or not processes.runs(pid) for pid in ranks))
    cluster.run("list")
    left = [pid for pid in ranks if processes.runs(pid)]
    cluster.run("list")
    assert [pid for pid in left if processes.runs(pid)] == left
    for pid in left:
        os.kill(pid, signal.SIGCONT)
    assert cluster.run("stop").returncode == 0
    cluster.has_left_nothing(logs=1)


def test_another_controller_leaves_the_files_of_a_hosts_engines_alone(make_cluster):
    cluster, another = make_cluster("ssh"), make_cluster("ssh")
    cluster.start("--IPClusterStart.early_shutdown=0")
    cluster.hears("3 engines ready")
    client = cluster.client()
    (state,) = json.loads(cluster.run("list", "--json").stdout)[0]["engines"]["sets"].values()
    directories = [Path(host["directory"]) for host in state["apus"]["hosts"]]
    assert len(directories) == 3
    # It removes what controllers of this host have left that were killed: what is not being made at this moment.
    for directory in directories:
        os.utime(directory, (1, 1))
    before = [sorted(directory.iterdir()) for directory in directories]
    started = another.run("start", "-n0", "--daemonize")
    assert started.returncode == 0, started.stderr
    assert [sorted(directory.iterdir()) for directory in directories] == before
    kill_engine(cluster, client)
    cluster.hears("died with signal 9 (SIGKILL)")
    assert another.run("stop").returncode == 0
    assert cluster.interrupt() == 0, cluster.said


def test_an_engine_comes_through_a_tunnel(make_cluster):
    cluster = make_cluster("ssh")
    assert cluster.run("start", "-n0", "--daemonize").returncode == 0
    words = ["engine", f"--file={cluster.profile}/security/ipcontroller-engine.json", "--ssh=host1"]
    log = cluster.folder / "engine.log"
    with log.open("wb") as file:
        engine = subprocess.Popen(
            [str(cluster.bin_dir / "apus"), *words], env=cluster.env, cwd=cluster.folder, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True)
    try:
        client = cluster.client(1)
        assert client[0].apply_sync(abs, -3) == 3
        assert "Connecting through host1" in log.read_text()
        # However it ends, its tunnels end with it.
        engine.kill()
        wait_for(lambda: not cluster.stand.left_over())
    finally:
        engine.kill()
        engine.wait(40)
    refused = cluster.run("engine", words[1], "--ssh=nowhere.invalid")
    assert refused.returncode == 255 and "the tunnel through nowhere.invalid failed" in refused.stderr
    assert cluster.run("stop").returncode == 0


@pytest.mark.parametrize("host", ["nosuch.invalid", "192.0.2.1"])
def test_a_controller_that_cannot_be_reached_is_named_with_its_port(make_cluster, host):
    cluster = make_cluster("slurm")
    assert cluster.run("start", "-n0", "--daemonize").returncode == 0
    info = json.loads((cluster.profile / "security/ipcontroller-engine.json").read_text())
    info.pop("local_directory", None)
    elsewhere = cluster.folder / "engine.json"
    elsewhere.write_text(json.dumps(info | {"interface": f"tcp://{host}", "location": host}))
    # To a host that does not answer the system itself would try for two minutes.
    done = cluster.run("engine", f"--file={elsewhere}", "--IPEngine.timeout=1")
    assert done.returncode == 255 and f"{host}:{info['registration']}" in done.stderr.splitlines()[-1], done.stderr
    assert "--location" in done.stderr
    assert cluster.run("stop").returncode == 0
