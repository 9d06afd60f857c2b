"""Engines as a backend of joblib: `apus.joblib.register()`."""

from ._joblib import IPythonParallelBackend, register

__all__ = ["IPythonParallelBackend", "register"]
