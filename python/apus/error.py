"""Errors of the client, and those that come from engines, with ipyparallel's names and attributes.

This module stays light: engines import it.
"""

import builtins

from .wire import WireType


class IPythonError(Exception):
    """Base of all errors of a cluster."""


class KernelError(IPythonError):
    """Something went wrong in a cluster."""


class EngineError(KernelError):
    """An engine was lost, with what it had to do."""


class NoEnginesRegistered(KernelError):
    """There is no engine that could do what was asked."""

    def __str__(self):
        return "This operation requires engines. Try client.wait_for_engines(n) to wait for engines to register."


class TaskAborted(KernelError):
    """The task was taken back before it began. Its argument is the task's msg_id."""


class TaskTimeout(KernelError):
    """The scheduler could not place the task in time."""


#: Python's own, under the name that users of ipyparallel import.
TimeoutError = builtins.TimeoutError


class UnmetDependency(KernelError, metaclass=WireType):
    """This engine lacks what a task needs. The scheduler reads the name of the class and tries another engine."""

    wire_name = "ipyparallel.error:UnmetDependency"


class ImpossibleDependency(UnmetDependency):
    """What the task depends on can never be met."""

    wire_name = "ipyparallel.error:ImpossibleDependency"


class DependencyTimeout(ImpossibleDependency):
    """What the task depends on was not met in time."""

    wire_name = "ipyparallel.error:DependencyTimeout"


class InvalidDependency(ImpossibleDependency):
    """The task depends on something that the scheduler does not know."""

    wire_name = "ipyparallel.error:InvalidDependency"


class TaskRejectError(KernelError):
    """For a task to raise when it should run elsewhere; submit it with `retries` above 1."""


def _place(engine_info):
    """Where an error comes from, as text: `[2:apply]`."""
    if not engine_info:
        return "[Engine Exception]"
    return f"[{engine_info.get('engine_id', ' ')}:{engine_info.get('method', 'apply')}]"


def _lines(traceback):
    return (traceback or "No traceback available").splitlines()


class RemoteError(KernelError):
    """An exception that was raised elsewhere.

    ename, evalue: name of its class and its text. traceback: its traceback as text, rendered over there. engine_info: a dict with
    engine_id, engine_uuid and method (`apply` or `execute`); empty if no engine raised it.
    """

    ename = None
    evalue = None
    traceback = None
    engine_info = None

    def __init__(self, ename, evalue, traceback, engine_info=None):
        self.ename = ename
        self.evalue = evalue
        self.traceback = traceback
        self.engine_info = engine_info or {}
        self.args = (ename, evalue)

    def __reduce__(self):
        return type(self), (self.ename, self.evalue, self.traceback, self.engine_info)

    def __repr__(self):
        return f"<{type(self).__name__}[{self.engine_info.get('engine_id', ' ')}]:{self.ename}({self.evalue})>"

    def __str__(self):
        return f"{self._get_engine_str(self.engine_info)} {self.ename}: {self.evalue}"

    @staticmethod
    def _get_engine_str(engine_info):
        return _place(engine_info)

    def render_traceback(self):
        """The traceback as a list of lines."""
        return [self._get_engine_str(self.engine_info), *_lines(self.traceback)]

    def _render_traceback_(self):
        """IPython shows this in place of the local traceback."""
        return self.render_traceback()

    def print_traceback(self, excid=None):
        """Print the traceback."""
        print("\n".join(self.render_traceback()))


class CompositeError(RemoteError):
    """Several exceptions that were raised elsewhere.

    msg: what was being done. elist: one tuple (ename, evalue, traceback, engine_info) for each.
    """

    #: How many of them are shown.
    tb_limit = 4

    def __init__(self, message, elist):
        Exception.__init__(self, message, elist)
        self.msg = message
        self.elist = elist
        self.args = [entry[0] for entry in elist]

    def __reduce__(self):
        return type(self), (self.msg, self.elist)

    def __str__(self):
        lines = [str(self.msg)]
        lines += [f"{self._get_engine_str(info)}{ename}: {evalue}" for ename, evalue, _, info in self.elist[: self.tb_limit]]
        if len(self.elist) > self.tb_limit:
            lines.append(f".... {len(self.elist) - self.tb_limit} more exceptions ...")
        return "\n".join(lines)

    def __repr__(self):
        return f"CompositeError({len(self.elist)})"

    def _entry(self, excid):
        try:
            return self.elist[excid]
        except (IndexError, TypeError):
            raise IndexError(f"an exception with index {excid} does not exist") from None

    def _render_entry(self, entry):
        return [self._get_engine_str(entry[3]) + ":", *_lines(entry[2])]

    def render_traceback(self, excid=None):
        """The traceback of the exception with this index as a list of lines; without an index, those of the first few."""
        if excid is not None:
            return self._render_entry(self._entry(excid))
        lines = []
        for entry in self.elist[: self.tb_limit]:
            lines += [*self._render_entry(entry), ""]
        if len(self.elist) > self.tb_limit:
            lines.append(f"... {len(self.elist) - self.tb_limit} more exceptions ...")
        return lines

    def print_traceback(self, excid=None):
        """Print what `render_traceback` gives."""
        print("\n".join(self.render_traceback(excid)))

    def raise_exception(self, excid=0):
        """Raise one of the exceptions as a RemoteError."""
        raise RemoteError(*self._entry(excid))


class AlreadyDisplayedError(RemoteError):
    """Stands for errors that were shown as they came.

    original_error: the CompositeError.
    """

    def __init__(self, original_error):
        self.original_error = original_error
        self.n = len(original_error.elist)

    def __reduce__(self):
        return type(self), (self.original_error,)

    def __repr__(self):
        return f"<{type(self).__name__}({self.n} errors)>"

    def __str__(self):
        return f"{self.n} errors"

    def render_traceback(self):
        """One line: how many there were."""
        return [str(self)]


def collect_exceptions(rdict_or_list, method="unspecified"):
    """Return the results (a dict's values or a list) as they are, or raise the RemoteErrors among them as one CompositeError."""
    results = rdict_or_list.values() if isinstance(rdict_or_list, dict) else rdict_or_list
    elist = []
    for result in results:
        if isinstance(result, CompositeError):
            elist.extend(result.elist)
        elif isinstance(result, RemoteError):
            elist.append((result.ename, result.evalue, result.traceback, result.engine_info))
    if elist:
        raise CompositeError(f"one or more exceptions raised in: {method}", elist)
    return rdict_or_list


def wrap_exception(engine_info=None):
    """The exception that is being handled, as the content of a message."""
    import sys
    import traceback

    kind, value, trace = sys.exc_info()
    return {
        "status": "error",
        "traceback": traceback.format_exception(kind, value, trace),
        "ename": kind.__name__,
        "evalue": str(value),
        "engine_info": engine_info or {},
    }


def unwrap_exception(content):
    """The RemoteError of a message's content."""
    return RemoteError(
        content.get("ename", "Error"), content.get("evalue", ""), "\n".join(content.get("traceback", ())), content.get("engine_info", {})
    )


__all__ = [
    "IPythonError", "KernelError", "EngineError", "NoEnginesRegistered", "TaskAborted", "TaskTimeout", "TimeoutError", "UnmetDependency",
    "ImpossibleDependency", "DependencyTimeout", "InvalidDependency", "RemoteError", "TaskRejectError", "CompositeError",
    "AlreadyDisplayedError", "collect_exceptions", "wrap_exception", "unwrap_exception",
]  # fmt: skip
