"""The Swift toolchain: found, asked, and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cached_property
from pathlib import Path

from .project import ROOT, stop

_OLDEST = (6, 2)
_PLACES = ["$SWIFTLY_BIN_DIR", "~/.local/share/swiftly/bin", "~/.swiftly/bin", "/usr/libexec/swift/bin"]


class Toolchain:
    """Swift, and the tools that come along with it."""

    def __init__(self) -> None:
        search = os.pathsep.join([os.environ.get("PATH", os.defpath), *(os.path.expanduser(os.path.expandvars(place)) for place in _PLACES)])
        found = shutil.which("swift", path=search)
        if found is None:
            raise stop(
                "Apus is compiled here, and there is no Swift toolchain on this machine",
                "Install a wheel, which needs none; or get Swift 6.2 or later from https://www.swift.org/install/linux/.")
        self._swift = found
        text = self.output([found, "--version"])
        version = re.search(r"Swift version (\d+)\.(\d+)", text)
        if version and (int(version[1]), int(version[2])) < _OLDEST:
            raise stop(f"Swift {version[1]}.{version[2]} is too old for Apus", "Get Swift 6.2 or later from https://www.swift.org/install/linux/.")

    @cached_property
    def _tools(self) -> Path:
        """Where the compiler is, which is not where swiftly's `swift` is."""
        information = self.output([self._swift, "-print-target-info"])
        resources = re.search(r'"runtimeResourcePath"\s*:\s*"([^"]+)"', information)
        if resources is None:
            raise stop("swift does not tell where its files are", "'swift -print-target-info' should name its runtimeResourcePath.")
        return Path(resources[1].replace("\\/", "/")).parents[1] / "bin"

    @property
    def licence(self) -> Path:
        return self._tools.parent / "share" / "swift" / "LICENSE.txt"

    def tool(self, name: str) -> str:
        """`clang`, `llvm-ar`, …: the toolchain's own, or else the system's."""
        own = self._tools / name
        found = str(own) if own.exists() else shutil.which(name)
        if found is None:
            raise stop(f"the Swift toolchain in {self._tools.parent} has no {name}, and neither has the system")
        return found

    @staticmethod
    def output(words: list[str]) -> str:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise stop(f"{' '.join(words)} failed:\n{done.stderr.strip()}")
        return done.stdout

    def library(self, name: str) -> Path | None:
        """Where the linker would find a file of that name."""
        path = Path(self.output([self.tool("clang++"), f"-print-file-name={name}"]).strip())
        return path.resolve() if path.is_absolute() and path.exists() else None

    def build(self, product: str, *arguments: str, **variables: str) -> Path:
        """Builds a product in release mode and returns the directory that it is in. Tells what it does on standard error."""
        words = [self._swift, "build", "-c", "release", "--static-swift-stdlib", "--package-path", str(ROOT)]
        environment = os.environ | variables | self._headers()
        # One of the caller's would win over the manifest's own.
        for name in ("LIBRARY_PATH", "PYTHONPATH"):
            environment.pop(name, None)
        print(f"==> Building {product} in release mode (the first time takes some minutes)", file=sys.stderr, flush=True)
        done = subprocess.run(
            [*words, "--product", product, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace")
        if done.returncode:
            lines = done.stdout.splitlines()
            errors = [line for line in lines if "error:" in line]
            raise stop(f"the build of {product} failed:\n" + "\n".join(errors[:40] or lines[-40:]))
        return Path(self.output([*words, "--show-bin-path"]).strip())

    @staticmethod
    def _headers() -> dict[str, str]:
        """For Package.swift, which asks pkg-config where Python.h is: without an answer, that of the interpreter that runs this.

        Which version it is does not matter: the module keeps to the stable ABI.
        """
        asked = shutil.which("pkg-config") and subprocess.run(["pkg-config", "--exists", "python3"]).returncode == 0
        include = Path(sysconfig.get_path("include"))
        if asked or not (include / "Python.h").exists():
            return {}
        directory = ROOT / ".build" / "wheel" / "pkgconfig"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "python3.pc").write_text(
            f"Name: Python\nDescription: Headers of Python\nVersion: {sys.version_info[0]}.{sys.version_info[1]}\nCflags: -I{include}\n")
        path = os.environ.get("PKG_CONFIG_PATH")
        return {"PKG_CONFIG_PATH": f"{directory}:{path}" if path else str(directory)}
