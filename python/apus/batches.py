"""Groups of items of a map, as the engine runs them. Both ends import this module."""


class Failed:
    """An item whose call raised: what the client must know to raise it again."""

    __slots__ = ("ename", "evalue", "traceback")

    def __init__(self, ename, evalue, traceback):
        self.ename = ename
        self.evalue = evalue
        self.traceback = traceback

    def __reduce__(self):
        return Failed, (self.ename, self.evalue, self.traceback)


class PartlyFailed:
    """The results of a group, with a `Failed` in the place of each that has none."""

    __slots__ = ("results",)

    def __init__(self, results):
        self.results = results

    def __reduce__(self):
        return PartlyFailed, (self.results,)


def run(f, *sequences):
    """Call `f` for each item, as if each were a task of its own: one that fails keeps no other from running."""
    results = []
    has_failed = False
    calls = map(f, *sequences)
    while True:
        try:
            # What was appended before an exception stays.
            results.extend(calls)
            return PartlyFailed(results) if has_failed else results
        except Exception as error:
            if type(error).__name__ == "UnmetDependency":
                # Another engine is asked then.
                raise
            has_failed = True
            results.append(_describe(error))


def _describe(error):
    from . import tracebacks
    from .engine import stock

    name, value = tracebacks.describe(error)
    lines = stock.kernel.render(error) if stock.kernel is not None else tracebacks.render(error)
    error.__traceback__ = None
    return Failed(name, value, "\n".join(lines))


def restore(value, message):
    """The list of results of a group, with errors among them. message: the task's."""
    if type(value) is not PartlyFailed:
        return value
    from . import error
    from .mapresult import Failures

    record = message.metadata
    info = {"engine_id": record["engine_id"], "engine_uuid": record["engine_uuid"], "method": "apply"}
    return Failures(
        error.RemoteError(item.ename, item.evalue, item.traceback, info) if type(item) is Failed else item for item in value.results
    )
