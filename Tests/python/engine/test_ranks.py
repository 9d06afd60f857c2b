"""What an engine makes of the environment that mpiexec gives it."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

sys.path.insert(0, str(ROOT / "python"))

from apus.engine import ranks  # noqa: E402
from apus.engine.options import OptionError  # noqa: E402


def test_ranks_of_each_kind_of_mpiexec():
    assert ranks.launched({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}) == (2, 4)
    assert ranks.launched({"PMI_RANK": "0", "PMI_SIZE": "3"}) == (0, 3)
    assert ranks.launched({"PMI_RANK": "x", "PMI_SIZE": "3"}) is None
    assert ranks.launched({}) is None


def mpi4py(monkeypatch, rank: int, size: int) -> None:
    """A package that finds itself as one rank of so many."""
    world = types.SimpleNamespace(Get_rank=lambda: rank, Get_size=lambda: size)
    package = types.ModuleType("mpi4py")
    package.MPI = types.SimpleNamespace(COMM_WORLD=world, Get_library_version=lambda: "Other MPI 1.0\nmore")
    monkeypatch.setitem(sys.modules, "mpi4py", package)


def test_a_package_built_for_another_mpi_is_named(monkeypatch):
    monkeypatch.setattr(ranks, "launched", lambda: (1, 3))
    mpi4py(monkeypatch, 1, 3)
    assert ranks.rank_and_size(None) == (1, 3)
    mpi4py(monkeypatch, 0, 1)
    with pytest.raises(OptionError, match=r"another MPI \(Other MPI 1.0\)"):
        ranks.rank_and_size(None)


def test_without_the_package_ranks_are_ids_and_a_word_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setattr(ranks, "launched", lambda: (1, 3))
    said = []
    assert ranks.rank_and_size(lambda level, text: said.append(text)) == (1, 3)
    assert "mpi4py" in said[0]
    monkeypatch.setattr(ranks, "launched", lambda: None)
    with pytest.raises(OptionError, match="mpi4py"):
        ranks.rank_and_size(None)
