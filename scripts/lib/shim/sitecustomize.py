"""Puts other executables in the place of ``python -m ipyparallel.controller``, ``.engine`` and ``.cluster``.

On PYTHONPATH, each start of an interpreter imports this first. When it was asked for exactly one of those modules and
``APUS_IPCONTROLLER``, ``APUS_IPENGINE`` or ``APUS_IPCLUSTER`` names an executable, the process becomes that executable,
with the same arguments. The process id stays, so signals, polling and cluster files go on working. Any other start, and
any other module (``ipyparallel.engine.nanny``, say), is left alone. Each replacement is one line in the file that
``APUS_REPLACED`` names, so that a run can prove what it ran.
"""

import os
import sys


def _become() -> None:
    words = sys.orig_argv
    if "-m" not in words:
        return
    at = words.index("-m") + 1
    for role in ("controller", "engine", "cluster"):
        executable = os.environ.get(f"APUS_IP{role.upper()}")
        if executable and words[at:at + 1] == [f"ipyparallel.{role}"]:
            with open(os.environ.get("APUS_REPLACED", os.devnull), "a", encoding="utf-8") as file:
                file.write(role + "\n")
            os.execv(executable, [executable, *words[at + 1:]])


_become()
