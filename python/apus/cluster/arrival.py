"""Waits for files to appear in a directory, or to be written anew."""

import asyncio
import ctypes
import errno
import os

_IN_MODIFY, _IN_CLOSE_WRITE, _IN_MOVED_TO = 0x002, 0x008, 0x080
_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK


def version(path):
    """What changes when a file is written anew; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


class Arrival:
    """The files that are waited for. Made before whoever writes them is started, so that old ones are told from new ones.

    Parameters
    ----------
    paths : list of str
        All in one directory.
    accepts_old : bool
        Whether files that are there already will do.
    """

    def __init__(self, paths, *, accepts_old=False):
        self.paths = list(paths)
        #: Says of a path whether its file is complete.
        self.accepts = lambda path: True
        self._before = {} if accepts_old else {path: version(path) for path in self.paths}

    def missing(self):
        """Those that have not come yet."""
        return [path for path in self.paths if version(path) in (None, self._before.get(path)) or not self.accepts(path)]

    async def wait(self):
        """Return once all are there. The directory exists."""
        descriptor = _watch(os.path.dirname(self.paths[0]), _IN_CLOSE_WRITE | _IN_MOVED_TO)
        if descriptor is None:
            # The system has no inotify to give.
            while self.missing():
                await asyncio.sleep(0.02)
            return
        running = asyncio.get_running_loop()
        changed = asyncio.Event()
        running.add_reader(descriptor, changed.set)
        try:
            while self.missing():
                await changed.wait()
                changed.clear()
                _drain(descriptor)
        finally:
            running.remove_reader(descriptor)
            os.close(descriptor)


def _drain(descriptor):
    try:
        while os.read(descriptor, 65536):
            pass
    except BlockingIOError:
        pass


def changes(path):
    """A descriptor that is readable when something was written to the file; None where the system has none left."""
    return _watch(path, _IN_MODIFY)


def _watch(path, events):
    try:
        library = ctypes.CDLL(None, use_errno=True)
        descriptor = library.inotify_init1(_FLAGS)
    except (OSError, AttributeError):
        return None
    if descriptor < 0:
        return None
    if library.inotify_add_watch(descriptor, os.fsencode(path), events) < 0:
        code = ctypes.get_errno()
        os.close(descriptor)
        if code in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            raise OSError(code, os.strerror(code), path)
        return None
    return descriptor
