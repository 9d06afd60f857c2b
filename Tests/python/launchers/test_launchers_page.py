"""The examples of docs/launchers.md are run, section by section."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

PAGE = (ROOT / "docs/launchers.md").read_text()
#: Heading to the systems that its example runs on: the first that is there.
SECTIONS = {
    "Controllers elsewhere": ["slurm", "real slurm"],
    "SSH": ["ssh"], "MPI": ["openmpi", "mpich"], "Slurm": ["slurm", "real slurm"], "PBS": ["pbs"], "Grid Engine": ["sge", "real sge"], "LSF": ["lsf"],
    "HTCondor": ["htcondor"]}


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("heading", "name"), [(heading, name) for heading, names in SECTIONS.items() for name in names])
def test_an_example(make_cluster, heading, name):
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL).group(1)
    cluster = make_cluster(name)
    cluster.configure({})
    for file in blocks(section, "text"):
        (cluster.folder / "hosts.txt").write_text(file)
    for text in blocks(section, "python"):
        # What stands for the reader's own machines.
        text = text.replace("/opt/venv/bin/python", sys.executable).replace("['mpiexec']", f"['{getattr(cluster.stand.system, 'command', '')}']")
        (cluster.profile / "ipcluster_config.py").write_text(text)
        for line in blocks(section, "sh")[0].splitlines():
            command, *words = shlex.split(line)
            assert command == "apus"
            done = cluster.run(*words)
            assert done.returncode == 0, f"{line}\n{done.stderr}{done.stdout}"
            if words[0] == "px":
                assert done.stdout.count("Out[") == (4 if heading in ("SSH", "Slurm") else 2)
        cluster.has_left_nothing()
