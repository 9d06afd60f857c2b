"""Batch systems that are played: their commands are stand-ins on PATH, which run jobs as processes and do what a case wants to go wrong."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from .daemons import System

_COMMANDS = {
    "slurm": ("sbatch", "srun", "squeue", "scancel", "scontrol", "sacct"),
    "pbs": ("qsub", "qstat", "qdel", "qsig"),
    "sge": ("qsub", "qstat", "qdel", "qacct"),
    "lsf": ("bsub", "bjobs", "bkill"),
    "htcondor": ("condor_submit", "condor_q", "condor_rm", "condor_history"),
}
_DELETE = {"slurm": "scancel", "pbs": "qdel", "sge": "qdel", "lsf": "bkill", "htcondor": "condor_rm"}


class PlayedSystem(System):
    def __init__(self, folder: Path, kind: str):
        super().__init__(folder)
        self.kind = kind

    def bring_up(self) -> None:
        programs = self.folder / "bin"
        programs.mkdir()
        target = Path(__file__).parent / "standins" / "command.py"
        for name in _COMMANDS[self.kind]:
            program = programs / name
            # A link keeps the name that the stand-in is called by.
            program.symlink_to(target)
        self.variables = {
            "PATH": f"{programs}:{os.environ['PATH']}", "STANDIN_DIR": str(self.folder), "STANDIN_KIND": self.kind}

    def faults(self, **wanted) -> None:
        new = self.folder / "faults.json.new"
        new.write_text(json.dumps(wanted))
        new.rename(self.folder / "faults.json")

    def calls(self, name: str | None = None) -> list[list[str]]:
        """Commands that were called, in order."""
        try:
            lines = (self.folder / "calls").read_text().splitlines(keepends=True)
        except OSError:
            return []
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [call for call in found if name in (None, call[0])]

    def elements(self) -> list:
        """All elements of all jobs, as the stand-ins have them."""
        os.environ["STANDIN_DIR"] = str(self.folder)
        sys.path.insert(0, str(Path(__file__).parent / "standins"))
        try:
            sys.modules.pop("jobs", None)
            import jobs
        finally:
            sys.path.pop(0)
        if not jobs.JOBS.exists():
            return []
        found = [jobs.elements(path.name) or [] for path in sorted(jobs.JOBS.iterdir(), key=lambda path: int(path.name))]
        return [element for elements in found for element in elements]

    def jobs(self) -> list[str]:
        """Ids of jobs that wait or run."""
        return sorted({element.job for element in self.elements() if element.exit_code is None})

    def cancel(self, job: str) -> None:
        array = self.folder / "jobs" / job / "array"
        name = f"{job}{array.read_text()}.standin" if self.kind == "pbs" else job
        self.run(_DELETE[self.kind], name)

    def drain(self) -> None:
        import signal

        for element in self.elements():
            if element.exit_code is None:
                element.kill(signal.SIGKILL)
