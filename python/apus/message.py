"""One request under way, and what came back for it."""

import json

from . import codec, error, serialize
from .metadata import Metadata, add_output, from_timestamp, reply_fields

#: How the result of a request is to be read.
APPLY, APPLY_CODEC, EXECUTE, COALESCED, COALESCED_CODEC, CONTENT, ITEMS = range(7)

#: Kinds of events (see the core's interface): those from here on are not replies.
SUCCEEDED, FAILED, FAILED_HERE = 0, 1, 2

#: Flags of a request.
AWAITS_OUTPUT, TRACK = 1, 2

_UNREAD = object()

#: Bytes of a buffer that may as well be kept.
_SMALL_BUFFER = 1024

#: Whether output is still to come: no; the reply will say so (engines of ours); until the core says that it is complete.
COMPLETE, UNTIL_REPLY, UNTIL_TOLD = 0, 1, 2


def printed(metadata):
    """Whether a reply says that the task has printed something."""
    return UNTIL_TOLD if json.loads(metadata).get("output") else COMPLETE


class Message:
    """A request that was sent, as small as can be: everything that few people ask for is made when it is asked for.

    number: what the core calls it. form: how its result is read. target: id of the engine it went to, if that is known.
    reply: the event that answered it (None before). listener: the results that wait for it: None, one, or a list.
    """

    # What most messages never have is not stored in each.
    target = share = label = None
    #: COMPLETE, UNTIL_REPLY or UNTIL_TOLD.
    has_output_pending = UNTIL_REPLY
    is_sent = True
    listener = None
    received = None
    reply = None
    output_events = None
    callbacks = None
    _value = _UNREAD
    _metadata = None

    def __init__(self, number, form, dispatcher, submitted):
        self.number = number
        self.form = form
        self.dispatcher = dispatcher
        self.submitted = submitted

    @classmethod
    def sent(cls, number, form, dispatcher, submitted, flags, target=None, share=None, label=None):
        """The message of a task that was sent with these flags (see the core's `client_submit`)."""
        self = cls(number, form, dispatcher, submitted)
        self.target = target
        if share is not None:
            self.share = share
        if label is not None:
            self.label = label
        if flags & AWAITS_OUTPUT:
            self.has_output_pending = UNTIL_TOLD
        if flags & TRACK:
            self.is_sent = False
        return self

    @property
    def msg_id(self):
        return self.share or self.dispatcher.prefix + str(self.number)

    @property
    def method(self):
        return "execute" if self.form == EXECUTE else "apply"

    # -- results

    @property
    def has_failed(self):
        return self.reply is not None and self.reply[1] != SUCCEEDED

    def add_listener(self, result):
        """Tell this result, too, when the reply has come. The caller holds the lock."""
        if self.listener is None:
            self.listener = result
        elif type(self.listener) is list:
            self.listener.append(result)
        else:
            self.listener = [self.listener, result]

    def value(self):
        """The result, or the error, of a request that has its reply. Raises what reading the result raises."""
        value = self._value
        if value is _UNREAD:
            reply = self.reply
            # Most are of this kind.
            is_plain = self.form == APPLY_CODEC and reply[1] == SUCCEEDED and reply[5] is not None
            value = codec.load(reply[5]) if is_plain else self._read()
            # Two threads may read at once; they agree on one object.
            if self._value is _UNREAD:
                self._value = value
            value = self._value
            buffers = self.reply[5]
            if buffers and (len(buffers) > 1 or len(buffers[0]) > _SMALL_BUFFER):
                # They are in the result now.
                self.reply = (*self.reply[:5], None)
        return value

    def _read(self):
        _, kind, _, _, content, buffers = self.reply
        if kind != SUCCEEDED:
            return self._failure(json.loads(content))
        if buffers is None:
            return self._value
        form = self.form
        if form == APPLY_CODEC:
            return codec.load(buffers)
        if form == ITEMS:
            from . import batches

            return batches.restore(codec.load(buffers), self)
        if form == EXECUTE:
            from .executereply import ExecuteReply

            return ExecuteReply(self, json.loads(content))
        if form == CONTENT:
            return json.loads(content), buffers
        if form == APPLY:
            return serialize.deserialize_object(buffers)[0]
        if form == COALESCED_CODEC:
            return codec.load_each(buffers)
        values, buffers = [], list(buffers)
        while buffers:
            value, buffers = serialize.deserialize_object(buffers)
            values.append(value)
        return values

    def _failure(self, content):
        if content.get("status") == "aborted":
            return error.TaskAborted(self.msg_id)
        failure = error.unwrap_exception(content)
        info = failure.engine_info
        if info:
            info.setdefault("method", self.method)
            if "engine_id" not in info and "engine_uuid" in info:
                info["engine_id"] = self.dispatcher.engines.known.get(info["engine_uuid"])
        return failure

    # -- metadata and output

    @property
    def metadata(self):
        """The record of the request, up to date."""
        record = self._metadata
        if record is None:
            record = Metadata(msg_id=self.msg_id, submitted=from_timestamp(self.submitted), label=self.label)
            if self.target is not None:
                record["engine_id"] = self.target
                record["engine_uuid"] = self.dispatcher.engines.table.get(self.target)
            from .dispatch import LOCK

            with LOCK:
                if self._metadata is None:
                    self._metadata = record
                    self.enter_reply()
                record = self._metadata
        if self.output_events:
            self.enter_output()
        return record

    def enter_reply(self):
        """Enter the reply into the record."""
        record, reply = self._metadata, self.reply
        if reply is None:
            return
        _, kind, metadata, header, content, _ = reply
        content = {"status": "ok"} if kind == SUCCEEDED and self.form != EXECUTE else json.loads(content)
        fields = reply_fields(
            json.loads(metadata) if metadata else {}, json.loads(header) if header else {}, content, self.dispatcher.engines.known
        )
        if fields["engine_uuid"] is None:
            del fields["engine_uuid"]
        record.update(fields)
        record["received"] = from_timestamp(self.received)

    def enter_output(self):
        """Enter what was printed and shown since the last time."""
        from .dispatch import LOCK

        with LOCK:
            events, self.output_events = self.output_events, None
            record = self._metadata
            for _, _, kind, _, content, buffers in events or ():
                add_output(record, kind, content, buffers)
            failure = record["error"]
            if events and failure is not None and not failure.engine_info.get("method") and record["engine_id"] is not None:
                failure.engine_info = {"engine_id": record["engine_id"], "engine_uuid": record["engine_uuid"], "method": self.method}
