"""What people are told when something is wrong."""

import os

import pytest
from traitlets import TraitError
from traitlets.config import Config


def test_a_controller_that_dies_at_its_start(make):
    config = Config()
    config.ControllerLauncher.connection_info_timeout = 600
    cluster = make(n=1, controller_args=["--nonsense"], config=config)
    with pytest.raises(RuntimeError, match="(?s)ended with exit code 2.*there is no option --nonsense"):
        cluster.start_cluster_sync()


def test_a_controller_that_says_nothing(make):
    config = Config()
    config.ControllerLauncher.controller_cmd = ["sleep", "60"]
    config.ControllerLauncher.connection_info_timeout = 0.2
    with pytest.raises(TimeoutError, match="ipcontroller-.*-client.json.*within 0.2 s"):
        make(n=1, config=config).start_cluster_sync()


def test_connection_files_of_an_earlier_controller_are_not_taken(make, profile):
    security = profile / "security"
    security.mkdir(parents=True)
    for kind in ("client", "engine"):
        (security / f"ipcontroller-same-{kind}.json").write_text('{"old": true}')
    cluster = make(cluster_id="same")
    cluster.start_controller_sync()
    from apus.cluster.loop import run_sync

    info = run_sync(cluster.controller.get_connection_info())
    assert "old" not in info["client"] and "old" not in info["engine"]


def test_a_program_that_is_not_there(make):
    config = Config()
    config.ControllerLauncher.controller_cmd = ["/nowhere/ipcontroller"]
    cluster = make(n=1, config=config)
    from apus.cluster.launcher import LauncherError

    with pytest.raises(LauncherError, match="/nowhere/ipcontroller"):
        cluster.start_cluster_sync()
    assert cluster.controller is None


@pytest.mark.parametrize("survivor", [False, True])
def test_an_engine_that_dies_at_its_start(make, survivor, profile, caplog):
    from apus.error import EngineError

    # The other one of the set lives, and would be waited with.
    fate = "import os; print('my last words', flush=True); os._exit(3)"
    if survivor:
        fate = f"import os\nif not os.path.exists('first'):\n    os.mkdir('first'); {fate[10:]}"
    cluster = make(n=2, engine_args=["-c", fate, f"--work-dir={profile.parent}"], engine_timeout=600)
    profile.parent.mkdir(parents=True, exist_ok=True)
    with pytest.raises(EngineError, match="(?s)engine [01] ended with exit code 3.*my last words"):
        with cluster:
            pytest.fail("it has started")
    assert cluster.controller is None and cluster.engines == {}
    # What the error says is not said twice.
    assert "my last words" not in caplog.text
    # The log stays for whoever wants all of it.
    assert any("my last words" in path.read_text() for path in (profile / "log").glob("ipengine-*.log"))


def test_engines_that_do_not_register(make):
    config = Config()
    config.EngineLauncher.engine_cmd = ["sleep", "60"]
    with pytest.raises(TimeoutError):
        with make(n=1, config=config, engine_timeout=1):
            pytest.fail("it has started")


def test_a_dead_engine_is_told_later(make, caplog, wait_until):
    cluster = make(n=1)
    cluster.start_cluster_sync()
    cluster.signal_engines_sync("KILL")
    wait_until(lambda: "engine set stopped" in caplog.text)


def test_no_controller(make):
    with pytest.raises(RuntimeError, match="start_controller"):
        make().connect_client_sync()


@pytest.mark.parametrize("wrong, message", [
    ({"engine": "local"}, "did you mean 'engines'"),
    ({"profil": "x"}, "did you mean 'profile'"),
    ({"engines": "local", "engine_launcher_class": "local"}, "one of them"),
])
def test_wrong_parameters(profile, wrong, message):
    from apus.cluster import Cluster

    with pytest.raises(TypeError, match=message):
        Cluster(**wrong)


@pytest.mark.parametrize("name, message", [
    ("sshproxy", "is not in Apus"),
    ("nowhere", "there are .*local"),
    ("no.such.Launcher", "cannot be imported"),
])
def test_wrong_launchers(profile, name, message):
    from apus.cluster import Cluster

    with pytest.raises(TraitError, match=message):
        Cluster(engines=name)


def test_without_the_program(profile, monkeypatch, tmp_path):
    from apus import _executable

    monkeypatch.setenv("APUS_BIN", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="APUS_BIN"):
        _executable.find()


def test_the_program_is_found_where_it_is(bin_dir, profile, monkeypatch):
    from apus import _executable

    assert _executable.find() == str(bin_dir / "apus")
    monkeypatch.setenv("APUS_BIN", str(bin_dir / "apus"))
    assert _executable.command("engine", "x") == [str(bin_dir / "apus"), "engine", "x"]
    monkeypatch.delenv("APUS_BIN")
    monkeypatch.setattr(_executable, "__file__", os.devnull)
    monkeypatch.setenv("PATH", str(bin_dir))
    assert _executable.find() == str(bin_dir / "apus")


def test_import_apus_does_without_traitlets(python):
    program = python("import sys, apus, apus._executable\nprint([name for name in ('traitlets', 'asyncio') if name in sys.modules])")
    assert program.communicate(timeout=40)[0] == "[]\n"


def test_without_traitlets_it_is_said(python):
    program = python("import sys\nsys.modules['traitlets'] = None\nimport apus.cluster")
    assert "pip install traitlets" in program.communicate(timeout=40)[1]


def test_ipython_is_not_imported(python):
    program = python("import sys\nfrom apus.cluster import Cluster\nCluster().start_controller_sync()\nprint('IPython' in sys.modules)")
    assert program.communicate(timeout=40)[0] == "False\n"
