#!/usr/bin/env python3
"""Every command of every batch system that is played: the name it is called by says which. ``STANDIN_KIND`` tells qsub of PBS from that of Grid
Engine. Records the call, does what the case wants to go wrong, and answers as the system would."""

import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import jobs  # noqa: E402

if __name__ == "__main__":
    jobs.record()
    name = os.path.basename(sys.argv[0])
    module = importlib.import_module({"sge": "gridengine"}.get(os.environ["STANDIN_KIND"], os.environ["STANDIN_KIND"]))
    getattr(module, name)(sys.argv[1:])
