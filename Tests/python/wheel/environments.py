"""Virtual environments that the wheel is installed into, and clusters that run in them as on a machine that has nothing else."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import processes

#: What the wheel must not need of a machine: libraries that are linked into it, and Swift's.
FOREIGN = re.compile(r"/lib(zmq|sodium|pgm|norm|gssapi_krb5|jemalloc|bsd|swift\w*|Foundation\w*|dispatch)[-.][^/]*$")


def interpreters() -> dict[str, str]:
    """One CPython of each version from 3.10 on that this machine has: ``{"3.11": "/usr/bin/python3.11", …}``."""
    found = {"%d.%d" % sys.version_info[:2]: sys.executable}
    places = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin")), "/usr/bin"]
    for place in places:
        for path in sorted(glob.glob(os.path.join(place, "python3.*"))):
            version = re.fullmatch(r"python(3\.\d+)", os.path.basename(path))
            if version and int(version[1][2:]) >= 10 and version[1] not in found and _makes_environments(path):
                found[version[1]] = path
    return dict(sorted(found.items(), key=lambda item: int(item[0][2:])))


def _makes_environments(path: str) -> bool:
    # The free-threaded builds have no stable ABI. A launcher of pyenv's for a version that is not chosen fails here.
    test = "import sys, sysconfig, venv; sys.exit(sys.implementation.name != 'cpython' or bool(sysconfig.get_config_var('Py_GIL_DISABLED')))"
    try:
        return subprocess.run([path, "-c", test], capture_output=True, timeout=40).returncode == 0
    except OSError:
        return False


class Environment:
    """A virtual environment with nothing in it but what a case installs."""

    def __init__(self, directory: Path, interpreter: str = sys.executable):
        self.directory = directory
        # Without pip, whose unpacking takes longer than all the rest: this environment's can install into others.
        subprocess.run([interpreter, "-m", "venv", "--without-pip", str(directory)], check=True, capture_output=True, timeout=60)
        self.python = directory / "bin" / "python"

    def program(self, name: str = "apus") -> str:
        return str(self.directory / "bin" / name)

    def pip(self, *arguments: str, **variables: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check", *arguments], capture_output=True,
            text=True, timeout=150, env=os.environ | variables, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self, wheel: Path) -> None:
        """What the wheel depends on is for clients: engines and commands do without, and no index is asked."""
        self.pip("install", "--no-deps", "--no-index", str(wheel))

    def files(self, suffix: str) -> list[Path]:
        return list(self.directory.glob(f"lib/python3*/site-packages/{suffix}"))


class Machine:
    """A user of one environment who has not activated it: a home, a mark for the processes, no toolchain on PATH."""

    def __init__(self, environment: Environment, home: Path, prefix: list[str] | None = None):
        self.environment, self.home = environment, home
        self._prefix = prefix or []
        self.mark = uuid.uuid4().hex
        self.variables = {
            "HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1", processes.MARK: self.mark,
        }

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess:
        """Runs a command of the environment to its end."""
        # Into a file: a daemon keeps its standard error, and the end of a pipe would never come.
        with open(self.home / "output", "w+") as output:
            done = subprocess.run(
                [*self._prefix, self.environment.program(words[0]), *words[1:]], env=self.variables | variables, cwd=self.home,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=100)
            output.seek(0)
            done.stdout = output.read()
        return done

    def engines_say(self, expression: str) -> list:
        """The values of a Python expression on all engines; they go through JSON."""
        done = self.run("apus", "px", "--json", f"import json, os, sys, apus; print(json.dumps({expression}))")
        assert done.returncode == 0, done.stdout
        return [json.loads(engine["stdout"]) for engine in json.loads(done.stdout)["engines"]]

    @property
    def connection_file(self) -> Path:
        return self.home / "ipython" / "profile_default" / "security" / "ipcontroller-client.json"

    def libraries(self) -> dict[str, set[str]]:
        """The files with code that each role's processes have mapped."""
        found: dict[str, set[str]] = {}
        for process in processes.processes(self.mark):
            try:
                lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
            except OSError:
                # It has ended since.
                continue
            files = {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6 and "x" in line.split()[1]}
            found.setdefault(process.role, set()).update(file for file in files if file.startswith("/"))
        return found

    def end(self) -> list[processes.Process]:
        return processes.end(self.mark)


def without_libraries() -> list[str] | None:
    """The beginning of a command line that hides the toolchain and the libraries from the program behind it; None where the system
    lets nobody make a mount namespace."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    hidden = [file for file in glob.glob("/usr/lib/*-linux-gnu/*.so*") + glob.glob("/usr/lib64/*.so*") if FOREIGN.search(file)]
    toolchain = shutil.which("swift")
    directories = [str(Path(toolchain).resolve().parents[1])] if toolchain else []
    script = "".join(f"mount --bind /dev/null '{file}' && " for file in sorted({os.path.realpath(file) for file in hidden}))
    script += "".join(f"mount -t tmpfs none '{directory}' && " for directory in directories) + 'exec "$@"'
    words = [*unshare, "sh", "-c", script, "sh"]
    try:
        works = subprocess.run([*words, "true"], capture_output=True, timeout=40).returncode == 0
    except OSError:
        return None
    return words if works else None
