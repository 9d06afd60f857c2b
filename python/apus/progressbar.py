"""Progress bars: tqdm's where it is installed, otherwise one of ours, on a terminal and in a notebook."""

import sys
import time
from contextlib import contextmanager
from html import escape

#: Seconds between two drawings of a bar.
_INTERVAL = 0.1

#: Our bars that stand on a terminal now.
_on_terminal = []


def progress(iterable=None, *, total=None, initial=0, unit="tasks", desc=None, widget=None, file=None, **more):
    """A progress bar.

    total: how much is to be done; None if nobody knows. initial: how much is done already. unit: what is counted. desc: what stands
    before the bar. widget: True for a notebook's bar, False for a terminal's, None finds out. file: where a terminal's bar is drawn
    (default: standard output). What else tqdm knows is handed on to it.

    Returns an object with `n`, `total`, `update(by)`, `set_description(text)`, `set_postfix_str(text)`, `refresh()` and `close()`, which
    is a context manager. With `iterable` it gives that one's items and counts them.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    options = {"total": total, "initial": initial, "unit": unit, "desc": desc}
    if widget is None:
        widget = _in_notebook()
    if widget:
        if _can_import("tqdm") and _can_import("ipywidgets"):
            from tqdm.notebook import tqdm_notebook

            return tqdm_notebook(iterable, **options, **more)
        return NotebookBar(iterable, **options)
    file = file or sys.stdout
    if _can_import("tqdm"):
        from tqdm import tqdm

        return tqdm(iterable, file=file, **options, **more)
    return TerminalBar(iterable, file=file, **options)


def _in_notebook():
    # Whoever has a kernel has imported IPython already.
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return getattr(shell, "kernel", None) is not None


def _can_import(name):
    from importlib.util import find_spec

    return sys.modules.get(name) is not None or (name not in sys.modules and find_spec(name) is not None)


@contextmanager
def writing():
    """While the block prints to the terminal, progress bars are out of the way; afterwards they stand below what was printed.

    Gives whether there are any.
    """
    if _in_notebook():
        # Bars and text have places of their own there.
        yield False
        return
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    for bar in _on_terminal:
        bar.clear()
    try:
        if tqdm is not None and getattr(tqdm, "_instances", None):
            with tqdm.external_write_mode(file=sys.stdout):
                yield True
        else:
            yield bool(_on_terminal)
    finally:
        for bar in _on_terminal:
            bar.refresh()


def _duration(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


class Bar:
    """What all bars of ours have in common: counting, and drawing not too often."""

    def __init__(self, iterable=None, *, total=None, initial=0, unit="tasks", desc=None):
        self.iterable = iterable
        self.total = total
        self.n = self.initial = initial
        self.unit = unit
        self.desc = desc or ""
        self.postfix = ""
        self.is_closed = False
        self._began = time.monotonic()
        self._drawn = None
        self._draw()

    def __iter__(self):
        with self:
            for item in self.iterable:
                yield item
                self.update()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def update(self, n=1):
        """Count `n` more as done."""
        self.n += n
        if self._drawn is None or time.monotonic() - self._drawn >= _INTERVAL:
            self.refresh()

    def set_description(self, desc=None, refresh=True):
        """Change what stands before the bar."""
        self.desc = desc or ""
        if refresh:
            self.refresh()

    def set_postfix_str(self, s="", refresh=True):
        """Change what stands after the bar."""
        self.postfix = s
        if refresh:
            self.refresh()

    def refresh(self):
        """Draw it now."""
        if not self.is_closed:
            self._draw()

    def close(self):
        """Draw it for the last time, and leave it there."""
        if not self.is_closed:
            self._draw(is_last=True)
            self.is_closed = True

    @property
    def fraction(self):
        """How much is done, from 0 to 1; None if nobody knows how much there is to do."""
        return min(1.0, self.n / self.total) if self.total else None

    def _counts(self):
        """What is said beside the bar."""
        took = time.monotonic() - self._began
        done = self.n - self.initial
        rate = done / took if took > 0 else 0
        count = self.n if self.total is None else self.total
        unit = self.unit if count == 1 or self.unit.endswith("s") else self.unit + "s"
        text = f"{self.n} {unit}" if self.total is None else f"{self.n}/{self.total} {unit}"
        text += f" [{_duration(took)}"
        if done and self.total and self.n < self.total:
            text += f", {_duration((self.total - self.n) / rate)} left"
        if done:
            text += f", {rate:.3g}/s"
        return text + "]" + (f" {self.postfix}" if self.postfix else "")

    def _draw(self, is_last=False):
        self._drawn = time.monotonic()
        self._show(is_last)

    def _show(self, is_last):
        raise NotImplementedError


class TerminalBar(Bar):
    """A bar on one line of text. Where the output is no terminal, only its end is printed."""

    def __init__(self, iterable=None, *, file=None, width=30, **options):
        self._file = file or sys.stdout
        self._width = width
        self._is_terminal = bool(getattr(self._file, "isatty", bool)())
        self._length = 0
        if self._is_terminal:
            _on_terminal.append(self)
        super().__init__(iterable, **options)

    def text(self):
        """The line."""
        fraction = self.fraction
        line = f"{self.desc}: " if self.desc else ""
        if fraction is not None:
            full = round(fraction * self._width)
            line += f"{fraction:4.0%} |{'#' * full}{'-' * (self._width - full)}| "
        return line + self._counts()

    def clear(self):
        """Take the line away, for something else to be printed."""
        if self._length:
            self._file.write("\r" + " " * self._length + "\r")
            self._file.flush()
            self._length = 0

    def _show(self, is_last):
        if not self._is_terminal and not is_last:
            return
        line = self.text()
        # What is left of a longer line before.
        self._file.write(("\r" if self._is_terminal else "") + line.ljust(self._length) + ("\n" if is_last else ""))
        self._file.flush()
        self._length = len(line)

    def close(self):
        super().close()
        if self in _on_terminal:
            _on_terminal.remove(self)


class NotebookBar(Bar):
    """A bar in a notebook's cell that needs no widgets: an output that is shown again in its place."""

    _handle = None

    def _show(self, is_last):
        from IPython.display import display

        counts, fraction = self._counts(), self.fraction
        amount = "" if fraction is None else f' value="{fraction:.4f}"'
        html = (
            f'<div style="white-space:nowrap">{escape(self.desc)} <progress max="1"{amount} style="width:20em;vertical-align:middle">'
            f"</progress> {escape(counts)}</div>"
        )
        data = {"text/html": html, "text/plain": f"{self.desc}: {counts}" if self.desc else counts}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


__all__ = ["progress", "writing"]
