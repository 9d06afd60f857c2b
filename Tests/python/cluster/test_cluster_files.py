"""Cluster files: what one program writes, others read, in Python and not."""

import json
import os
import signal
import stat
import subprocess
import threading

import pytest


def test_the_commands_see_what_python_started(make, apus):
    cluster = make(n=2, cluster_id="seen")
    cluster.start_cluster_sync()
    listed = json.loads(apus("list", "--json").stdout)
    assert [each["cluster"]["cluster_id"] for each in listed] == ["seen"]
    assert listed[0] == cluster.to_dict()
    with cluster.connect_client_sync() as client:
        client.wait_for_engines(2, timeout=40)
    status = json.loads(apus("status", "--cluster-id=seen", "--json").stdout)
    assert [engine["kind"] for engine in status["engines"]] == ["python", "python"]
    ended = cluster.controller.process, cluster.engine_set
    assert apus("stop", "seen").returncode == 0
    assert ended[0].wait(40) == 0
    assert not os.path.exists(cluster.cluster_file)


def test_python_takes_over_what_a_command_started(apus, profile, wait_until):
    from apus.cluster import Cluster

    assert apus("start", "-n", "2", "--daemonize").returncode == 0
    cluster = Cluster.from_file()
    assert cluster.shutdown_atexit is False
    assert cluster.controller.process.is_running() and cluster.engine_set.n == 2
    with cluster.connect_client_sync() as client:
        client.wait_for_engines(2, timeout=40)
    written = json.loads((profile / "security" / "cluster-.json").read_text())
    assert cluster.to_dict() == written
    process = cluster.controller.process
    cluster.stop_cluster_sync()
    assert not process.is_running()
    assert not os.path.exists(cluster.cluster_file)
    assert json.loads(apus("list", "--json").stdout) == []


def test_what_others_have_put_into_the_file_stays(make, apus):
    from apus.cluster import Cluster

    cluster = make(n=1, cluster_id="shared")
    cluster.start_cluster_sync()
    d = json.loads(open(cluster.cluster_file).read())
    added = {
        "supervisor": {"class": "local", "state": {"pid": 999999999}, "restarts_controller": True}, "apus": {"launchers": [{"pid": 999999999}]},
        "theirs": [1]}
    d.update(added)
    d["cluster"]["theirs"] = 2
    d["controller"]["state"]["theirs"] = 3
    d["engines"]["theirs"] = 4
    with open(cluster.cluster_file, "w") as file:
        json.dump(d, file)
    # Whoever reads it has it, and gives it on.
    other = Cluster.from_file(cluster.cluster_file)
    assert other.to_dict() == d and Cluster.from_dict(d, cluster_file="").to_dict() == d
    # So does whoever writes it, having read it or not.
    for writer in (other, cluster):
        writer.update_cluster_file()
        written = json.loads(open(cluster.cluster_file).read())
        assert {name: written[name] for name in added} == added
        assert written["cluster"]["theirs"] == 2 and written["engines"]["theirs"] == 4
    # A controller that is gone takes what was said of it along, and a file that is gone what it said.
    other._had_supervisor = False
    os.remove(cluster.cluster_file)
    cluster.update_cluster_file()
    assert "supervisor" not in json.loads(open(cluster.cluster_file).read())


def test_sets_that_a_command_has_added_stay_in_the_file(make, apus):
    from apus.cluster import guardian

    cluster = make(n=1, cluster_id="more")
    cluster.start_cluster_sync()
    with cluster.connect_client_sync() as client:
        client.wait_for_engines(1, timeout=40)
    assert apus("engines", "-n", "1", "--daemonize", "--cluster-id=more").returncode == 0
    name = cluster.start_engines_sync(1)
    sets = json.loads(open(cluster.cluster_file).read())["engines"]["sets"]
    assert len(sets) == 3 and name in sets
    cluster.stop_engines_sync(name)
    sets = json.loads(open(cluster.cluster_file).read())["engines"]["sets"]
    assert len(sets) == 2 and name not in sets
    cluster.stop_cluster_sync()
    # It is still to be found, and stopped.
    (left,) = json.loads(open(cluster.cluster_file).read())["engines"]["sets"].values()
    pid = left["engines"]["0"]["pid"]
    os.kill(pid, 0)
    assert apus("stop", "more").returncode == 0
    assert guardian.began(pid) is None and not os.path.exists(cluster.cluster_file)


def test_ipyparallel_takes_over_what_python_started(make):
    stock = pytest.importorskip("ipyparallel")
    cluster = make(n=1)
    cluster.start_cluster_sync()
    process = cluster.controller.process
    other = stock.Cluster.from_file(cluster.cluster_file)
    assert other.controller.process.pid == cluster.controller.process.pid
    other.stop_cluster_sync()
    assert process.wait(40) == 0


def test_a_stopped_cluster_is_noticed_by_the_one_that_started_it(make, apus, wait_until):
    cluster = make(n=1, cluster_id="gone")
    cluster.start_cluster_sync()
    controller, engines = cluster.controller, cluster.engine_set
    apus("stop", "gone")
    wait_until(lambda: controller.state == engines.state == "after")
    cluster.stop_cluster_sync()


def test_a_file_that_a_stop_has_removed_does_not_come_back(make, apus):
    """Though the one that started the cluster has not noticed all of its ends yet."""
    from apus.cluster import loop

    cluster = make(n=2, cluster_id="removed")
    cluster.start_cluster_sync()
    goes_on = threading.Event()
    loop.call_soon(goes_on.wait)
    try:
        assert apus("stop", "removed").returncode == 0
        cluster.update_cluster_file()
        assert not os.path.exists(cluster.cluster_file)
    finally:
        goes_on.set()


def test_the_file_is_whole_and_for_its_owner(make):
    cluster = make(n=1)
    cluster.start_cluster_sync()
    assert stat.S_IMODE(os.stat(cluster.cluster_file).st_mode) == 0o600
    assert [name for name in os.listdir(os.path.dirname(cluster.cluster_file)) if name.startswith(".")] == []


def test_parts_that_have_ended_are_left_out(make):
    from apus.cluster import Cluster

    cluster = make(n=2)
    cluster.start_cluster_sync()
    d = json.loads(json.dumps(cluster.to_dict()))
    launcher = cluster.engine_set.launchers["0"]
    launcher.signal(signal.SIGKILL)
    launcher.process.wait(40)
    other = Cluster.from_dict(d)
    assert list(other.engine_set.launchers) == ["1"] and other.engine_set.n == 1


def test_a_number_that_was_used_again_is_no_part_of_a_cluster(make, wait_until):
    from apus.cluster import Cluster

    cluster = make(n=1)
    cluster.start_cluster_sync()
    d = json.loads(json.dumps(cluster.to_dict()))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IPP_")}
    stranger = subprocess.Popen(["sleep", "60"], env=environment)
    try:
        # For a moment of its start a process has no environment to look at.
        wait_until(lambda: open(f"/proc/{stranger.pid}/environ", "rb").read())
        d["controller"]["state"]["pid"] = stranger.pid
        assert Cluster.from_dict(d, cluster_file="").controller is None
    finally:
        stranger.kill()
        stranger.wait()


def test_from_file_of_nothing(profile):
    from apus.cluster import Cluster

    with pytest.raises(FileNotFoundError, match="apus list"):
        Cluster.from_file(cluster_id="nothing")
    profile.joinpath("security").mkdir(parents=True)
    profile.joinpath("security", "cluster-x.json").write_text('{"cluster"')
    with pytest.raises(ValueError, match="damaged"):
        Cluster.from_file(cluster_id="x")


def test_a_class_of_ones_own_comes_back(make, tmp_path, monkeypatch):
    tmp_path.joinpath("mycluster.py").write_text("from apus.cluster import Cluster\nclass Mine(Cluster):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from apus.cluster import Cluster
    from mycluster import Mine

    cluster = Mine()
    assert cluster.to_dict()["cluster"]["class"] == "mycluster.Mine"
    assert type(Cluster.from_dict(cluster.to_dict())) is Mine


def test_the_manager_finds_clusters_and_forgets_them(make, profile):
    from apus.cluster import ClusterManager

    manager = ClusterManager()
    assert manager.load_clusters() == {}
    cluster = make(n=1, cluster_id="one")
    cluster.start_cluster_sync()
    assert list(manager.load_clusters()) == ["default:one"]
    assert manager.get_cluster("default:one").controller.pid == cluster.controller.pid
    assert list(ClusterManager().load_clusters(profile="default")) == ["default:one"]
    with pytest.raises(FileNotFoundError):
        manager.load_clusters(profile="none")
    process = cluster.controller.process
    found = manager.clusters["default:one"].controller.process
    cluster.stop_cluster_sync()
    process.wait(40)
    found.wait(40)
    assert manager.load_clusters() == {}
    key, new = manager.new_cluster(cluster_id="two")
    assert key == "default:two" and manager.load_clusters() == {key: new}
    with pytest.raises(KeyError, match="default:two"):
        manager.new_cluster(cluster_id="two")
    manager.remove_cluster(key)
    with pytest.raises(KeyError):
        manager.get_cluster(key)
    assert list(manager.load_clusters(init_default_clusters=True)) == ["default:"]


def test_cleaning_up(make, profile):
    from apus.cluster import clean_cluster_files

    cluster = make(n=1)
    cluster.start_cluster_sync()
    with pytest.raises(ValueError, match="runs"):
        clean_cluster_files()
    cluster.stop_cluster_sync()
    (profile / "log" / "ipengine-old.log").write_text("words")
    (profile / "security" / "cluster-old.json").write_text("{}")
    (profile / "security" / "ipcontroller-old-client.json").write_text("{}")
    for name in "ipcontroller-client.json.12-345.new", "cluster-.json.12-345.new", ".cluster-x1":
        (profile / "security" / name).write_text("{")
    clean_cluster_files(str(profile))
    assert list((profile / "security").iterdir()) == [] and list((profile / "log").iterdir()) == []


@pytest.mark.parametrize("supervisor", [None, {"pid": 2**22 + 7}, {"pid": os.getpid(), "began": "1"}])
def test_what_the_commands_keep_is_not_written_anew(profile, supervisor):
    """Of many jobs this package would keep the first. A launcher that has died watches over nothing, and may have begun what only `apus stop` finds."""
    import json

    from apus.cluster import Cluster

    path = profile / "security" / "cluster-far.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    jobs = [{"id": str(number), "first": number, "n": 1} for number in range(2)]
    state = {"n": 2, "job_id": "0", "apus": {"launcher": "slurm", "jobs": jobs}}
    local = {"n": 1, "pid": -1, "engines": {"0": {"n": 1, "pid": 2**22 + 7}}}
    for each, is_kept in (state, True), (local, False):
        kind = "slurm" if each is state else "local"
        text = json.dumps({"cluster": {"cluster_id": "far", "profile_dir": str(profile)}, "engines": {"class": kind, "sets": {"1": each}}}
                          | ({"supervisor": {"class": "local", "state": supervisor}} if supervisor else {}))
        path.write_text(text)
        cluster = Cluster.from_file(str(path))
        assert cluster._is_supervised == is_kept
        assert (path.exists() and path.read_text() == text) == (is_kept or supervisor is not None)


def test_engines_that_only_the_commands_can_stop_are_not_forgotten(profile):
    import json

    from apus.cluster import clean_cluster_files

    path = profile / "security" / "cluster-far.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"n": 2, "engines": {}, "apus": {"launcher": "ssh", "hosts": []}}
    path.write_text(json.dumps({"cluster": {"cluster_id": "far"}, "engines": {"class": "ssh", "sets": {"1": state}}}))
    with pytest.raises(ValueError, match="apus stop"):
        clean_cluster_files(str(profile))
    assert path.exists()
    clean_cluster_files(str(profile), force=True)
    assert not path.exists()


@pytest.mark.parametrize("words", [[], ["--no-journal"]])
def test_the_file_of_a_later_cluster_is_left_alone(make, apus, wait_until, words):
    """Somebody has stopped ours, and started another one under the same name."""
    cluster = make(n=1, cluster_id="again")
    cluster.start_cluster_sync()
    controller, engines = cluster.controller, cluster.engine_set
    assert apus("stop", "again").returncode == 0
    assert controller.process.wait(40) is not None
    started = apus("start", "-n", "1", "--daemonize", "--cluster-id=again", *words)
    assert started.returncode == 0, started.stderr
    written = json.loads(open(cluster.cluster_file).read())
    cluster.update_cluster_file()
    assert json.loads(open(cluster.cluster_file).read()) == written
    cluster.stop_cluster_sync()
    assert json.loads(open(cluster.cluster_file).read()) == written
    assert json.loads(apus("list", "--json").stdout)[0]["controller"] == written["controller"]
    wait_until(lambda: engines.state == "after")
    assert apus("stop", "again").returncode == 0
    assert not os.path.exists(cluster.cluster_file)


def test_a_cluster_that_runs_is_not_replaced_by_another_of_its_name(make, apus):
    first = make(n=1, cluster_id="one")
    first.start_cluster_sync()
    written = json.loads(open(first.cluster_file).read())
    second = make(n=1, cluster_id="one")
    with pytest.raises(RuntimeError, match="runs already under this name"):
        second.start_cluster_sync()
    second.stop_cluster_sync()
    assert json.loads(open(first.cluster_file).read()) == written
    process = first.controller.process
    first.stop_cluster_sync()
    process.wait(40)
    # Nor is one in the way that has ended without removing its file.
    with open(first.cluster_file, "w") as file:
        json.dump(written, file)
    second.start_cluster_sync()
    assert json.loads(open(first.cluster_file).read())["controller"]["state"]["pid"] == second.controller.pid


def test_one_that_is_used_again_writes_its_file_over_that_of_one_that_has_ended(make, apus):
    cluster = make(n=1, cluster_id="used")
    cluster.start_cluster_sync()
    cluster.stop_cluster_sync()
    dead = subprocess.Popen(["true"])
    dead.wait()
    state = {"pid": dead.pid, "profile_dir": cluster.profile_dir, "cluster_id": "used"}
    with open(cluster.cluster_file, "w") as file:
        json.dump({"cluster": {"cluster_id": "used"}, "controller": {"class": "local", "state": state}}, file)
    cluster.start_cluster_sync()
    assert json.loads(open(cluster.cluster_file).read())["controller"]["state"]["pid"] == cluster.controller.pid
    cluster.stop_cluster_sync()
    assert not os.path.exists(cluster.cluster_file)


def test_what_may_live_on_another_host_is_not_cleaned_up(profile):
    from apus.cluster import ClusterManager, clean_cluster_files

    # Its launcher and its controller may be writing, too.
    names = ["security/cluster-.json.12-345.new", "security/.cluster-x1", "log/engines.json.12-345.new", "security/ipcontroller-client.json"]
    kept = [profile / "journal" / "id", *(profile / name for name in names), profile / "security" / "cluster-.json"]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    # What has the number there is nobody here.
    dead = subprocess.Popen(["true"])
    dead.wait()
    state = {"pid": dead.pid, "profile_dir": str(profile), "cluster_id": ""}
    d = {"cluster": {"cluster_id": ""}, "controller": {"class": "local", "state": state}, "apus": {"host": "there", "boot": "1"}}
    kept[-1].write_text(json.dumps(d))
    # Who looks for what runs changes nothing either.
    assert ClusterManager().load_clusters(profile_dirs=[str(profile)]) == {} and json.loads(kept[-1].read_text()) == d
    clean_cluster_files(str(profile))
    assert all(path.exists() for path in kept)
    clean_cluster_files(str(profile), force=True)
    assert not any(path.exists() for path in kept)


def test_one_that_a_launcher_has_started_anew_is_not_stopped(make, apus):
    ours = make(n=1, min=1, max=1, cluster_id="later")
    ours.start_cluster_sync()
    assert apus("stop", "later").returncode == 0
    assert apus("start", "-n", "1", "--daemonize", "--cluster-id=later").returncode == 0
    written = json.loads(open(ours.cluster_file).read())
    ours.stop_cluster_sync()
    assert json.loads(open(ours.cluster_file).read()) == written
    assert apus("stop", "later").returncode == 0


def test_cleaning_up_removes_journals(make, profile, apus):
    from apus.cluster import clean_cluster_files, guardian

    started = apus("start", "-n", "0", "--daemonize")
    assert started.returncode == 0, started.stderr
    kept = profile / "journal-notes" / "monday.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    # Nor is this a segment's name.
    (profile / "journal-diary").mkdir()
    (profile / "journal-diary" / "20240101-notes.damaged").write_text("mine")
    d = json.loads((profile / "security" / "cluster-.json").read_text())
    os.kill(d["supervisor"]["state"]["pid"], signal.SIGKILL)
    with pytest.raises(ValueError, match="runs"):
        clean_cluster_files(str(profile))
    assert (profile / "journal" / "id").exists()
    os.kill(d["controller"]["state"]["pid"], signal.SIGKILL)
    while guardian.began(d["controller"]["state"]["pid"]) is not None:
        pass
    (profile / "journal").rename(profile / "journal.aside-1")
    (profile / "journal").mkdir()
    (profile / "journal" / "00000001.log").write_bytes(b"")
    # Segments that could not be read: of the second nobody knows what it was.
    (profile / "journal" / "00000002.damaged").write_bytes(b"?")
    (profile / "journal" / "00000003-2.damaged").mkdir()
    clean_cluster_files(str(profile))
    assert sorted(path.name for path in profile.iterdir() if path.name.startswith("journal")) == ["journal-diary", "journal-notes"]
    assert kept.exists() and (profile / "journal-diary" / "20240101-notes.damaged").exists()
