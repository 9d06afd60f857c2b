"""Views whose calls go to all of their engines."""

import json

from . import serialize
from .asyncresult import AsyncMapResult, AsyncResult
from .importer import sync_imports
from .message import APPLY, APPLY_CODEC, EXECUTE
from .partition import dists
from .views import View, metadata_bytes, name_of
from .wire import EngineFunction

_DIRECT = 2
_AWAITS_OUTPUT, _TRACK = 1, 2

_push = EngineFunction("ipyparallel.util:_push")
_pull = EngineFunction("ipyparallel.util:_pull")

#: Metadata of most calls: (without a label, in our codec).
_PLAIN = {True: metadata_bytes({}, True), False: metadata_bytes({"label": None}, False)}


class DirectView(View):
    """A view whose calls run on each of its engines: results are lists, or one value if `targets` is an int.

    It is also a dict of the engines' names: `view["a"] = 5`, `view["a"]`.
    """

    def __init__(self, client=None, targets=None, **flags):
        super().__init__(client=client, targets=targets, **flags)

    def _really_apply(self, f, args=None, kwargs=None, targets=None, block=None, track=None, label=None):
        client = self.client
        args = () if args is None else args
        kwargs = {} if kwargs is None else kwargs
        block = self.block if block is None else block
        track = self.track if track is None else track
        targets = self.targets if targets is None else targets
        label = self.label if label is None else label
        ids = client._build_targets(targets, may_wait=True)[1]
        engines = client._dispatcher.engines
        are_own = engines.are_own(ids)
        frames, is_codec = self._pack_call(are_own, f, args, kwargs)
        fields = self._fields(label)
        metadata = metadata_bytes(fields, is_codec) if fields else _PLAIN[is_codec]
        # Stock engines do not say how much a task prints: their idle status does.
        flags = (_TRACK if track else 0) | (0 if are_own else _AWAITS_OUTPUT)
        messages = self._send(_DIRECT, ids, "apply_request", APPLY_CODEC if is_codec else APPLY, b"{}", metadata, frames, flags, label)
        children = messages[0] if isinstance(targets, int) else messages
        result = AsyncResult(client, children, fname=name_of(f), targets=ids, owner=True)
        client._dispatcher.register_all(messages)
        return self._finish(result, block)

    # -- maps

    def map(self, f, *sequences, block=None, track=False, return_exceptions=False, label=None):
        """Parallel `map`: each engine gets one contiguous part of the sequences.

        Iterators are made lists first; the shortest sequence counts. return_exceptions: exceptions are results, too.

        Returns an AsyncMapResult, or with `block` the list of results.
        """
        from .remotefunction import ParallelFunction

        if not sequences:
            raise ValueError("must have some sequences to map onto!")
        block = self.block if block is None else block
        label = self.label if label is None else label
        function = ParallelFunction(self, f, block=block, track=track, return_exceptions=return_exceptions, label=label)
        return function.map(*sequences)

    def _apply_part(self, f, part, engine_id, flags):
        """The messages of one part of a map, on one engine."""
        return DirectView._really_apply(self, f, tuple(part), targets=engine_id, block=False, **flags)._children

    # -- code

    def execute(self, code, silent=True, targets=None, block=None, label=None):
        """Run code as a cell of IPython on each engine. Returns an AsyncResult of ExecuteReplies.

        silent: do not display the value of the last expression, nor count the cell. block: wait for the result and its output.
        """
        if not isinstance(code, str):
            raise TypeError(f"code must be text, not {type(code)}")
        block = self.block if block is None else block
        targets = self.targets if targets is None else targets
        label = self.label if label is None else label
        ids = self.client._build_targets(targets, may_wait=True)[1]
        messages = self._send_code(code, silent, ids, label)
        children = messages[0] if isinstance(targets, int) else messages
        result = AsyncResult(self.client, children, fname="execute", targets=ids, owner=True)
        self.client._dispatcher.register_all(messages)
        if block:
            try:
                result.get()
                result.wait_for_output()
            except KeyboardInterrupt:
                pass
        return result

    def _send_code(self, code, silent, ids, label):
        content = json.dumps({"code": code, "silent": bool(silent), "user_expressions": {}}).encode()
        metadata = metadata_bytes(self._fields(label), False)
        return self._send(_DIRECT, ids, "execute_request", EXECUTE, content, metadata, [], _AWAITS_OUTPUT, label)

    def run(self, filename, targets=None, block=None, label=None):
        """Run the code of a file on each engine, as `execute`."""
        with open(filename, encoding="utf-8") as file:
            code = file.read() + "\n"
        return self.execute(code, block=block, targets=targets, label=label)

    # -- names

    def push(self, ns, targets=None, block=None, track=None):
        """Set names on the engines: a dict. Names may be dotted. Raises TypeError if it is none."""
        if not isinstance(ns, dict):
            raise TypeError(f"Must be a dict, not {type(ns)}")
        return self._really_apply(_push, kwargs=ns, block=block, track=track, targets=targets)

    def update(self, ns):
        """As `push`."""
        return self.push(ns, block=self.block, track=self.track)

    def pull(self, names, targets=None, block=None):
        """The values of expressions on the engines: of one (str) or of several (list). Raises TypeError for other names."""
        if isinstance(names, (list, tuple, set)):
            for name in names:
                if not isinstance(name, str):
                    raise TypeError(f"keys must be str, not type {type(name)!r}")
        elif not isinstance(names, str):
            raise TypeError(f"names must be strs, not {names!r}")
        return self._really_apply(_pull, (names,), block=block, targets=targets)

    def get(self, key_s):
        """As `pull`, and wait."""
        return self.pull(key_s, block=True)

    def __getitem__(self, key):
        return self.get(key)

    def __setitem__(self, key, value):
        self.update({key: value})

    def scatter(self, key, seq, dist="b", flatten=False, targets=None, block=None, track=None):
        """Give each engine a part of a sequence, under this name.

        dist: 'b' contiguous parts, 'r' every n-th item. flatten: parts of one item are the item.

        Returns an AsyncResult; None with `block`.
        """
        block = self.block if block is None else block
        ids = self.client._build_targets(self.targets if targets is None else targets, may_wait=True)[1]
        mapping = dists[dist]()
        messages, lengths = [], []
        for index, engine_id in enumerate(ids):
            part = mapping.getPartition(seq, index, len(ids))
            value = part[0] if flatten and len(part) == 1 else part
            messages += self.push({key: value}, block=False, track=track, targets=engine_id)._children
            lengths.append(len(part))
        result = AsyncResult(self.client, messages, fname="scatter", targets=ids, owner=True)
        result._scatter_lengths = lengths
        if block:
            result.get()
            return None
        return result

    def gather(self, key, dist="b", targets=None, block=None):
        """Put together what `scatter` has given out. Returns an AsyncMapResult, or with `block` the sequence."""
        block = self.block if block is None else block
        ids = self.client._build_targets(self.targets if targets is None else targets, may_wait=True)[1]
        messages = [message for engine_id in ids for message in self.pull(key, block=False, targets=engine_id)._children]
        return self._finish(AsyncMapResult(self.client, messages, dists[dist](), fname="gather"), block)

    def clear(self, targets=None, block=None):
        """Forget everything that the engines have in their namespaces."""
        return self.client.clear(targets=self.targets if targets is None else targets, block=self.block if block is None else block)

    # -- imports and pickling

    def sync_imports(self, local=True, quiet=False):
        """Imports within the `with` block also happen on the engines. `as` is ignored there. quiet: say nothing.

        Raises NotImplementedError without `local`, and what the engines raise.
        """
        return sync_imports(self, local, quiet)

    @property
    def importer(self):
        """`sync_imports()`."""
        return self.sync_imports(True)

    def use_dill(self):
        """Pickle with dill, here and on the engines."""
        serialize.use_dill()
        return self.apply(EngineFunction("ipyparallel.serialize.canning:use_dill"))

    def use_cloudpickle(self):
        """Pickle with cloudpickle, here and on the engines: functions take the values of their globals with them."""
        serialize.use_cloudpickle()
        return self.apply(EngineFunction("ipyparallel.serialize.canning:use_cloudpickle"))

    def use_pickle(self):
        """Undo `use_dill` and `use_cloudpickle`."""
        serialize.use_pickle()
        return self.apply(EngineFunction("ipyparallel.serialize.canning:use_pickle"))

    def activate(self, suffix=""):
        """Make the magics `%px`, `%%px`, `%autopx`, `%pxresult`, `%pxconfig`, with this suffix, those of this view."""
        import sys
        import warnings

        module = sys.modules.get("IPython")
        shell = module.get_ipython() if module is not None else None
        if shell is None:
            warnings.warn("The IPython parallel magics (%px, etc.) only work within IPython.", stacklevel=2)
            return
        from .magics import ParallelMagics

        shell.magics_manager.register(ParallelMagics(shell, self, suffix))
