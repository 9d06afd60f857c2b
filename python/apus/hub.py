"""What a client asks of the hub: results of others, the database of tasks, queues."""

import json

from . import error, serialize
from .asyncresult import AsyncHubResult, AsyncResult
from .executereply import ExecuteReply
from .metadata import DATE_FIELDS, Metadata, extract_dates, parse_date, reply_fields


class MetadataTable(dict):
    """msg_id -> record: of tasks under way, and of those whose results came from the hub. A new id gets an empty record."""

    def __init__(self, find):
        super().__init__()
        self._find = find

    def __missing__(self, msg_id):
        message = self._find(msg_id)
        if message is not None:
            return message.metadata
        record = self[msg_id] = Metadata(msg_id=msg_id)
        return record

    def __contains__(self, msg_id):
        return super().__contains__(msg_id) or self._find(msg_id) is not None


class _Record:
    """What `ExecuteReply` needs of a message, from the hub."""

    def __init__(self, msg_id, metadata):
        self.msg_id = msg_id
        self.metadata = metadata


class Hub:
    """The part of the client that asks the hub."""

    # -- jobs

    def _msg_ids_from_jobs(self, jobs=None):
        """Ids of tasks that are given as ids, indices of the history, or AsyncResults."""
        msg_ids = []
        for job in _jobs(jobs):
            if isinstance(job, AsyncResult):
                msg_ids += job.msg_ids
            elif isinstance(job, int):
                msg_ids.append(self.history[job])
            elif isinstance(job, str):
                msg_ids.append(job)
            else:
                raise TypeError(f"Expected msg_id, int, or AsyncResult, got {job!r}")
        return msg_ids

    def _asyncresult_from_jobs(self, jobs=None, owner=False):
        is_single = not _is_collection(jobs)
        messages, remote = [], []
        for job in _jobs(jobs):
            if isinstance(job, AsyncResult):
                messages += job._children
                remote += [] if job._children else job.msg_ids
                continue
            if isinstance(job, int):
                job = self.history[job]
            if not isinstance(job, str):
                raise TypeError(f"Expected msg_id, int, or AsyncResult, got {job!r}")
            message = self._find_message(job) or self._known_result(job)
            if message is None:
                remote.append(job)
            else:
                messages.append(message)
        if remote:
            return AsyncHubResult(self, remote[0] if is_single and len(remote) == 1 else remote, owner=owner)
        return AsyncResult(self, messages[0] if is_single and len(messages) == 1 else messages, owner=owner)

    def _known_result(self, msg_id):
        """The result that came from the hub before, as a message that has its reply."""
        if msg_id not in self.results:
            return None
        from .message import APPLY, COMPLETE, FAILED, SUCCEEDED, Message

        value = self.results[msg_id]
        message = Message(-1, APPLY, self._dispatcher, None)
        message.share = msg_id
        message.has_output_pending = COMPLETE
        message._metadata = self.metadata[msg_id]
        message._value = value
        message.reply = (-1, FAILED if isinstance(value, Exception) else SUCCEEDED, None, None, None, None)
        return message

    def get_result(self, indices_or_msg_ids=None, block=None, owner=True):
        """The result of one task, or of a list: ids, indices of the history (default: the last), AsyncResults.

        It is an AsyncHubResult if this client does not have it. owner: forget it here once it is read.
        """
        result = self._asyncresult_from_jobs(-1 if indices_or_msg_ids is None else indices_or_msg_ids, owner=owner)
        if self.block if block is None else block:
            result.wait()
        return result

    def resubmit(self, indices_or_msg_ids=None, metadata=None, block=None):
        """Run tasks again, under new ids. Returns an AsyncHubResult. Raises RemoteError for what the hub does not know."""
        msg_ids = self._msg_ids_from_jobs(-1 if indices_or_msg_ids is None else indices_or_msg_ids)
        content, _ = self._ask_hub("resubmit_request", {"msg_ids": msg_ids})
        result = AsyncHubResult(self, [content["resubmitted"][msg_id] for msg_id in msg_ids])
        if self.block if block is None else block:
            result.wait()
        return result

    # -- results

    def result_status(self, msg_ids, status_only=True):
        """A dict with the lists `pending` and `completed`; without `status_only` also the results, by id.

        Raises RemoteError if the hub does not know an id, and with results what a single task raised.
        """
        wanted = self._msg_ids_from_jobs(msg_ids)
        here = [msg_id for msg_id in wanted if msg_id in self.results]
        missing = [msg_id for msg_id in wanted if msg_id not in self.results]
        content, buffers = {"pending": [], "completed": []}, []
        if missing:
            content, buffers = self._ask_hub("result_request", {"msg_ids": missing, "status_only": status_only})
        content["completed"] = [*content["completed"], *here]
        content.pop("status", None)
        if status_only:
            return content
        self._keep_results(content, missing, buffers)
        for msg_id in wanted:
            if msg_id in self.results:
                content[msg_id] = self.results[msg_id]
        failures = [self.results[msg_id] for msg_id in missing if isinstance(self.results.get(msg_id), Exception)]
        if len(missing) == 1 and failures:
            raise failures[0]
        error.collect_exceptions(failures, "result_status")
        return content

    def _fetch_results(self, msg_ids):
        """Get results that are there; the ids of those that are not."""
        content, buffers = self._ask_hub("result_request", {"msg_ids": msg_ids, "status_only": False})
        self._keep_results(content, msg_ids, buffers)
        return content["pending"]

    def _keep_results(self, content, msg_ids, buffers):
        buffers = list(buffers or ())
        for msg_id in sorted(set(msg_ids)):
            if msg_id not in content["completed"] or msg_id not in content:
                continue
            entry = content[msg_id]
            reply = entry["result_content"]
            if isinstance(reply, str):
                reply = json.loads(reply)
            record = self.metadata[msg_id]
            metadata = entry.get("result_metadata") or {}
            record.update(reply_fields(metadata, entry.get("result_header") or {}, reply, self._dispatcher.engines.known))
            record["submitted"] = parse_date((entry.get("header") or {}).get("date"))
            if entry.get("received"):
                record["received"] = parse_date(entry["received"])
            record.update({key: value for key, value in (entry.get("io") or {}).items() if key in record})
            if isinstance(record["error"], dict):
                record["error"] = error.unwrap_exception(record["error"])
            if reply["status"] == "aborted":
                self.results[msg_id] = error.TaskAborted(msg_id)
            elif reply["status"] != "ok":
                self.results[msg_id] = error.unwrap_exception(reply)
            elif (entry.get("result_header") or {}).get("msg_type") == "execute_reply":
                self.results[msg_id] = ExecuteReply(_Record(msg_id, record), reply)
            elif metadata.get("codec") == "cloudpickle":
                from . import codec

                self.results[msg_id], buffers = codec.load_first(buffers)
            else:
                self.results[msg_id], buffers = serialize.deserialize_object(buffers)

    # -- queues and database

    def queue_status(self, targets="all", verbose=False):
        """The engines' queues: id -> dict of `queue`, `completed`, `tasks` (numbers, or ids if `verbose`), and `unassigned`.

        For an int as `targets`, only that engine's dict.
        """
        ids = None if isinstance(targets, str) and targets == "all" else self._build_targets(targets)[1]
        content, _ = self._ask_hub("queue_request", {"targets": ids, "verbose": verbose})
        content.pop("status", None)
        queues = {int(key) if key.isdecimal() else key: value for key, value in content.items()}
        return queues[targets] if isinstance(targets, int) else queues

    def hub_history(self):
        """Ids of all tasks that the hub knows, in the order of submission."""
        return self._ask_hub("history_request")[0]["history"]

    def db_query(self, query, keys=None):
        """Records of the database of tasks that match a query in MongoDB's form; `keys` are the fields wanted (`msg_id` always comes).

        Without `keys`, all but buffers. Raises RemoteError.
        """
        keys = [keys] if isinstance(keys, str) else keys
        content, buffers = self._ask_hub("db_request", {"query": _with_text_dates(query), "keys": keys})
        records = content["records"]
        lengths, result_lengths = content.get("buffer_lens"), content.get("result_buffer_lens")
        rest = list(buffers or ())
        for index, record in enumerate(records):
            for key in ("header", "result_header"):
                if key in record:
                    record[key] = extract_dates(record[key])
            for key in DATE_FIELDS:
                if key in record:
                    record[key] = parse_date(record[key])
            for key, counts in (("buffers", lengths), ("result_buffers", result_lengths)):
                if counts is not None:
                    record[key], rest = rest[: counts[index]], rest[counts[index] :]
        return records

    # -- forgetting

    def purge_local_results(self, jobs=(), targets=()):
        """Forget results here: of jobs, or of engines. Raises RuntimeError if some are outstanding."""
        _check_purge(jobs, targets)
        if jobs == "all":
            if self.outstanding:
                raise RuntimeError(f"Can't purge outstanding tasks: {self.outstanding}")
            self.results.clear()
            self.metadata.clear()
            return
        msg_ids = set(self._msg_ids_from_jobs(jobs))
        if targets:
            uuids = {uuid.decode() for uuid in self._build_targets(targets)[0]}
            msg_ids.update(msg_id for msg_id, record in self.metadata.items() if record["engine_uuid"] in uuids)
        outstanding = {msg_id for msg_id in msg_ids if msg_id in self.outstanding}
        if outstanding:
            raise RuntimeError(f"Can't purge outstanding tasks: {outstanding}")
        for msg_id in msg_ids:
            self.results.pop(msg_id, None)
            self.metadata.pop(msg_id, None)

    def purge_hub_results(self, jobs=(), targets=()):
        """Let the hub forget results: of jobs, of engines, or 'all'. Raises RemoteError if some are outstanding."""
        _check_purge(jobs, targets)
        ids = self._build_targets(targets)[1] if targets else []
        msg_ids = jobs if jobs == "all" else self._msg_ids_from_jobs(jobs)
        self._ask_hub("purge_request", {"engine_ids": ids, "msg_ids": msg_ids})

    def purge_results(self, jobs=(), targets=()):
        """Forget results here and at the hub."""
        self.purge_local_results(jobs=jobs, targets=targets)
        self.purge_hub_results(jobs=jobs, targets=targets)

    def purge_everything(self):
        """Forget all results here and at the hub, and the history."""
        self.purge_results("all")
        self.history.clear()
        self.session.digest_history.clear()


def _is_collection(jobs):
    return isinstance(jobs, (list, tuple, set)) or hasattr(jobs, "send")


def _jobs(jobs):
    return jobs if _is_collection(jobs) else [jobs]


def _check_purge(jobs, targets):
    if not targets and targets != 0 and not jobs and jobs != 0:
        raise ValueError("Must specify at least one of `targets` and `jobs`")


def _with_text_dates(value):
    """Dates as JSON has them."""
    if hasattr(value, "isoformat"):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {key: _with_text_dates(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_with_text_dates(part) for part in value]
    return value
