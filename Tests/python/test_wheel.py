"""The wheel: what is in it, which machines it runs on, and a life in a fresh environment of each Python that there is.

``APUS_WHEEL`` names the wheel under test; without it, ``scripts/wheel`` builds one, which takes minutes in a checkout that was not built.
"""

from __future__ import annotations

import ast
import base64
import email
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import processes
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).resolve().parent / "wheel"))

from environments import FOREIGN, Environment, Machine, interpreters, without_libraries  # noqa: E402

VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "python" / "apus" / "_version.py").read_text())[1]
PYTHONS = interpreters()
THIS = "%d.%d" % sys.version_info[:2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    named = os.environ.get("APUS_WHEEL")
    if named:
        assert Path(named).is_file(), f"APUS_WHEEL names {named}, which is not there"
        return Path(named)
    built = subprocess.run(
        [str(ROOT / "scripts" / "wheel"), str(tmp_path_factory.mktemp("dist"))], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert built.returncode == 0, built.stdout + built.stderr
    return Path(built.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def environment(wheel, tmp_path_factory) -> Environment:
    """This Python's, which no case changes."""
    environment = Environment(tmp_path_factory.mktemp("environment") / "venv")
    environment.install(wheel)
    return environment


@pytest.fixture
def machine(environment, tmp_path):
    """Without a cluster yet; what a case leaves behind is a fault."""
    machine = Machine(environment, tmp_path)
    yield machine
    assert machine.end() == []


@pytest.fixture
def content(wheel):
    with zipfile.ZipFile(wheel) as archive:
        yield archive


@pytest.mark.timeout(1800)
def test_the_record_names_every_file(content):
    rows = [row.rsplit(",", 2) for row in content.read(f"apus-{VERSION}.dist-info/RECORD").decode().splitlines()]
    assert {name for name, _, _ in rows} == set(content.namelist())
    for name, digest, size in rows:
        if not name.endswith("/RECORD"):
            data = content.read(name)
            found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, int(size)) == (f"sha256={found}", len(data)), name


def test_what_is_in_it(content):
    names = set(content.namelist())
    package = ROOT / "python" / "apus"
    modules = {f"apus/{file.relative_to(package).as_posix()}" for file in package.rglob("*.py*") if file.suffix in (".py", ".pyi")}
    extra = {"apus/py.typed", "apus/_core.abi3.so", "apus/_lib/libjemalloc.so.2"}
    assert {name for name in names if name.startswith("apus/")} == modules | extra
    assert "apus/_core.pyi" in names
    rest = {name for name in names if not name.startswith("apus/")}
    info, program = f"apus-{VERSION}.dist-info", f"apus-{VERSION}.data/scripts/apus"
    assert program in rest
    assert all(name == program or name.startswith(f"{info}/") for name in rest)
    assert content.read(program)[:4] == b"\x7fELF"
    assert content.getinfo(program).external_attr >> 16 & 0o777 == 0o755
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/bundled/libzmq.txt"} <= names


def test_metadata(content):
    message = email.message_from_bytes(content.read(f"apus-{VERSION}.dist-info/METADATA"))
    assert (message["Name"], message["Version"], message["Requires-Python"]) == ("apus", VERSION, ">=3.10")
    assert set(message.get_all("Provides-Extra")) == {"notebook", "dask", "joblib", "all"}
    needed = message.get_all("Requires-Dist")
    assert [text for text in needed if "extra" not in text] == ["cloudpickle >= 2.2", "traitlets >= 5.1"]
    assert not any("ipyparallel" in text for text in needed)
    assert 'apus[notebook,dask,joblib] ; extra == "all"' in needed


def test_the_stubs_name_what_the_core_has(environment):
    tree = ast.parse((ROOT / "python" / "apus" / "_core.pyi").read_text())
    described = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    code = "import apus._core, json; print(json.dumps([name for name in dir(apus._core) if name[0] != '_']))"
    done = subprocess.run([str(environment.python), "-c", code], capture_output=True, text=True, timeout=40)
    names = set(json.loads(done.stdout))
    assert names and names <= described, done.stderr
    # A core that is built without the client has the engine's functions alone.
    assert {name for name in described - names if "client_open" in names or not name.lower().startswith("client")} == set()


def tool(name: str) -> str:
    """A tool of this environment, or of PATH."""
    own = Path(sys.executable).parent / name
    return str(own) if own.exists() else name


def test_it_runs_on_the_machines_that_its_name_says(wheel):
    platform = re.fullmatch(r"apus-.+-cp310-abi3-(manylinux_\d+_\d+_\w+)\.whl", wheel.name)[1]
    shown = subprocess.run([tool("auditwheel"), "show", str(wheel)], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    assert f'consistent with the following platform tag: "{platform}"' in " ".join(shown.stdout.split())
    # Nothing for `auditwheel repair` to bring along: only what every such machine has.
    libraries = set(re.findall(r"\b[\w+.-]+\.so\.\d+", shown.stdout))
    assert libraries and libraries <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def test_it_runs_in_the_pythons_that_its_name_says(wheel):
    shown = subprocess.run([tool("abi3audit"), "--strict", str(wheel)], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stdout + shown.stderr


def square(x):
    return x**2


# A function travels with the name of its module, and the engines have no path to this one.
square.__module__ = "__main__"


def check_stock_client(machine: Machine) -> None:
    """From this environment, which has ipyparallel and not Apus."""
    import ipyparallel

    with ipyparallel.Client(str(machine.connection_file)) as client:
        assert client[:].map_sync(square, range(10)) == [x**2 for x in range(10)]
        assert client.load_balanced_view().map_sync(square, range(20)) == [x**2 for x in range(20)]


def start(machine: Machine, *arguments: str) -> None:
    began = machine.run("apus", "start", "-n", "2", "--daemonize", *arguments)
    assert began.returncode == 0, began.stdout


def stop(machine: Machine) -> None:
    ended = machine.run("apus", "stop")
    assert ended.returncode == 0, ended.stdout
    deadline = time.monotonic() + 40
    while processes.processes(machine.mark):
        assert time.monotonic() < deadline, processes.processes(machine.mark)
        time.sleep(0.01)


def check_libraries(machine: Machine) -> None:
    libraries = machine.libraries()
    assert {"controller", "engine"} <= set(libraries)
    own = str(machine.environment.directory)
    for role, files in libraries.items():
        strangers = [file for file in files if FOREIGN.search(file) and not file.startswith(own)]
        assert not strangers, f"{role} has loaded {strangers}"
    engine = {Path(file).name for file in libraries["engine"] if file.startswith(own)}
    assert {"_core.abi3.so", "libjemalloc.so.2"} <= engine


@pytest.mark.parametrize("version", PYTHONS)
def test_a_life_in_a_fresh_environment(wheel, version, tmp_path):
    environment = Environment(tmp_path / "venv", PYTHONS[version])
    environment.install(wheel)
    machine = Machine(environment, tmp_path)
    try:
        assert machine.run("apus", "--version").stdout.split()[0] == VERSION
        start(machine)
        facts = machine.engines_say('["%d.%d" % sys.version_info[:2], sys.prefix, apus.__file__, os.environ.get("LD_PRELOAD")]')
        package = environment.files("apus/__init__.py")
        assert facts == [[version, str(environment.directory), str(package[0]), None]] * 2
        check_libraries(machine)
        # Functions travel as code, and code differs between versions of Python.
        if version == THIS:
            check_stock_client(machine)
        stop(machine)
    finally:
        left = machine.end()
    assert left == []


def test_where_neither_toolchain_nor_libraries_exist(environment, tmp_path):
    prefix = without_libraries()
    if prefix is None:
        pytest.skip("this system lets nobody hide files in a namespace of mounts; what is loaded was looked at all the same")
    machine = Machine(environment, tmp_path, prefix)
    try:
        start(machine)
        check_libraries(machine)
        check_stock_client(machine)
        stop(machine)
    finally:
        left = machine.end()
    assert left == []


def test_another_python_gets_the_package_alone(machine, environment):
    """``--python``: an interpreter of another environment sees the package, and not what else lies beside it."""
    start(machine, f"--python={sys.executable}")
    script = '[sys.prefix, apus.__file__, [path for path in sys.path if path.startswith("%s")]]' % environment.directory
    package = environment.files("apus/__init__.py")[0].parent
    assert machine.engines_say(script) == [[sys.prefix, str(package / "__init__.py"), [str(package / "_foreign")]]] * 2
    stop(machine)


def test_the_environment_wins_over_one_that_is_activated(machine, environment):
    began = machine.run("apus", "start", "-n", "1", "--daemonize", VIRTUAL_ENV="/nowhere")
    assert began.returncode == 0, began.stdout
    assert machine.engines_say("sys.prefix") == [str(environment.directory)]
    stop(machine)


def test_the_python_allocator_is_left_alone(environment):
    """Only programs of Apus's own run with jemalloc; a Python that imports the core does not."""
    code = "import apus._core, ctypes; ctypes.CDLL(None).mallctl"
    done = subprocess.run([str(environment.python), "-c", code], capture_output=True, text=True, timeout=40)
    assert "undefined symbol: mallctl" in done.stderr


def test_python_finds_the_program(environment):
    code = "import apus._program as p; print(p.path())"
    done = subprocess.run([str(environment.python), "-c", code], capture_output=True, text=True, timeout=40)
    assert done.stdout.strip() == environment.program(), done.stderr


def test_names_of_ipyparallel(machine):
    assert "Usage: ipcluster COMMAND" in machine.run("ipcluster", "--help").stdout
    began = machine.run("ipcluster", "start", "-n", "2", "--daemonize")
    assert began.returncode == 0, began.stdout
    assert machine.engines_say("1 + 1") == [2, 2]
    ended = machine.run("ipcluster", "stop")
    assert ended.returncode == 0, ended.stdout
    for command in ("ipcontroller", "ipengine"):
        assert f"Usage: {command}" in machine.run(command, "--help").stdout
    stop_all = time.monotonic() + 40
    while processes.processes(machine.mark):
        assert time.monotonic() < stop_all
        time.sleep(0.01)


@pytest.mark.parametrize("command", ["ipcluster", "ipcontroller", "ipengine"])
def test_names_of_ipyparallel_are_its_own_where_it_is_installed(machine, tmp_path, command):
    stock = tmp_path / "stock"
    (stock / "ipyparallel").mkdir(parents=True)
    (stock / "ipyparallel" / "__init__.py").write_text("import sys\ndef main():\n    print('stock', *sys.argv[1:])\n    return 7\n")
    (stock / "ipyparallel-9.2.0.dist-info").mkdir()
    (stock / "ipyparallel-9.2.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: ipyparallel\nVersion: 9.2.0\n")
    (stock / "ipyparallel-9.2.0.dist-info" / "entry_points.txt").write_text(f"[console_scripts]\n{command} = ipyparallel:main\n")
    done = machine.run(command, "start", "-n", "2", PYTHONPATH=str(stock))
    assert (done.returncode, done.stdout) == (7, "stock start -n 2\n")


def test_the_source_distribution_is_what_is_built_from(tmp_path):
    made = subprocess.run(
        [sys.executable, "-c", "import sys, apus_build; print(apus_build.build_sdist(sys.argv[1]))", str(tmp_path)], cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "_backend"), "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, timeout=60)
    assert made.stdout.strip() == f"apus-{VERSION}.tar.gz", made.stderr
    with tarfile.open(tmp_path / made.stdout.strip()) as archive:
        archive.extractall(tmp_path, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(tmp_path)
    root = tmp_path / f"apus-{VERSION}"
    assert f"Version: {VERSION}" in (root / "PKG-INFO").read_text()
    for directory in ("Sources", "python", "_backend"):
        wanted = subprocess.run(["git", "ls-files", directory], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        assert wanted and all((root / name).exists() for name in wanted if (ROOT / name).exists())
    # Every target of the manifest has its directory: a missing one, a test's too, ends the build.
    manifest = (root / "Package.swift").read_text()
    for path in re.findall(r'path: "([^"]+)"', manifest):
        assert (root / path).is_dir(), path
    for kind, name in re.findall(r"\.(target|testTarget|executableTarget|systemLibrary)\(\s*name: \"(\w+)\"(?![^)]*path:)", manifest):
        assert (root / ("Tests" if kind == "testTarget" else "Sources") / name).is_dir(), name
    # From what was unpacked, the same again.
    again = subprocess.run(
        [sys.executable, "-c", "import sys, apus_build.archives as a; print(*a.sources(), sep='\\n')"],
        env=os.environ | {"PYTHONPATH": str(root / "_backend"), "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, timeout=60)
    unpacked = {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()} - {"PKG-INFO"}
    assert set(again.stdout.split("\n")) - {""} == unpacked, again.stderr


@pytest.fixture
def toolchain(environment, tmp_path):
    """A ``swift`` that has built already: it says so, and where. What pip and the backend say to each other needs no more."""
    directory = tmp_path / "toolchain" / "usr" / "bin"
    directory.mkdir(parents=True)
    (directory / "swift").write_text(
        '#!/bin/sh\ncase "$*" in\n  --version) echo "Swift version 6.3.1" ;;\n'
        f'  *--show-bin-path) echo "{Path(environment.program()).parent}" ;;\n  build*) ;;\n  *) exit 1 ;;\nesac\n')
    (directory / "swift").chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


def test_an_editable_installation(environment, toolchain, tmp_path):
    edited = Environment(tmp_path / "edited")
    edited.pip("install", "--no-deps", "--editable", str(ROOT), PATH=toolchain)
    where = subprocess.run([str(edited.python), "-c", "import apus; print(apus.__file__)"], capture_output=True, text=True, cwd=tmp_path)
    assert where.stdout.strip() == str(ROOT / "python" / "apus" / "__init__.py")
    machine = Machine(edited, tmp_path)
    assert machine.run("apus", "--version").stdout.split()[0] == VERSION
    edited.pip("uninstall", "--yes", "apus")
    assert not Path(edited.program()).exists()


@pytest.mark.parametrize("arguments, said", [
    (["--config-settings", "colour=red"], "there is no setting colour"), (["--config-settings", "libraries=red"], "libraries=red is not known"),
])
def test_a_wrong_setting_is_said_without_a_traceback(toolchain, environment, tmp_path, arguments, said):
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path), *arguments, str(ROOT)],
        env=os.environ | {"PATH": toolchain}, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=100)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
