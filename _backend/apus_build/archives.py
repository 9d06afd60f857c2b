"""Writes wheels and source distributions. The same contents give the same bytes."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

from .project import INFO, NAME, ROOT, VERSION, metadata

#: Of everything in an archive, in seconds since 1970: 1980 is the first year that zip files know.
_DATE = max(int(os.environ.get("SOURCE_DATE_EPOCH", 0)), 315_532_800)


class Wheel:
    """A wheel that is being filled."""

    def __init__(self, directory: str | Path, tag: str):
        self.name = f"{NAME}-{VERSION}-{tag}.whl"
        self._path = Path(directory) / self.name
        self._archive = zipfile.ZipFile(self._path, "w", zipfile.ZIP_DEFLATED, compresslevel=9)
        self._record: list[str] = []

    def add(self, name: str, content: bytes, *, executable: bool = False) -> None:
        self._write(name, content, 0o755 if executable else 0o644)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        self._record.append(f"{name},sha256={digest},{len(content)}\n")

    def add_all(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            self.add(name, content)

    def finish(self) -> str:
        """Closes it and returns its name."""
        name = f"{INFO}/RECORD"
        self._write(name, "".join([*self._record, f"{name},,\n"]).encode(), 0o644)
        self._archive.close()
        return self.name

    def _write(self, name: str, content: bytes, mode: int) -> None:
        entry = zipfile.ZipInfo(name, time.gmtime(_DATE)[:6])
        entry.create_system = 3  # Unix: the mode counts
        entry.external_attr = (0o100000 | mode) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        self._archive.writestr(entry, content, compresslevel=9)

    def __enter__(self) -> Wheel:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is not None:
            # A half-written wheel has the name of a whole one.
            self._archive.close()
            self._path.unlink(missing_ok=True)


def sources() -> list[str]:
    """The files of the project, relative to its root: what git tracks; in an unpacked source distribution everything that was in it."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
        names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    else:
        names = []
        for directory, directories, files in os.walk(ROOT):
            directories[:] = [name for name in directories if name not in _NOT_SOURCES and not name.endswith(".egg-info")]
            names += [os.path.relpath(os.path.join(directory, name), ROOT) for name in files if not name.endswith((".pyc", ".so", ".whl"))]
    # Not tracked, but what was tested: the versions of the Swift packages.
    if (ROOT / "Package.resolved").exists():
        names.append("Package.resolved")
    return sorted(set(names) - {"PKG-INFO"})


_NOT_SOURCES = {".build", ".git", ".venv", "__pycache__", ".pytest_cache", "dist", "build"}


def write_source_distribution(directory: str | Path) -> str:
    name = f"{NAME}-{VERSION}"
    path = Path(directory) / f"{name}.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, compresslevel=9) as archive:

        def add(member: str, content: bytes, mode: int) -> None:
            entry = tarfile.TarInfo(f"{name}/{member}")
            entry.size, entry.mode, entry.mtime = len(content), mode, _DATE
            archive.addfile(entry, io.BytesIO(content))

        add("PKG-INFO", metadata().encode(), 0o644)
        for member in sources():
            file = ROOT / member
            add(member, file.read_bytes(), 0o755 if os.access(file, os.X_OK) else 0o644)
    return path.name
