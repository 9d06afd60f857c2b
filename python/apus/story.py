"""What has happened in a cluster, and why: the controller's log of events, explanations, and traces."""

import contextlib
import errno
import json
import os
import random
import shutil
from datetime import datetime, timedelta, timezone

from .metadata import parse_date

#: How long one question waits for events, and how much longer its answer may take; then it is asked again.
_LONGEST_WAIT, _PATIENCE = 10.0, 5.0
#: So many questions in a row without an answer are the end.
_ATTEMPTS = 6

_HUB = 0

#: Under which names there are files of processes.
_OPEN_FILES = ("/dev/std", "/dev/fd/", "/proc/")
#: Why no file can be made beside another, or take its place.
_NOT_BESIDE = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV, errno.ENAMETOOLONG)

_DATES = ("time", "sent", "began", "ended")


def _write_whole(path, text):
    """Write a file under its name when all of it is written.

    A device, a pipe and what is open already are written to as they are; so is a file where none may be made beside it.
    """
    if isinstance(path, int):
        return _write(path, text, "w")
    path = os.fsdecode(path)
    if path.startswith(_OPEN_FILES) or os.path.exists(path) and not os.path.isfile(path):
        return _write(path, text, "a")
    # Through a link, as `open` writes.
    path = os.path.realpath(path)
    unfinished = f"{path}.{os.getpid()}-{random.getrandbits(32)}.new"
    try:
        _write(unfinished, text, "x")
        if os.path.exists(path):
            shutil.copymode(path, unfinished)
        os.replace(unfinished, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        if not isinstance(error, OSError) or error.errno not in _NOT_BESIDE or not os.path.exists(path):
            raise
        _write(path, text, "w")


def _write(path, text, mode):
    with open(path, mode) as file:
        file.write(text)


class Event(dict):
    """One event: `number`, `time`, `kind`, and what the kind knows: `task`, `engine`, `client`, `outcome`, `reason` and so on.

    `str` of it is a line for people. Dates are datetimes.
    """

    def __init__(self, content):
        super().__init__(content)
        self._text = self.pop("text", None)
        for key in _DATES:
            if key in self:
                self[key] = parse_date(self[key])

    def __str__(self):
        return f"{self['time'].isoformat(timespec='milliseconds')}  {self._text or self['kind']}"


class Explanation(dict):
    """Why a task or an engine is where it is: `status`, `summary`, `reasons`, `tries`, `phases`, `facts`. `str` of it is for people."""

    def __init__(self, content, text):
        super().__init__(content)
        self._text = text

    def __str__(self):
        return self._text.rstrip("\n")

    def __repr__(self):
        return f"<Explanation: {self['summary']}>"

    @property
    def status(self):
        """Of a task unknown, waiting, queued, placed, running or ended; of an engine unknown, registered or lost."""
        return self["status"]

    @property
    def codes(self):
        """The reasons, in one word each."""
        return [reason["code"] for reason in self["reasons"]]


class Story:
    """The part of the client that asks what has happened. Only controllers of Apus know; others raise RemoteError."""

    def story(self, task=None, engine=None, client=None, kind=None, since=None, last=None, follow=False, timeout=None):
        """Events of the cluster, the oldest first: of all clients, as far as the controller still has them.

        task: of this one, or these: ids, indices of the history, AsyncResults. engine: of the engine with this id or uuid. client: of the
        client with this session (`client.session.session`): its coming and going, and its tasks. kind: of this kind or these, by name (`finished`), or `task`, `engine` or
        `client` for all about them. since: a datetime, a timedelta, or so many seconds ago. last: the latest so many.

        follow: an iterator that goes on with what happens, for `timeout` seconds (default: for ever). Raises RemoteError for a filter that
        makes no sense.
        """
        pages = self._story_pages(self._story_filter(task, engine, client, kind, since), follow, timeout, since is None, last)
        events = (Event(event) for page in pages for event in page["events"])
        return events if follow else list(events)

    def explain(self, job=None, engine=None):
        """Why a task waits, where it ran, how it ended: an `Explanation`, or a list of them for several tasks.

        job: an id, an index of the history (default: the last), or an AsyncResult. engine: of an engine, by its id or uuid, instead: what it
        does, or why it is gone.
        """
        if engine is not None:
            return self._explanation({"engine": engine})
        msg_ids = self._msg_ids_from_jobs(-1 if job is None else job)
        explanations = [self._explanation({"task": msg_id}) for msg_id in msg_ids]
        return explanations[0] if len(explanations) == 1 else explanations

    def trace(self, path, task=None, engine=None, since=None):
        """Write what tasks did on which engine as a trace that https://ui.perfetto.dev shows. Returns the number of events it is made of.

        path: of a file, which is there whole or, if this is interrupted, as it was before; of a device or a pipe; or a descriptor. Raises
        OSError where it cannot be written.
        """
        events = []
        for page in self._story_pages(self._story_filter(task, engine, None, None, since), False, None, False, text=False):
            events += page["events"]
        _write_whole(path, self._core.story_trace(json.dumps(events)))
        return len(events)

    def _explanation(self, content):
        answer = self._ask_hub("apus_explain_request", content)[0]
        return Explanation(answer["explanation"], answer["text"])

    def _story_filter(self, task, engine, client, kind, since):
        wanted = {}
        if task is not None:
            wanted["tasks"] = self._msg_ids_from_jobs(task)
        if engine is not None:
            wanted["engine"] = engine
        if client is not None:
            wanted["client"] = client
        if kind is not None:
            wanted["kinds"] = [kind] if isinstance(kind, str) else list(kind)
        if since is not None:
            wanted["since"] = _date_text(since)
        return wanted

    def _story_pages(self, wanted, follow, timeout, from_end, last=None, text=True):
        """Parts of the log, as an iterator. Where it follows from the end, that is the moment of this call."""
        question = {"filter": wanted, "text": text}
        if last is not None:
            question["last"] = last
        elif follow and from_end:
            page = self._ask_events({"filter": wanted, "since": "end", "limit": 1})
            question.update(since=page["next"], log=page["log"])
        return self._read_story(question, follow, timeout)

    def _ask_events(self, question):
        """A part of the log. A controller that was started again meanwhile does not know of the question: it is asked anew."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._ask(_HUB, None, "apus_events_request", question).result(question.get("wait", 0) + _PATIENCE)[0]
            except TimeoutError:
                if attempt == _ATTEMPTS - 1:
                    raise

    def _read_story(self, question, follow, timeout):
        from time import monotonic

        deadline = None if timeout is None else monotonic() + timeout
        end = None
        while True:
            if follow:
                left = _LONGEST_WAIT if deadline is None else deadline - monotonic()
                question["wait"] = max(0.0, min(_LONGEST_WAIT, left))
            page = self._ask_events(question)
            if end is None:
                end = page["end"]
            yield page
            question.pop("last", None)
            question.update(since=page["next"], log=page["log"])
            if follow:
                if deadline is not None and monotonic() >= deadline:
                    return
            elif not page["more"] or page["next"] >= end:
                # Not for ever, where events come faster than they are read.
                return


def _date_text(moment):
    """A moment, or so long ago, as the wire has it."""
    if isinstance(moment, timedelta):
        moment = datetime.now(timezone.utc) - moment
    elif isinstance(moment, (int, float)):
        moment = datetime.now(timezone.utc) - timedelta(seconds=moment)
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
