"""`sys.stdout` and `sys.stderr` of an engine: text goes to the client whose task prints it.

The text waits in the core, which publishes it at the end of each request and every 100 ms during long ones, without the interpreter's lock.
"""

import io
import os

from _thread import _local, get_ident


class OutputStream(io.TextIOBase):
    """A text stream that publishes what is written, from any thread."""

    encoding = "utf-8"
    errors = "replace"
    #: ipykernel's streams have this attribute; libraries look for it.
    topic = None

    def __init__(self, core, number, name, original, kernel):
        self._core = core
        self._kernel = kernel
        self._main_thread = get_ident()
        #: The request under which a thread printed first: its output stays with it, as in ipykernel.
        self._births = _local()
        self._number = number
        self.name = f"<{name}>"
        self._original = original
        self._binary = None

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if get_ident() == self._main_thread:
            parent = None
        else:
            parent = self._births.__dict__.setdefault("parent", self._kernel.parent_header)
        if not self._core.write(self._number, text, parent) and self._original is not None:
            # A forked child, or the end of the process.
            self._original.write(text)
            self._original.flush()
        return len(text)

    def flush(self):
        self._core.flush()

    def writable(self):
        return True

    def isatty(self):
        return False

    def fileno(self):
        """The descriptor that child processes inherit: the engine's log, not the client."""
        return self._number + 1

    @property
    def buffer(self):
        if self._binary is None:
            self._binary = _BinaryStream(self)
        return self._binary

    def set_parent(self, parent):
        """For code that was written against ipykernel; the core knows the parent."""


class _BinaryStream(io.RawIOBase):
    """Bytes written to `sys.stdout.buffer`."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, data):
        data = bytes(data)
        self._stream.write(data.decode("utf-8", "replace"))
        return len(data)

    def flush(self):
        self._stream.flush()

    def writable(self):
        return True

    def fileno(self):
        return self._stream.fileno()


NO_INPUT = "an engine has no standard input: nobody is there to answer. Pass the value as an argument of the task."


class ClosedInput(io.TextIOWrapper):
    """`sys.stdin` of an engine: at its end from the start, for nobody is there to answer."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="utf-8")

    name = "<stdin>"

    def fileno(self):
        return 0


def refuse_input(prompt=""):
    """Replaces `input` and `getpass.getpass`: the error of an input at its end, and IPython's own in a cell."""
    if refuse_input.is_cell():
        from IPython.core.error import StdinNotImplementedError

        raise StdinNotImplementedError(NO_INPUT)
    raise EOFError(NO_INPUT)


refuse_input.is_cell = lambda: False


def devnull_input():
    """Give descriptor 0 to nobody, so that child processes do not read the terminal of whoever started the engine."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.dup2(descriptor, 0)
    os.close(descriptor)
