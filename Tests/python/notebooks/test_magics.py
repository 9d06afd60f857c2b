"""The parallel magics in a shell, on a view that is played: what is run where, what is waited for, what Ctrl-C does."""

from __future__ import annotations

import pytest
from apus import error
from apus.magics import ParallelMagics
from IPython.core.error import UsageError
from stands import PlayedView


@pytest.fixture
def activate(shell):
    """`activate(suffix="", **run)` -> (view, magics)."""

    def activate(suffix="", **run):
        view = PlayedView(**run)
        magics = ParallelMagics(shell, view, suffix)
        shell.magics_manager.register(magics)
        return view, magics

    return activate


def composite(n):
    return error.CompositeError("one or more", [("ValueError", "x", "traceback", {"engine_id": engine}) for engine in range(n)])


# -- where code goes


def test_px_runs_a_line_as_it_is(shell, activate):
    view, magics = activate()
    shell.user_ns["x"] = "here"
    shell.run_line_magic("px", 'y = f"{x} $x"')
    assert [run.code for run in view.runs] == ['y = f"{x} $x"']
    assert magics.last_result is view.runs[0]
    assert view.runs[0]._fname == "%px"


@pytest.mark.parametrize(
    "text, targets",
    [
        ("all", "all"), ("'all'", "all"), ("2", 2), ("-1", 3), (":", [0, 1, 2, 3]), ("::2", [0, 2]), ("1:3", [1, 2]), ("-2:", [2, 3]),
        ("[0,3]", [0, 3]), ("[0,-1]", [0, 3]), ("0,2", [0, 2]), ("mine", [1, 3]), ("n:", [2, 3]), ("range(2)", [0, 1]),
    ],
)  # fmt: skip
def test_targets(shell, activate, text, targets):
    view, _ = activate()
    shell.user_ns.update(mine=(1, 3), n=2)
    shell.run_cell_magic("px", f"--targets={text}", "pass")
    assert view.runs[0]._targets == targets
    assert view.targets == [0, 1]
    shell.run_line_magic("pxconfig", f"--targets={text}")
    assert view.targets == targets


@pytest.mark.parametrize("text", ["nobody", "7:::", "1.5", "[0,", "None", "-9"])
def test_targets_that_are_none(shell, activate, text):
    view, _ = activate()
    with pytest.raises(UsageError, match="--targets"):
        shell.run_cell_magic("px", f"-t {text}", "pass")
    assert not view.runs and view.targets == [0, 1]


def test_a_failed_submission_leaves_the_targets(shell, activate):
    view, _ = activate()

    def execute(*_, **__):
        raise error.NoEnginesRegistered()

    view.execute = execute
    with pytest.raises(error.NoEnginesRegistered):
        shell.run_cell_magic("px", "-t 3", "pass")
    assert view.targets == [0, 1]


def test_suffixes_are_views_of_their_own(shell, activate):
    one, _ = activate("_one")
    two, _ = activate("_two")
    shell.run_line_magic("px_one", "a")
    shell.run_line_magic("px_two", "b")
    shell.run_line_magic("pxconfig_two", "--noblock")
    assert ([run.code for run in one.runs], [run.code for run in two.runs]) == (["a"], ["b"])
    assert (one.block, two.block) == (True, False)
    assert shell.find_line_magic("result") is None
    activate()
    assert shell.find_line_magic("result") is not None


def test_local_runs_here_while_engines_run(shell, activate):
    view, _ = activate()
    shell.run_cell_magic("px", "--local", "where = 6 * 7")
    assert shell.user_ns["where"] == 42
    assert view.runs[0].code == "where = 6 * 7"
    assert "wait 2" in view.runs[0].calls
    result = shell.run_cell_magic("px", "--local --noblock", "where = 43")
    assert (result, shell.user_ns["where"]) == (view.runs[1], 43)
    assert view.runs[1].calls == []


def test_out_is_expanded_and_stored(shell, activate):
    view, _ = activate()
    shell.user_ns["name"] = "mine"
    assert shell.run_cell_magic("px", "--noblock -o {name}", "pass") is view.runs[0]
    assert shell.user_ns["mine"] is view.runs[0]


def test_unknown_options_are_said(shell, activate):
    view, _ = activate()
    for line in ("--nonsense", "--group-outputs=nobody", "--progress-after soon", "--signal-on-interrupt SIGNONE"):
        with pytest.raises(UsageError):
            shell.run_cell_magic("px", line, "pass")
    assert not view.runs


def test_verbose_says_where(shell, activate, capsys):
    view, _ = activate()
    shell.run_line_magic("px", "pass")
    assert capsys.readouterr().out == ""
    shell.run_line_magic("pxconfig", "--verbose")
    shell.run_line_magic("px", "pass")
    shell.run_cell_magic("px", "--noblock --targets all", "pass")
    shell.run_cell_magic("px", "--no-verbose", "pass")
    assert capsys.readouterr().out == (
        "Parallel execution on engine(s): [0, 1]\nAsync parallel execution on engine(s): all\n"
    )


def test_help_has_our_options(shell, activate):
    activate()
    for name, options in {"px": ("--targets", "--local", "-o"), "pxresult": ("--group-outputs",)}.items():
        magic = shell.magics_manager.magics["cell" if name == "px" else "line"][name]
        assert all(option in magic.__doc__ for option in options)
        assert f"%{name}" in magic.__doc__


# -- waiting


def test_output_is_streamed_or_shown_at_the_end(shell, activate):
    view, _ = activate()
    shell.run_cell_magic("px", "--stream", "pass")
    shell.run_cell_magic("px", "--no-stream -e", "pass")
    shell.run_cell_magic("px", "--no-stream --group-outputs=order", "pass")
    assert [run.calls for run in view.runs] == [
        ["stream", "wait 2", "output", "end of stream", "get"],
        ["wait 2", "output", "display by engine", "get"],
        ["wait 2", "output", "display by order", "get"],
    ]


@pytest.mark.parametrize(
    "seconds, waits, calls",
    [
        ("3", [True], ["wait 3"]), ("3", [False, True], ["wait 3", "progress"]), ("0", [True], ["progress"]), ("-1", [True], ["wait"]),
        ("0.5", [True], ["wait 0.5"]),
    ],
)  # fmt: skip
def test_progress_after(shell, activate, seconds, waits, calls):
    view, _ = activate(waits=waits)
    shell.run_cell_magic("px", f"--no-stream --progress-after {seconds}", "pass")
    assert view.runs[0].calls[: len(calls) + 1] == [*calls, "output"]


def test_errors_that_were_shown_are_counted(shell, activate):
    activate(failure=composite(2), errors=["shown", "shown"])
    with pytest.raises(error.AlreadyDisplayedError) as caught:
        shell.run_cell_magic("px", "--stream", "pass")
    assert caught.value.render_traceback() == ["2 errors"]
    with pytest.raises(error.CompositeError):
        shell.run_cell_magic("px", "--no-stream", "pass")


def test_errors_that_nobody_saw_are_raised(shell, activate):
    # An engine was lost: it has printed no error.
    activate(failure=composite(2), errors=["shown", None])
    with pytest.raises(error.CompositeError):
        shell.run_cell_magic("px", "--stream", "pass")


def test_pxresult(shell, activate):
    view, _ = activate()
    with pytest.raises(UsageError):
        shell.run_line_magic("pxresult", "")
    shell.run_cell_magic("px", "--noblock", "pass")
    shell.run_line_magic("pxresult", "-r")
    assert view.runs[0].calls == ["wait", "output", "display by order", "get"]
    shell.run_line_magic("result", "-o kept")
    assert shell.user_ns["kept"] is view.runs[0]


def test_pxresult_shows_the_output_of_what_failed(shell, activate):
    view, _ = activate(failure=composite(1))
    shell.run_cell_magic("px", "--noblock", "pass")
    with pytest.raises(error.CompositeError):
        shell.run_line_magic("pxresult", "")
    assert "display by type" in view.runs[0].calls


# -- Ctrl-C


def test_interrupt_goes_to_the_engines_that_still_run(shell, activate, capsys):
    view, _ = activate(waits=[KeyboardInterrupt, True], pending=[1])
    shell.run_cell_magic("px", "", "pass")
    assert view.signals == [("SIGINT", [1])]
    # What has not begun is taken back first.
    assert view.runs[0].calls == ["stream", "wait 2", "end of stream", "abort", "until 2"]
    assert capsys.readouterr().err == "Received Keyboard Interrupt. Sending signal SIGINT to engines...\n"


def test_interrupt_without_streaming_shows_what_there_is(shell, activate):
    view, _ = activate(waits=[KeyboardInterrupt, True], pending=[1])
    shell.run_cell_magic("px", "--no-stream", "pass")
    assert view.runs[0].calls[-1] == "display by type"
    view, _ = activate(waits=[KeyboardInterrupt, False, False], pending=[1])
    shell.run_cell_magic("px", "--no-stream", "pass")
    assert "display by type" not in view.runs[0].calls


def test_engines_that_have_not_begun_get_no_signal(shell, activate, capsys):
    view, _ = activate(waits=[KeyboardInterrupt, False, False, False], begun=[1])
    shell.run_cell_magic("px", "", "pass")
    assert view.signals == [("SIGINT", [1])]
    assert "It was taken back from engines [0], which have other tasks first." in capsys.readouterr().err
    view, _ = activate(waits=[KeyboardInterrupt, False], begun=[])
    shell.run_cell_magic("px", "", "pass")
    assert view.signals == []
    assert view.runs[0].calls[-2:] == ["abort", "until 0.25"]


def test_engines_that_go_on_are_named(shell, activate, capsys):
    view, _ = activate("_all", waits=[KeyboardInterrupt, False, False], pending=[0, 1])
    shell.run_cell_magic("px_all", "", "pass")
    told = capsys.readouterr().err
    assert "Waiting for engines [0, 1] to end it; another interrupt leaves them to it." in told
    assert told.endswith("Engines [0, 1] still run it; %pxresult_all waits for them.\n")
    assert view.runs[0].calls[-2:] == ["until 2", "until 10"]


@pytest.mark.parametrize("text, sent", [("SIGKILL", "SIGKILL"), ("9", 9), ("SIGUSR1", "SIGUSR1"), ("0", None)])
def test_the_signal_is_chosen(shell, activate, capsys, text, sent):
    view, _ = activate(waits=[KeyboardInterrupt, True])
    shell.run_cell_magic("px", f"--signal-on-interrupt {text}", "pass")
    assert view.signals == ([(sent, [0, 1])] if sent else [])
    assert f"Sending signal {text} to engines..." in capsys.readouterr().err
    assert ("abort" in view.runs[0].calls) == (text != "0")
    # A signal that ends nothing is not waited for.
    assert view.runs[0].calls.count("until 2") == (1 if text in ("SIGKILL", "9") else 0)


def test_a_second_interrupt_comes_through(shell, activate):
    activate(waits=[KeyboardInterrupt, KeyboardInterrupt])
    with pytest.raises(KeyboardInterrupt):
        shell.run_cell_magic("px", "", "pass")


def test_pxconfig_sets_defaults(shell, activate):
    view, magics = activate(waits=[False, KeyboardInterrupt, True])
    shell.run_line_magic("pxconfig", "--progress-after 0.25 --signal-on-interrupt SIGTERM --no-stream")
    assert (magics.progress_after_seconds, magics.signal_on_interrupt, magics.stream_output) == (0.25, "SIGTERM", False)
    shell.run_line_magic("px", "pass")
    assert view.runs[0].calls[:2] == ["wait 0.25", "progress"]
    assert view.signals == [("SIGTERM", [0, 1])]
