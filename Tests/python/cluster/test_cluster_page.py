"""Every code block of docs/python-cluster.md runs, one after the other in one profile, as its reader would run it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

PAGE = ROOT / "docs" / "python-cluster.md"


def blocks(on_hosts=False):
    """Those that need hosts are run where there are some: test_cluster_ssh.py."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    return [block for block in found if ("hosts=" in block[1]) == on_hosts]


def test_blocks(python, profile, bin_dir):
    found = blocks()
    assert len(found) > 8
    for language, text in found:
        if text.startswith("# ipcluster_config.py"):
            profile.joinpath("ipcluster_config.py").write_text(text)
        elif language == "python":
            program = python(text)
            output, errors = program.communicate(timeout=120)
            assert program.returncode == 0, f"{text}\n{errors}"
            for expected in re.findall(r"^ +# (the controller ended|error: .*)|print\(.*?\) +# (\[.*\])$", text, re.M):
                assert (expected[0] or expected[1]) in output, f"{text}\n{output}"
        else:
            assert language == "console"
            for line in re.findall(r"^\$ (.*)$", text, re.M):
                path = os.pathsep.join([str(bin_dir), os.environ["PATH"]])
                done = subprocess.run(line, shell=True, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60)
                assert done.returncode == 0, f"{line}\n{done.stderr}"
