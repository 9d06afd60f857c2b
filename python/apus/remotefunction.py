"""Functions whose calls are calls on engines."""

from functools import partial

from .asyncresult import AsyncMapResult
from .partition import dists
from .views import name_of
from .wire import EngineFunction

_map = EngineFunction("ipyparallel.client.remotefunction:_map")

getname = name_of


def mapped(f):
    """What an engine calls with parts of sequences in order to call `f` for each item."""
    return partial(_map, f)


def remote(view, block=None, **flags):
    """Decorator: calls of the function are calls on the view's engines. flags: the view's, for these calls."""
    return lambda f: RemoteFunction(view, f, block=block, **flags)


def parallel(view, dist="b", block=None, ordered=True, **flags):
    """Decorator: sequences given to the function are split among the view's engines, and the results put together.

    dist: 'b' contiguous parts, 'r' every n-th item. ordered: keep the order; otherwise results come as they arrive.
    """
    return lambda f: ParallelFunction(view, f, dist=dist, block=block, ordered=ordered, **flags)


class RemoteFunction:
    """A function whose calls are calls on the view's engines."""

    def __init__(self, view, f, block=None, **flags):
        self.view = view
        self.func = f
        self.block = block
        self.flags = flags
        self.__name__ = name_of(f)
        if getattr(f, "__doc__", None):
            self.__doc__ = f"{type(self).__name__} wrapping:\n{f.__doc__}"
        signature = getattr(f, "__signature__", None)
        if signature is None:
            import inspect

            try:
                signature = inspect.signature(f)
            except (TypeError, ValueError):
                # Functions of C have none.
                return
        self.__signature__ = signature

    def __call__(self, *args, **kwargs):
        block = self.view.block if self.block is None else self.block
        with self.view.temp_flags(block=block, **self.flags):
            return self.view.apply(self.func, *args, **kwargs)


class ParallelFunction(RemoteFunction):
    """A function that is called with parts of sequences, each on one engine; `map` calls it with each item.

    chunksize: items of a part, for balanced views: None means one in calls, and in `map` what their measured duration suggests.
    return_exceptions: exceptions are results, too.
    """

    def __init__(self, view, f, dist="b", block=None, chunksize=None, ordered=True, return_exceptions=False, **flags):
        super().__init__(view, f, block=block, **flags)
        self.chunksize = chunksize
        self.ordered = ordered
        self.return_exceptions = return_exceptions
        self.mapObject = dists[dist]()

    def __call__(self, *sequences):
        """Call the function with parts of the sequences. Raises ValueError if their lengths differ."""
        sequences, lengths = _measured(sequences)
        if len(set(lengths)) > 1:
            raise ValueError(f"all sequences must have equal length, but have {lengths}")
        return self._distribute(self.func, sequences, lengths[0] if lengths else 0, False)

    def map(self, *sequences):
        """Call the function with each item of the sequences; the shortest one counts."""
        sequences, lengths = _measured(sequences)
        return self._distribute(mapped(self.func), sequences, min(lengths, default=0), True)

    def _distribute(self, f, sequences, count, is_map):
        if count == 0:
            return []
        view = self.view
        if view._is_balanced:
            if is_map and not self.chunksize and self.mapObject.__class__ is dists["b"]:
                with view.temp_flags(**self.flags):
                    result = view._map_in_batches(self, sequences, count)
                if result is not None:
                    return view._finish(result, self.block)
            parts = -(-count // (self.chunksize or 1))
            with view.temp_flags(**self.flags):
                messages = view._apply_each(f, (self._part(sequences, index, parts, count) for index in range(parts)))
        else:
            if self.chunksize:
                import warnings

                warnings.warn("`chunksize` is ignored unless load balancing", UserWarning, stacklevel=3)
            targets = view.targets
            ids = view.client._build_targets(targets, may_wait=True)[1] if not isinstance(targets, list) else targets
            parts, messages = len(ids), []
            flags = {name: value for name, value in self.flags.items() if value is not None}
            for index, engine_id in enumerate(ids):
                if index < count:
                    part = self._part(sequences, index, parts, count)
                    messages += view._apply_part(f, part, engine_id, flags)
        sizes = {}
        if is_map:
            # The first parts are the longer ones.
            size, longer = divmod(count, parts)
            lengths = (size + (index < longer) for index in range(len(messages)))
            sizes = {message.msg_id: length for message, length in zip(messages, lengths) if length != 1}
        result = AsyncMapResult(
            view.client, messages, self.mapObject, fname=name_of(self.func), ordered=self.ordered,
            return_exceptions=self.return_exceptions, chunk_sizes=sizes,
        )  # fmt: skip
        return view._finish(result, self.block)

    def _part(self, sequences, index, parts, count):
        return [self.mapObject.getPartition(sequence, index, parts, count) for sequence in sequences]


def _measured(sequences):
    """(the sequences, with lists in the place of iterators; their lengths)"""
    measured = []
    for sequence in sequences:
        if not hasattr(sequence, "__len__") or not hasattr(sequence, "__getitem__"):
            sequence = list(sequence)
        measured.append(sequence)
    return measured, [len(sequence) for sequence in measured]


__all__ = ["remote", "parallel", "RemoteFunction", "ParallelFunction"]
