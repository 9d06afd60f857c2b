"""Showing what tasks print and display: as it comes, or afterwards."""

import json
import sys
from contextlib import contextmanager, nullcontext

from . import error


def _shell():
    """IPython's shell, if this process has one; IPython is not imported for the question."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def _show_text(text):
    from IPython.display import display_pretty

    display_pretty(text, raw=True)


def _above_bars():
    """For what is printed while a progress bar may stand on the terminal; gives whether one does."""
    module = sys.modules.get(f"{__package__}.progressbar")
    return nullcontext(False) if module is None else module.writing()


class Output:
    """The part of a result that shows output."""

    #: Whether errors are shown as they come; not if somebody raises them right after.
    _streams_errors = True

    _last_display_prefix = ""
    _stream_trailing_newline = True

    # -- live

    @contextmanager
    def stream_output(self):
        """While the block runs, output is shown as it comes, each engine's with a heading such as `[stdout:0]`."""
        self._last_display_prefix = ""
        self._stream_trailing_newline = True
        stream = _Stream(self)
        targets = self._targets or [None] * len(self._children)
        shown = [(message, stream.shower(message, target)) for message, target in zip(self._children, targets)]
        for message, show in shown:
            stream.begin(message, show)
        try:
            yield
        finally:
            stream.flush()
            for message, show in shown:
                message.callbacks = [callback for callback in message.callbacks or () if callback is not show] or None

    # -- afterwards

    def _display_stream(self, text, prefix="", file=None):
        """Print text under its heading, which is not repeated."""
        if not text:
            return
        before = ""
        if prefix:
            if prefix == self._last_display_prefix:
                prefix = ""
            else:
                self._last_display_prefix = prefix
                before = "" if self._stream_trailing_newline else "\n"
        self._stream_trailing_newline = text.endswith("\n")
        print(f"{before}{prefix}" + ("\n" if prefix else "") + text, file=file or sys.stdout, end="")

    def _republish_displaypub(self, content, engine_id):
        shell = _shell()
        if shell is not None:
            metadata = (content.get("metadata") or {}) | {"engine": engine_id}
            shell.display_pub.publish(data=content["data"], metadata=metadata)

    def _display_single_result(self, result_only=False):
        if not result_only:
            self._display_stream(self.stdout)
            self._display_stream(self.stderr, file=sys.stderr)
        if _shell() is None:
            return
        if not result_only:
            for output in self.outputs:
                self._republish_displaypub(output, self.engine_id)
        if self.execute_result is not None:
            _display(self.get())

    def display_outputs(self, groupby="type", result_only=False):
        """Show what the tasks have printed and displayed, and the values of their cells.

        groupby: "type" (all that was printed, then all that was displayed, then the values), "engine" (one engine after another) or
        "order" (as "type", but the first display of each engine before the second ones). result_only: only the values.

        Raises TimeoutError if the call has not ended, ValueError for another `groupby`.
        """
        self._check_ready()
        self.wait_for_output()
        if self._single_result:
            self._display_single_result(result_only)
            return
        if groupby not in ("type", "engine", "order"):
            raise ValueError(f"groupby must be one of 'type', 'engine', 'order', not {groupby!r}")
        records = self._metadata
        results = self.get(return_exceptions=True)
        if groupby == "engine":
            for record, result in zip(records, results):
                self._show_engine(record, result, result_only)
            return
        if not result_only:
            for name, file in (("stdout", None), ("stderr", sys.stderr)):
                for record in records:
                    self._display_stream(record[name], f"[{name}:{record['engine_id']}] ", file or sys.stdout)
        if _shell() is None:
            return
        if not result_only:
            self._show_displays(records, groupby == "order")
        for record, result in zip(records, results):
            if record["execute_result"] is not None:
                _display(result)

    def _show_engine(self, record, result, result_only):
        engine_id = record["engine_id"]
        if not result_only:
            self._display_stream(record["stdout"], f"[stdout:{engine_id}] ")
            self._display_stream(record["stderr"], f"[stderr:{engine_id}] ", sys.stderr)
        if _shell() is None:
            return
        displays = [] if result_only else record["outputs"]
        if displays or record["execute_result"] is not None:
            _show_text(f"[output:{engine_id}]")
        for output in displays:
            self._republish_displaypub(output, engine_id)
        if record["execute_result"] is not None:
            _display(result)

    def _show_displays(self, records, is_by_order):
        if is_by_order:
            for index in range(max((len(record["outputs"]) for record in records), default=0)):
                for record in records:
                    if len(record["outputs"]) > index:
                        _show_text(f"[output:{record['engine_id']}]")
                        self._republish_displaypub(record["outputs"][index], record["engine_id"])
            return
        for record in records:
            if record["outputs"]:
                _show_text(f"[output:{record['engine_id']}]")
            for output in record["outputs"]:
                self._republish_displaypub(output, record["engine_id"])


def _display(obj):
    from IPython.display import display

    display(obj)


class _Stream:
    """Shows output messages as they come."""

    def __init__(self, result):
        self._result = result
        self._ids = set()
        self._errors = 0
        self._shown = {}

    def shower(self, message, target):
        """The function that shows an output event of this message."""
        return lambda event: self._show(message, target, event)

    def begin(self, message, show):
        """Show what there is already, and what comes."""
        from .dispatch import LOCK

        with LOCK:
            message.callbacks = [*(message.callbacks or ()), show]
            record = message.metadata
            waiting = {name: record[name] for name in ("stdout", "stderr") if record[name]}
            outputs, result, failure = list(record["outputs"]), record["execute_result"], record["error"]
        for name, text in waiting.items():
            self._show_stream(message, self._engine(message, None), name, text)
        for content in outputs:
            self._show_display(self._engine(message, None), content)
        if result:
            self._show_result(message, result)
        if failure is not None:
            self._show_error(failure)

    def flush(self):
        for file in (sys.stdout, sys.stderr):
            file.flush()

    def _engine(self, message, target):
        engine_id = message.metadata["engine_id"] if target is None else target
        return "" if engine_id is None else engine_id

    def _show(self, message, target, event):
        kind, content = event[2], event[4]
        if kind not in ("stream", "error", "execute_result", "display_data"):
            return
        content = json.loads(content)
        engine_id = self._engine(message, target)
        with _above_bars() as stands:
            self._show_content(message, engine_id, kind, content)
            if stands and not self._result._stream_trailing_newline:
                # The bar comes back on a line of its own, or it would stand over the text.
                self._result._display_stream("\n")

    def _show_content(self, message, engine_id, kind, content):
        if kind == "stream":
            self._show_stream(message, engine_id, content["name"], content["text"])
        elif kind == "error":
            failure = error.unwrap_exception(content)
            if not failure.engine_info.get("method"):
                failure.engine_info = {
                    "engine_id": engine_id, "engine_uuid": message.metadata["engine_uuid"], "method": message.method
                }  # fmt: skip
            self._show_error(failure)
        elif kind == "execute_result":
            self._show_result(message, content)
        else:
            self._show_display(engine_id, content)

    def _show_stream(self, message, engine_id, name, text):
        shell = _shell()
        if shell is None or getattr(shell, "kernel", None) is None:
            self._result._display_stream(text, f"[{name}:{engine_id}] ", getattr(sys, name, sys.stdout))
            return
        # A notebook: one place for each engine's stream, which grows.
        from IPython.display import publish_display_data

        display_id = f"{message.msg_id}-{name}"
        publish_display_data(
            {"text/plain": f"[{name}:{engine_id}] " + message.metadata[name]},
            transient={"display_id": display_id},
            update=display_id in self._ids,
        )
        self._ids.add(display_id)

    def _show_error(self, failure):
        if not self._result._streams_errors:
            return
        self._errors += 1
        if self._errors <= error.CompositeError.tb_limit:
            print("\n".join(failure.render_traceback()), file=sys.stderr)
        else:
            print(failure, file=sys.stderr)

    def _show_result(self, message, content):
        if _shell() is None:
            from .executereply import ExecuteReply

            print(repr(ExecuteReply(message, content)))
            return
        from .executereply import ExecuteReply

        message.metadata["execute_result"] = content
        _display(ExecuteReply(message, content))

    def _show_display(self, engine_id, content):
        if _shell() is not None:
            _show_text(f"[output:{engine_id}]")
            self._result._republish_displaypub(content, engine_id)
