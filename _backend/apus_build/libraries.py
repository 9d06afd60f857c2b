"""A directory of libraries that the linker finds before the system's: static ones, made of what the distribution ships.

Package.swift puts the directory first on the linker's path when the environment variable APUS_LIBRARIES names it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from .project import ROOT, stop
from .toolchain import Toolchain

_HERE = Path(__file__).resolve().parent

#: Functions that `module.c` puts itself in front of, in the extension module.
WRAPPED = ["stderr", "PyObject_GetBuffer", "PyBuffer_Release", "PyBuffer_IsContiguous", "PyBuffer_FillInfo"]

#: Archives, and the packages that have them on Debian and Ubuntu. libbsd has `strlcpy`, which newer C libraries have themselves.
_ARCHIVES = {
    "libzmq.a": "libzmq3-dev", "libsodium.a": "libsodium-dev", "libjemalloc_pic.a": "libjemalloc-dev", "libsqlite3.a": "libsqlite3-dev",
    "libstdc++.a": "g++",
}
_OPTIONAL = ["libbsd.a"]


class StaticLibraries:
    """The directory, and what else the links need."""

    def __init__(self, toolchain: Toolchain):
        self._toolchain = toolchain
        self._archives = self._find()
        # What they are made of names the directory: a change is seen by the build, which knows its flags and not these files.
        self.directory = ROOT / ".build" / "wheel" / f"libraries-{self._digest()}"
        if not self.directory.exists():
            unfinished = self.directory.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            self._fill(unfinished)
            unfinished.rename(self.directory)

    @property
    def variables(self) -> dict[str, str]:
        """For the build."""
        return {"APUS_LIBRARIES": str(self.directory)}

    @property
    def for_program(self) -> list[str]:
        # An object, not an archive: symbols of archives are hidden in Swift's static programs, and then the C library would go on with
        # its own malloc beside this one.
        return ["-Xlinker", str(self.directory / "jemalloc.o")]

    @property
    def for_module(self) -> list[str]:
        words = ["-Xlinker", str(self.directory / "module.o")]
        for name in WRAPPED:
            words += ["-Xlinker", f"--wrap={name}"]
        return words

    @property
    def preloaded_allocator(self) -> Path:
        """jemalloc once more as a shared library, for engines: their program is Python."""
        return self.directory / "libjemalloc.so.2"

    @property
    def licences(self) -> dict[str, Path]:
        """Of what is in the products: names and files, as far as the distribution has them."""
        places = {name.split(".")[0]: Path("/usr/share/doc") / package / "copyright" for name, package in _ARCHIVES.items()}
        places["libbsd"] = Path("/usr/share/doc/libbsd-dev/copyright")
        places["libstdc++"] = Path("/usr/share/doc/libgcc-s1/copyright")
        places["swift"] = self._toolchain.licence
        return {name: path for name, path in places.items() if path.exists()}

    def _find(self) -> dict[str, Path]:
        found = {name: self._toolchain.library(name) for name in [*_ARCHIVES, *_OPTIONAL]}
        missing = [package for name, package in _ARCHIVES.items() if found[name] is None]
        if missing:
            raise stop(
                f"a wheel holds static libraries, and this machine lacks some: {' '.join(missing)} (named as on Debian)",
                "Install them, or link this machine's shared libraries: pip install . --config-settings libraries=system")
        return {name: path for name, path in found.items() if path is not None}

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for source in sorted([*_HERE.glob("*.c"), Path(__file__)]):
            digest.update(source.read_bytes())
        for path in self._archives.values():
            status = path.stat()
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
        digest.update(self._toolchain.tool("clang").encode())
        return digest.hexdigest()[:12]

    def _fill(self, directory: Path) -> None:
        clang, ar = self._toolchain.tool("clang"), self._toolchain.tool("llvm-ar")

        def run(*words: str | Path) -> None:
            done = subprocess.run([str(word) for word in words], cwd=directory, capture_output=True, text=True, errors="replace")
            if done.returncode:
                raise stop(f"{' '.join(map(str, words))} failed:\n{done.stderr.strip()}")

        for name in ("absent", "module"):
            run(clang, "-O2", "-fPIC", "-fvisibility=hidden", "-Wall", "-Werror", "-c", _HERE / f"{name}.c", "-o", f"{name}.o")
        run(ar, "rcs", "libabsent.a", "absent.o")
        # Scripts of the linker, under the names of archives. They may be read twice.
        parts = [self._archives["libzmq.a"], self.directory / "libabsent.a", self._archives["libsodium.a"], self._archives.get("libbsd.a")]
        (directory / "libzmq.a").write_text(f"GROUP ( {' '.join(str(part) for part in parts if part)} )\n")
        for name in ("libsqlite3.a", "libstdc++.a"):
            (directory / name).symlink_to(self._archives[name])
        # Without its C++ operators, which libstdc++ has too: those call malloc.
        shutil.copy(self._archives["libjemalloc_pic.a"], directory / "c.a")
        run(ar, "d", "c.a", "jemalloc_cpp.pic.o", "jemalloc_cpp.o")
        whole = ["-Wl,--whole-archive", "c.a", "-Wl,--no-whole-archive"]
        run(clang, "-nostdlib", "-r", "-o", "jemalloc.o", *whole)
        run(clang, "-shared", "-o", "libjemalloc.so.2", "-Wl,-soname,libjemalloc.so.2", "-Wl,--strip-all", *whole, "-lm", "-lpthread", "-ldl")
        # For `-ljemalloc`: nothing is left to find.
        (directory / "libjemalloc.a").write_bytes(b"!<arch>\n")
        (directory / "c.a").unlink()
