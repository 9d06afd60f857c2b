"""Views that reach many engines with one message."""

import json
from functools import wraps

from .asyncresult import AsyncMapResult, AsyncResult
from .directview import _AWAITS_OUTPUT, _TRACK, DirectView
from .message import APPLY, APPLY_CODEC, COALESCED, COALESCED_CODEC, EXECUTE, Message
from .partition import dists
from .views import metadata_bytes, name_of
from .wire import EngineFunction

_BROADCAST, _COALESCING = 4, 5

_broadcast_map = EngineFunction("ipyparallel.client.view:BroadcastView._broadcast_map")


def _not_coalescing(method):
    """For methods whose replies must come one by one."""

    @wraps(method)
    def call(self, *args, **kwargs):
        is_coalescing, self.is_coalescing = self.is_coalescing, False
        try:
            return method(self, *args, **kwargs)
        finally:
            self.is_coalescing = is_coalescing

    return call


class BroadcastView(DirectView):
    """A DirectView that sends one message to the controller, which passes it on to all engines.

    is_coalescing: the controller also puts the replies together.
    """

    is_coalescing = False
    _broadcast_map = _broadcast_map

    def _broadcast(self, ids, kind, form, content, metadata, frames, flags, label):
        """Send one task for all. Returns the messages: one for each engine, or one."""
        from time import time

        client = self.client
        dispatcher = client._dispatcher
        route = _COALESCING if self.is_coalescing else _BROADCAST
        numbers = client._send(route, ids, kind, content, metadata, frames, flags)
        now = time()
        if route == _COALESCING:
            number = numbers[0]
            messages = [Message.sent(number, form, dispatcher, now, flags, None, None, label)]
        else:
            # The broadcast itself has the number before those of its shares.
            number = numbers[0] - 1
            base = f"{dispatcher.prefix}{number}_"
            messages = [
                Message.sent(share, form, dispatcher, now, flags, target, base + dispatcher.engines.uuid(target), label)
                for share, target in zip(numbers, ids)
            ]
        for history in (client.history, self.history):
            history.add(number)
        return messages

    def _outstanding_messages(self):
        has = self.history.has_number
        return [
            message
            for message in self.client._outstanding_messages()
            if has(message.number) or (message.share is not None and message.msg_id in self.history)
        ]

    def _really_apply(self, f, args=None, kwargs=None, block=None, track=None, targets=None, label=None):
        args = () if args is None else args
        kwargs = {} if kwargs is None else kwargs
        block = self.block if block is None else block
        track = self.track if track is None else track
        label = self.label if label is None else label
        ids = self.client._build_targets(self.targets if targets is None else targets, may_wait=True)[1]
        are_own = self.client._dispatcher.engines.are_own(ids)
        frames, is_codec = self._pack_call(are_own, f, args, kwargs)
        if self.is_coalescing:
            form = COALESCED_CODEC if is_codec else COALESCED
        else:
            form = APPLY_CODEC if is_codec else APPLY
        metadata = metadata_bytes(self._fields(label), is_codec)
        flags = (_TRACK if track else 0) | (0 if are_own else _AWAITS_OUTPUT)
        messages = self._broadcast(ids, "apply_request", form, b"{}", metadata, frames, flags, label)
        children = messages[0] if self.is_coalescing else messages
        result = AsyncResult(self.client, children, fname=name_of(f), targets=ids, owner=True)
        self.client._dispatcher.register_all(messages)
        return self._finish(result, block)

    @_not_coalescing
    def execute(self, code, silent=True, targets=None, block=None, label=None):
        return super().execute(code, silent, self._list(targets), block, label)

    execute.__doc__ = DirectView.execute.__doc__

    def _list(self, targets):
        targets = self.targets if targets is None else targets
        return [targets] if isinstance(targets, int) else targets

    def _send_code(self, code, silent, ids, label):
        content = json.dumps({"code": code, "silent": bool(silent), "user_expressions": {}}).encode()
        metadata = metadata_bytes(self._fields(label), False)
        return self._broadcast(ids, "execute_request", EXECUTE, content, metadata, [], _AWAITS_OUTPUT, label)

    @_not_coalescing
    def map(self, f, *sequences, block=None, track=False, return_exceptions=False):
        """Parallel `map`: the sequences are scattered, then one message calls for all parts. Otherwise as `DirectView.map`."""
        import secrets

        if not sequences:
            raise ValueError("must have some sequences to map onto!")
        block = self.block if block is None else block
        # They live for a moment among the names of the user.
        key = secrets.token_hex(5)
        names, lengths = [], []
        for index, sequence in enumerate(sequences):
            try:
                len(sequence)
            except TypeError:
                sequence = list(sequence)
            names.append(f"_seq_{key}_{index}")
            lengths.append(self.scatter(names[-1], sequence, block=False, track=track)._scatter_lengths)
        result = self._really_apply(_broadcast_map, (f, *names), block=False)
        sizes = {message.msg_id: size for message, size in zip(result._children, map(min, *lengths) if len(lengths) > 1 else lengths[0])}
        whole = AsyncMapResult(
            self.client, result._children, dists["b"](), fname=name_of(f), return_exceptions=return_exceptions, chunk_sizes=sizes
        )
        return self._finish(whole, block)

    scatter = _not_coalescing(DirectView.scatter)
    gather = _not_coalescing(DirectView.gather)
