"""Shows what a process writes while it runs: for people who asked for a log at debug level."""

import os
import sys

from . import loop
from .arrival import changes


class Follower:
    """Copies what is appended to a file to standard error, as it comes, until it is closed."""

    def __init__(self, path):
        self._file = open(path, "rb")
        self._descriptor = changes(path)
        if self._descriptor is not None:
            loop.call_soon(self._begin)

    def _begin(self):
        if self._descriptor is not None:
            loop.cluster_loop().add_reader(self._descriptor, self._changed)

    def _changed(self):
        try:
            os.read(self._descriptor, 65536)
        except BlockingIOError:
            pass
        self._copy()

    def _copy(self):
        text = self._file.read().decode(errors="replace")
        if text:
            sys.stderr.write(text)

    def close(self):
        """On the thread of clusters, when the process has ended: what is left is shown."""
        if self._descriptor is not None:
            loop.cluster_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        if not self._file.closed:
            self._copy()
            self._file.close()
