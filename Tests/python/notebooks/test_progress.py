"""Progress bars with and without tqdm, on a terminal and in a notebook."""

from __future__ import annotations

import io
import sys
import types

import pytest
from apus import progressbar
from apus.progressbar import NotebookBar, TerminalBar, progress, writing


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def screen(self):
        """What stands on the terminal's lines after all that was written."""
        lines, column = [""], 0
        for character in self.getvalue():
            if character == "\n":
                lines.append("")
                column = 0
            elif character == "\r":
                column = 0
            else:
                lines[-1] = lines[-1][:column].ljust(column) + character + lines[-1][column + 1 :]
                column += 1
        return [line.rstrip() for line in lines]


@pytest.fixture
def without(monkeypatch):
    def forbid(*names):
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return forbid


def test_tqdm_is_used_where_it_is(capsys):
    tqdm = pytest.importorskip("tqdm")
    with progress(total=4, desc="work", unit="tasks") as bar:
        assert isinstance(bar, tqdm.tqdm)
        bar.update(3)
    assert "work:  75%" in capsys.readouterr().out


def test_without_tqdm_ours_is_used(without):
    without("tqdm")
    file = Terminal()
    bar = progress(total=4, desc="work", file=file)
    assert isinstance(bar, TerminalBar)
    assert file.screen()[0].startswith("work:   0% |------------------------------| 0/4 tasks [00:00")
    bar.update(3)
    bar.refresh()
    assert file.screen()[0].startswith("work:  75% |######################--------| 3/4 tasks [00:00, 00:00 left, ")
    bar.set_description("more work")
    bar.set_postfix_str("2 engines")
    assert file.screen()[0].startswith("more work:  75%") and file.screen()[0].endswith("2 engines")
    bar.update(1)
    bar.close()
    bar.close()
    assert file.screen()[0].startswith("more work: 100% |##############################| 4/4 tasks")
    assert file.screen()[1:] == [""]


def test_a_file_gets_only_the_end(without):
    without("tqdm")
    file = io.StringIO()
    with progress(range(3), desc="count", file=file) as bar:
        assert list(bar) == [0, 1, 2]
    assert file.getvalue().startswith("count: 100%") and file.getvalue().count("\n") == 1


def test_an_unknown_total(without):
    without("tqdm")
    file = Terminal()
    with progress(file=file, unit="engine") as bar:
        bar.update(7)
    assert file.screen()[0].startswith("7 engines [00:00")
    with progress(total=1, file=file, unit="engine"):
        pass
    assert "| 0/1 engine [00:00" in file.screen()[1]


def test_a_zero_total(without):
    without("tqdm")
    file = Terminal()
    progress(total=0, file=file).close()
    assert file.screen()[0].startswith("0/0 tasks")


def test_drawing_is_rare(without, monkeypatch):
    without("tqdm")
    now = [100.0]
    monkeypatch.setattr(progressbar, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    file = Terminal()
    bar = progress(total=100_000, file=file)
    for _ in range(100_000):
        now[0] += 0.0001
        bar.update()
    assert 90 <= file.getvalue().count("\r") <= 110
    bar.close()
    assert "100000/100000 tasks [00:10, 1e+04/s]" in file.screen()[0]


def test_text_is_written_above_our_bar(without):
    without("tqdm")
    file = Terminal()
    bar = progress(total=2, desc="work", file=file)
    with writing():
        file.write("[stdout:0]\nhello\n")
    assert file.screen()[:2] == ["[stdout:0]", "hello"]
    assert file.screen()[2].startswith("work:   0%")
    bar.close()
    with writing():
        file.write("after\n")
    assert file.screen()[3:] == ["after", ""]


def test_text_is_written_above_tqdms_bar(monkeypatch):
    pytest.importorskip("tqdm")
    file = Terminal()
    monkeypatch.setattr(sys, "stdout", file)
    bar = progress(total=2, desc="work")
    with writing():
        file.write("[stdout:0]\nhello\n")
    assert file.screen()[:2] == ["[stdout:0]", "hello"]
    assert file.screen()[2].startswith("work:   0%")
    bar.close()


def test_a_notebook_without_widgets_has_a_bar_in_place(without, shell, monkeypatch):
    without("ipywidgets")
    shown = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda data, metadata=None, **more: shown.append((data, more)))
    bar = progress(total=4, desc="<work>", widget=True)
    assert isinstance(bar, NotebookBar)
    bar.update(3)
    bar.close()
    (first, options), (last, last_options) = shown[0], shown[-1]
    assert not options.get("update") and last_options["update"]
    assert options["transient"]["display_id"] == last_options["transient"]["display_id"]
    assert 'value="0.0000"' in first["text/html"] and 'value="0.7500"' in last["text/html"]
    assert "&lt;work&gt;" in last["text/html"] and "3/4 tasks" in last["text/plain"]


def test_a_notebook_is_known_by_its_kernel(shell, without, monkeypatch):
    without("ipywidgets")
    monkeypatch.setattr(shell.display_pub, "publish", lambda *_, **__: None)
    assert not isinstance(progress(total=1), NotebookBar)
    shell.kernel = object()
    try:
        assert isinstance(progress(total=1), NotebookBar)
    finally:
        del shell.kernel
