"""%autopx: cells go to the engines until it is turned off."""

from __future__ import annotations

import pytest
from apus.magics import ParallelMagics
from stands import PlayedView


@pytest.fixture
def view(shell):
    view = PlayedView()
    shell.magics_manager.register(ParallelMagics(shell, view))
    return view


def test_cells_go_to_the_engines(shell, view, capsys):
    shell.run_cell("%autopx")
    shell.run_cell("a = 5\nb = f'{a}'\n")
    shell.run_cell("if a:\n    print(a)\n")
    shell.run_cell("%%time\nb")
    shell.run_cell("!ls")
    shell.run_cell("%autopx")
    shell.run_cell("here = 1")
    assert [run.code for run in view.runs] == ["a = 5\nb = f'{a}'", "if a:\n    print(a)", "%%time\nb", "!ls"]
    assert "a" not in shell.user_ns and shell.user_ns["here"] == 1
    assert capsys.readouterr().out == "%autopx enabled\n%autopx disabled\n"


def test_own_magics_run_here(shell, view):
    shell.run_cell("%autopx")
    shell.run_cell("%%px --targets 3\nwhere\n")
    shell.run_cell("%px x")
    shell.run_cell("%pxconfig --noblock")
    shell.run_cell("%pxother")
    shell.run_cell("  \n")
    assert [(run.code, run._targets) for run in view.runs] == [("where\n", 3), ("x", [0, 1]), ("%pxother", [0, 1])]
    assert view.block is False


def test_local_cells_run_here(shell, view):
    shell.run_cell("%autopx")
    shell.run_cell("%%px --local\nboth = 1\n")
    assert [run.code for run in view.runs] == ["both = 1\n"]
    assert shell.user_ns["both"] == 1


def test_results_without_waiting_are_not_shown(shell, view, capsys):
    view.block = False
    shell.run_cell("%autopx")
    assert shell.run_cell("1").result is None
    assert capsys.readouterr().out == "%autopx enabled\n"


def test_another_view_takes_over(shell, view):
    shell.run_cell("%autopx")
    other = PlayedView()
    shell.magics_manager.register(ParallelMagics(shell, other))
    shell.run_cell("a")
    shell.run_cell("%autopx")
    shell.run_cell("here = 1")
    assert (len(view.runs), len(other.runs)) == (0, 1)
    assert shell.user_ns["here"] == 1


def test_it_does_not_change_what_is_complete(shell, view):
    before = [shell.check_complete(text) for text in ("for a in b:", "a = (", "a = 1")]
    shell.run_cell("%autopx")
    assert [shell.check_complete(text) for text in ("for a in b:", "a = (", "a = 1")] == before


def test_suffix(shell, view, capsys):
    even = PlayedView()
    shell.magics_manager.register(ParallelMagics(shell, even, "_even"))
    shell.run_cell("%autopx_even")
    shell.run_cell("a")
    shell.run_cell("%px b")
    shell.run_cell("%autopx_even")
    # The magics without the suffix are another view's; engines would not know them, and say so.
    assert [run.code for run in even.runs] == ["a", "%px b"]
    assert capsys.readouterr().out == "%autopx_even enabled\n%autopx_even disabled\n"
