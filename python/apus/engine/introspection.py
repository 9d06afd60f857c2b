"""The requests beside apply and execute: clearing, and what Jupyter frontends ask a kernel."""

import json
import sys


def handle(kernel, request):
    """Answer a request, or ignore a message that wants no answer."""
    kind = request[0]
    handler = _HANDLERS.get(kind)
    if handler is not None:
        content = json.loads(request[2])
        reply = handler(kernel, content)
        reply.setdefault("status", "ok")
        kernel.core.reply(_reply_type(kind), reply["status"] == "ok", json.dumps(reply, default=str), reply.get("ename"), None)
    elif kind in ("comm_open", "comm_msg", "comm_close"):
        from . import comms

        header, content, metadata = (json.loads(request[index]) for index in (4, 2, 3))
        comms.handle(kernel, kind, {"header": header, "content": content, "metadata": metadata, "buffers": request[5]})
        kernel.core.skip_reply()
    else:
        # An answer whatever it is: somebody may wait for one, and a scheduler does.
        reply_failure(kernel, kind, "NotImplementedError", f"this engine does not know {kind!r}", [])


def reply_failure(kernel, kind, name, value, traceback, **more):
    content = {"status": "error", "ename": name, "evalue": value, "traceback": traceback, "engine_info": {}, **more}
    kernel.core.reply(_reply_type(kind), False, json.dumps(content), name, None)


def _reply_type(kind):
    return kind[: -len("request")] + "reply" if kind.endswith("_request") else kind + "_reply"


def _clear(kernel, content):
    kernel.clear()
    return {}


def _kernel_info(kernel, content):
    from .._version import __version__

    version = sys.version.split()[0]
    return {
        "protocol_version": "5.3",
        "implementation": "apus",
        "implementation_version": __version__,
        "language_info": {
            "name": "python", "version": version, "mimetype": "text/x-python", "file_extension": ".py", "pygments_lexer": "ipython3",
            "codemirror_mode": {"name": "ipython", "version": 3}, "nbconvert_exporter": "python",
        },
        "banner": f"Python {version} in engine {kernel.engine_id} of a cluster",
        "help_links": [],
        "supported_features": [],
    }  # fmt: skip


def _complete(kernel, content):
    code = content.get("code", "")
    position = content.get("cursor_pos")
    position = len(code) if position is None else position
    if kernel.shell is None:
        return {"matches": [], "cursor_start": position, "cursor_end": position, "metadata": {}}
    from IPython.core.completer import provisionalcompleter, rectify_completions

    with provisionalcompleter():
        found = list(rectify_completions(code, kernel.shell.Completer.completions(code, position)))
    start, end = (found[0].start, found[0].end) if found else (position, position)
    details = [{"start": item.start, "end": item.end, "text": item.text, "type": item.type} for item in found]
    return {
        "matches": [item.text for item in found], "cursor_start": start, "cursor_end": end,
        "metadata": {"_jupyter_types_experimental": details},
    }  # fmt: skip


def _inspect(kernel, content):
    code = content.get("code", "")
    reply = {"found": False, "data": {}, "metadata": {}}
    if kernel.shell is None:
        return reply
    from IPython.utils.tokenutil import token_at_cursor

    position = content.get("cursor_pos")
    name = token_at_cursor(code, len(code) if position is None else position)
    try:
        reply["data"] = kernel.shell.object_inspect_mime(name, detail_level=content.get("detail_level", 0))
        reply["found"] = True
    except KeyError:
        pass
    return reply


def _is_complete(kernel, content):
    if kernel.shell is None:
        import codeop

        try:
            status = "complete" if codeop.compile_command(content.get("code", "")) else "incomplete"
        except (SyntaxError, ValueError, OverflowError):
            status = "invalid"
        return {"status": status}
    status, indent = kernel.shell.input_transformer_manager.check_complete(content.get("code", ""))
    reply = {"status": status}
    if status == "incomplete":
        reply["indent"] = " " * indent
    return reply


def _history(kernel, content):
    if kernel.shell is None:
        return {"history": []}
    manager = kernel.shell.history_manager
    raw, output = content.get("raw", True), content.get("output", False)
    kind = content.get("hist_access_type", "tail")
    if kind == "range":
        found = manager.get_range(content.get("session", 0), content.get("start", 1), content.get("stop"), raw=raw, output=output)
    elif kind == "search":
        found = manager.search(
            content.get("pattern", "*"), raw=raw, output=output, n=content.get("n"), unique=content.get("unique", False)
        )
    else:
        found = manager.get_tail(content.get("n", 10), raw=raw, output=output, include_latest=True)
    return {"history": list(found)}


def _comm_info(kernel, content):
    target = content.get("target_name")
    if "comm" not in sys.modules:
        return {"comms": {}}
    from . import comms

    found = comms.open_comms().items()
    return {"comms": {key: {"target_name": comm.target_name} for key, comm in found if target in (None, comm.target_name)}}


def _connect(kernel, content):
    return {}


def _usage(kernel, content):
    import os
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "hostname": os.uname().nodename, "pid": os.getpid(), "kernel_cpu": None, "kernel_memory": usage.ru_maxrss * 1024,
        "cpu_count": os.cpu_count(),
    }  # fmt: skip


_HANDLERS = {
    "clear_request": _clear,
    "kernel_info_request": _kernel_info,
    "complete_request": _complete,
    "inspect_request": _inspect,
    "is_complete_request": _is_complete,
    "history_request": _history,
    "comm_info_request": _comm_info,
    "connect_request": _connect,
    "usage_request": _usage,
}
