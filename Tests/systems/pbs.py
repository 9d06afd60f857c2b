"""PBS's commands on Slurm: Debian's wrappers for those who come from Torque, on a Slurm of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .daemons import SystemFailed
from .slurm import Slurm

ROOT = Path(__file__).resolve().parents[2]
#: Unpacked and not installed: the package's commands have the names of Grid Engine's, and both cannot be on one machine.
_WRAPPERS = ROOT / ".build/systems/pbs-on-slurm"
_PACKAGES = ("slurm-wlm-torque", "libslurm-perl", "libslurmdb-perl", "libswitch-perl")


def _unpack() -> str | None:
    """Fetches the wrappers, once for all tests. Returns why not, where that is so."""
    if _WRAPPERS.exists():
        return None
    for program in ("apt-get", "dpkg", "perl"):
        if shutil.which(program) is None:
            return f"needs {program}"
    _WRAPPERS.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=_WRAPPERS.parent))
    try:
        done = subprocess.run(["apt-get", "-qq", "download", *_PACKAGES], cwd=folder, capture_output=True, text=True, timeout=120)
        if done.returncode:
            return f"needs what 'apt-get download {' '.join(_PACKAGES)}' gets: {done.stderr.strip()[-200:]}"
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(folder / "root")], check=True, timeout=60)
            package.unlink()
        try:
            # Another run may have been faster.
            folder.rename(_WRAPPERS)
        except OSError:
            if not _WRAPPERS.exists():
                raise
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PBSOnSlurm(Slurm):
    @classmethod
    def missing(cls) -> str | None:
        return super().missing() or _unpack()

    def bring_up(self) -> None:
        programs = self.folder / "bin"
        programs.mkdir()
        for name in ("qsub", "qstat", "qdel"):
            shutil.copy(_WRAPPERS / "root/usr/bin" / name, programs)
        # The wrappers look for these beside themselves.
        for name in ("sbatch", "salloc", "srun", "scancel", "squeue", "scontrol", "sacct", "sinfo"):
            path = shutil.which(name)
            if path:
                (programs / name).symlink_to(path)
        version = subprocess.run(["perl", "-e", 'printf "%vd", $^V'], capture_output=True, text=True, check=True).stdout
        libraries = [
            *(_WRAPPERS / "root/usr/lib").glob(f"*/perl5/{'.'.join(version.split('.')[:2])}"), _WRAPPERS / "root/usr/share/perl5"]
        self.variables["PERL5LIB"] = ":".join(map(str, libraries))
        self.variables["PATH"] = f"{programs}:{os.environ['PATH']}"
        super().bring_up()

    @property
    def plugins(self) -> str:
        """It puts PBS's variables into jobs."""
        found = [path for folder in Path("/usr/lib").glob("*/slurm*") for path in folder.glob("spank_pbs.so")]
        if not found:
            raise SystemFailed("Slurm's plugin spank_pbs.so is not there (package slurm-wlm-basic-plugins)")
        return f"optional {found[0]}\n"
