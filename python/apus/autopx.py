"""`%autopx`: every cell is sent to the engines."""

import re
from contextlib import contextmanager


class AutoParallel:
    """Rewrites cells so that they are run by `%px`, as one of IPython's input transformers: history and prompts stay what they were.

    It is called by its suffix, not by its view: whoever activates another view under the same suffix has its cells sent there.
    """

    #: IPython leaves it out where it only asks whether a cell is complete.
    has_side_effects = True

    def __init__(self, shell, suffix):
        self._shell = shell
        self.suffix = suffix
        self._is_paused = False
        # The magics that are about the engines, and must be run here.
        self._own = re.compile(rf"\s*(%?%px|%pxresult|%pxconfig|%autopx){re.escape(suffix)}(\s|$)")

    @classmethod
    def of(cls, shell, suffix):
        """The one of this suffix: that which is on, otherwise a new one, which is off."""
        for transformer in shell.input_transformers_cleanup:
            if isinstance(transformer, cls) and transformer.suffix == suffix:
                return transformer
        return cls(shell, suffix)

    @property
    def _transformers(self):
        return self._shell.input_transformers_cleanup

    def toggle(self):
        """Turn it on or off; whether it is on now."""
        if self in self._transformers:
            self._transformers.remove(self)
            return False
        # Before all others: they would read as ours what the engines should read.
        self._transformers.insert(0, self)
        return True

    @contextmanager
    def paused(self):
        """Cells are run here while the block runs."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before

    def __call__(self, lines):
        cell = "".join(lines)
        if self._is_paused or not cell.strip() or self._own.match(cell):
            return lines
        # IPython has ended the last line, whether the user did or not.
        cell = cell.removesuffix("\n")
        # Inside an `if`, the value of the call is not shown: what is shown comes from the engines.
        return [f"if True: get_ipython().run_line_magic({'px' + self.suffix!r}, {cell!r})\n"]


__all__ = ["AutoParallel"]
