"""What is known about a task: when it ran, where, and what it printed."""

import json
import re
from datetime import datetime, timezone

utc = timezone.utc


class Metadata(dict):
    """The record of one task. Its keys are fixed, and are attributes, too.

    Dates are `datetime` with a time zone. `outputs` is a list of display messages' contents, `data` a dict of published values.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(
            msg_id=None, submitted=None, started=None, completed=None, received=None, engine_uuid=None, engine_id=None, follow=None,
            after=None, status=None, execute_input=None, execute_result=None, error=None, stdout="", stderr="", outputs=[], data={},
            label=None,
        )  # fmt: skip
        self.update(*args, **kwargs)

    def __getattr__(self, key):
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setattr__(self, key, value):
        if key not in self:
            raise AttributeError(key)
        self[key] = value

    def __setitem__(self, key, value):
        if key not in self:
            raise KeyError(key)
        super().__setitem__(key, value)


#: The keys that every record has.
KEYS = frozenset(Metadata())

DATE_FIELDS = ("submitted", "started", "completed", "received")

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:?\d{2})?$")


def utcnow():
    """Now, with a time zone."""
    return datetime.now(utc)


def parse_date(text):
    """The datetime of an ISO 8601 text; anything else as it is."""
    if type(text) is not str:
        return text
    match = _DATE.match(text)
    if match is None:
        return text
    base = datetime.fromisoformat(text[:19])
    if match.group(1):
        base = base.replace(microsecond=int(match.group(1)[1:].ljust(6, "0")))
    zone = match.group(2)
    if zone == "Z":
        return base.replace(tzinfo=utc)
    if zone is None:
        # No zone means the local one.
        return base.astimezone()
    return base.replace(tzinfo=datetime.strptime(zone, "%z").tzinfo)


def extract_dates(obj):
    """JSON with its dates parsed."""
    if isinstance(obj, dict):
        return {key: extract_dates(value) for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [extract_dates(value) for value in obj]
    return parse_date(obj)


def from_timestamp(seconds):
    return None if seconds is None else datetime.fromtimestamp(seconds, utc)


def reply_fields(metadata, header, content, engine_ids):
    """What a reply says, as fields of the record.

    metadata, header, content: dicts. engine_ids: uuid -> engine id.
    """
    uuid = metadata.get("engine")
    info = content.get("engine_info") or {}
    fields = {
        "engine_uuid": uuid if uuid is not None else info.get("engine_uuid"),
        "follow": metadata.get("follow", []),
        "after": metadata.get("after", []),
        "status": content.get("status"),
        "is_broadcast": metadata.get("is_broadcast", False),
        "is_coalescing": metadata.get("is_coalescing", False),
    }
    if metadata.get("label") is not None:
        fields["label"] = metadata["label"]
    if fields["engine_uuid"] is not None:
        fields["engine_id"] = engine_ids.get(fields["engine_uuid"], info.get("engine_id"))
    if fields["is_coalescing"]:
        targets = metadata.get("broadcast_targets", ())
        fields["engine_uuid"] = [target[0] for target in targets]
        fields["engine_id"] = [target[1] for target in targets]
    if "started" in metadata:
        fields["started"] = parse_date(metadata["started"])
    if "date" in header:
        fields["completed"] = parse_date(header["date"])
    return fields


#: A carriage return, and what it overwrites.
_OVERWRITTEN = re.compile(r".*\r(?=[^\n])")


def add_output(record, kind, content, buffers):
    """Enter one output message of a task into its record. content: bytes of JSON."""
    if kind == "data_message":
        from . import serialize

        record["data"].update(serialize.deserialize_object(buffers)[0])
        return
    content = json.loads(content)
    if kind == "stream":
        name = content["name"]
        text = (record[name] or "") + content["text"]
        record[name] = _OVERWRITTEN.sub("", text) if "\r" in content["text"] else text
    elif kind == "display_data":
        record["outputs"].append(content)
    elif kind == "execute_result":
        record["execute_result"] = content
    elif kind == "execute_input":
        record["execute_input"] = content.get("code")
    elif kind == "error":
        from . import error

        record["error"] = error.unwrap_exception(content)
