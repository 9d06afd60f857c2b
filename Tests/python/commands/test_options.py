"""Options, help, versions and exit codes of the installed commands: docs/commands.md says the same in words."""

import json
import socket
import sys

import pytest

VERSION = "9.2.0"


@pytest.mark.parametrize("command", ["ipcluster", "ipcontroller", "ipengine"])
def test_the_version_is_ipyparallels(run, command):
    assert run(command, "--version").stdout == VERSION + "\n"


def test_apus_says_both_versions(run):
    import re
    from pathlib import Path

    result = run("apus", "--version")
    package = Path(__file__).resolve().parents[3] / "python" / "apus" / "_version.py"
    own = re.search(r'__version__ = "(.*)"', package.read_text()).group(1)
    assert result.stdout == f"{own} (speaks ipyparallel {VERSION})\n"


@pytest.mark.parametrize(
    "command",
    [["ipcluster"], ["ipcontroller"], ["ipengine"], *(["ipcluster", name] for name in ("start", "stop", "list", "engines", "clean"))]
    + [["apus", name] for name in ("start", "controller", "engine")],
    ids=" ".join,
)
@pytest.mark.parametrize("option", ["--help", "--help-all"])
def test_help(run, command, option):
    result = run(*command, option)
    assert result.returncode == 0
    assert "Usage:" in result.stdout
    assert not result.stderr


@pytest.mark.parametrize(
    "command, code, words",
    [
        ("ipcluster", 1, ""),
        ("ipcluster strat", 2, "did you mean 'start'?"),
        ("ipcluster start --profle=x", 2, "did you mean --profile?"),
        ("ipcluster start -n", 2, "needs a value"),
        ("ipcluster start -n two", 2, "Cluster.n should be an integer"),
        ("ipcluster start -- --dictbd", 2, "did you mean --dictdb?"),
        ("ipcluster start --engines=winhpc", 69, "is not in Apus"),
        ("ipcluster start --engines=lokal", 2, "did you mean 'local'?"),
        ("ipcluster start --python=/no/python", 127, "/no/python"),
        ("ipcluster start --config=nowhere", 66, "nowhere"),
        ("ipcluster stop", 11, "there is no cluster"),
        ("ipcluster stop abc", 11, "'abc'"),
        ("ipcluster stop --profile=nobody", 66, "profile_nobody"),
        ("ipcluster engines", 12, "no controller"),
        ("ipcontroller --mongodb", 69, "MongoDB"),
        ("ipcontroller --transport=ipc", 69, "tcp"),
        ("ipcontroller --keyfile=/no/key", 66, "/no/key"),
        ("ipcontroller --ip=203.0.113.9", 71, "203.0.113.9"),
        ("ipcontroller --profile-dir=/proc/profile", 73, "/proc/profile"),
        ("ipengine --python=/no/python", 127, "/no/python"),
        ("ipengine --timeout=abc", 2, "IPEngine.timeout should be a number"),
        ("ipengine --IPEngine.max_heartbeat_misses=many", 2, "IPEngine.max_heartbeat_misses should be a number"),
    ],
)
def test_what_goes_wrong_is_said(run, command, code, words):
    result = run(*command.split())
    assert (result.returncode, words in result.stderr) == (code, True), result.stderr
    assert "Traceback" not in result.stderr and "Fatal" not in result.stderr


def test_a_port_in_use(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("ipcontroller", f"--ports={port}")
        assert result.returncode == 71
        assert str(port) in result.stderr
        # The launcher passes the controller's exit code on.
        assert run("ipcluster", "start", "-n", "1", "--", f"--ports={port}").returncode == 71


def test_unknown_traits_warn(run):
    result = run("ipcontroller", "--HeartMonitor.perod=3", "--ping=250", "--show-config-json")
    assert "did you mean period?" in result.stderr
    assert json.loads(result.stdout)["HeartMonitor"]["period"] == 250


def test_configuration_files_and_their_order(run, tmp_path):
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipcontroller_config.py").write_text("c.HeartMonitor.period = 200\nc.TaskScheduler.hwm = 3\nc.Session.key = key()\n")
    (profile / "ipcontroller_config.json").write_text('{"HeartMonitor": {"period": 300}}')
    result = run("ipcontroller", "--hwm=4", "--show-config-json")
    shown = json.loads(result.stdout)
    assert shown["HeartMonitor"]["period"] == 300
    assert shown["TaskScheduler"]["hwm"] == 4
    assert "ipcontroller_config.py:3: c.Session.key = key()" in result.stderr


def test_init_writes_a_file_that_both_read(run, tmp_path):
    assert run("ipcontroller", "--init", "--show-config-json").returncode == 0
    path = tmp_path / "ipython" / "profile_default" / "ipcontroller_config.py"
    text = path.read_text()
    assert "# c.HeartMonitor.period = 3000" in text
    compile(text, str(path), "exec")
    assert json.loads(run("ipcontroller", "--show-config-json").stdout) == {}


def test_a_profile_is_made_as_ipython_makes_it(run, tmp_path):
    result = run("apus", "profile", "create", "work")
    profile = tmp_path / "ipython" / "profile_work"
    assert result.stdout.strip() == str(profile)
    assert {entry.name: oct(entry.stat().st_mode & 0o777) for entry in profile.iterdir()} == {
        "log": "0o755", "pid": "0o700", "security": "0o700", "startup": "0o755",
    }
    assert run("apus", "profile", "list").stdout == "work\n"


def test_the_engine_replaces_its_launcher(run, tmp_path):
    """Same process id: signals and cluster files of others keep working."""
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\nimport os, sys\nprint(os.getpid() == int(os.environ['PARENT_SEES']) if 'PARENT_SEES' in os.environ else '')\nprint(sys.argv[1:])\nprint(os.environ['PYTHONPATH'])\n")
    fake.chmod(0o755)
    result = run("ipengine", f"--python={fake}", "--profile=x", "-c", "--help", "--InteractiveShell.colors=nocolor", PYTHONPATH="/mine")
    _, arguments, path = result.stdout.splitlines()
    assert arguments == str(["-m", "apus.engine", "--profile=x", "-c", "--help", "--InteractiveShell.colors=nocolor"])
    assert path.endswith(":/mine")
