"""`execute_request`: code cells, with IPython where it is installed."""

import json
import sys

from .. import tracebacks


def _options(request):
    content = json.loads(request[2])
    silent = bool(content.get("silent", False))
    return {
        "code": content.get("code", ""),
        "silent": silent,
        "store_history": bool(content.get("store_history", not silent)) and not silent,
        "user_expressions": content.get("user_expressions") or {},
        "stop_on_error": content.get("stop_on_error", True),
    }


def execute(kernel, request):
    """Run a cell and answer."""
    options = _options(request)
    shell = kernel.shell
    _announce(kernel, options)
    kernel.background.was_interrupted = False
    reply = None
    try:
        kernel.enter()
        if shell is None:
            reply = _run_plain(kernel, options)
        else:
            result = shell.run_cell(options["code"], store_history=options["store_history"], silent=options["silent"])
            reply = _cell_reply(kernel, shell, result, options)
        kernel.busy = False
    except BaseException as error:
        kernel.busy = False
        reply = _failure(kernel, error, tracebacks.render(error, kernel.colored))
    _answer(kernel, options, reply)


async def execute_async(kernel, request):
    """As `execute`, inside the running event loop: only the cell waits while it awaits."""
    options = _options(request)
    shell = kernel.shell
    transformed = failure = None
    if shell is not None:
        try:
            transformed = shell.transform_cell(options["code"])
        except Exception:
            transformed, failure = options["code"], sys.exc_info()
    if shell is None or not shell.should_run_async(options["code"], transformed_cell=transformed, preprocessing_exc_tuple=failure):
        return execute(kernel, request)
    _announce(kernel, options)
    kernel.background.was_interrupted = False
    result = None
    try:
        kernel.enter()
        result = await kernel.background.run_cell(
            shell.run_cell_async(
                options["code"], store_history=options["store_history"], silent=options["silent"], transformed_cell=transformed,
                preprocessing_exc_tuple=failure,
            )  # fmt: skip
        )
        shell.events.trigger("post_execute")
        if not options["silent"]:
            shell.events.trigger("post_run_cell", result)
        reply = _cell_reply(kernel, shell, result, options)
        kernel.busy = False
    except BaseException as error:
        kernel.busy = False
        reply = _failure(kernel, error, tracebacks.render(error, kernel.colored))
    _answer(kernel, options, reply)


def _announce(kernel, options):
    if not options["silent"]:
        count = kernel.shell.execution_count if kernel.shell is not None else kernel.execution_count
        kernel.publish("execute_input", "execute_input", {"code": options["code"], "execution_count": count})


def _answer(kernel, options, reply):
    failed = reply["status"] == "error"
    if failed:
        reply["engine_info"] = {"engine_uuid": kernel.uuid, "engine_id": kernel.engine_id, "method": "execute"}
    text = json.dumps(reply, default=str, ensure_ascii=False)
    if failed and not options["silent"] and options["stop_on_error"]:
        # Before the reply: what a client sends in answer to it is not meant.
        kernel.core.abort_executions()
    kernel.core.reply("execute_reply", not failed, text, reply.get("ename"), None)


def _cell_reply(kernel, shell, result, options):
    error = result.error_before_exec if result.error_before_exec is not None else result.error_in_exec
    reply = {"status": "ok", "execution_count": shell.execution_count - 1, "user_expressions": {}, "payload": []}
    if error is not None or shell.failed_while_displaying:
        name, value = tracebacks.describe(error) if error is not None else ("Error", "the result could not be displayed")
        if kernel.background.was_interrupted and name == "CancelledError":
            name, value = "KeyboardInterrupt", ""
        reply.update(status="error", ename=name, evalue=value, traceback=shell.last_traceback or [])
    else:
        reply["user_expressions"] = shell.user_expressions(options["user_expressions"])
    reply["payload"] = shell.payload_manager.read_payload()
    shell.payload_manager.clear_payload()
    return reply


def _failure(kernel, error, lines):
    name, value = tracebacks.describe(error)
    count = kernel.shell.execution_count - 1 if kernel.has_shell else kernel.execution_count
    return {
        "status": "error", "ename": name, "evalue": value, "traceback": lines, "execution_count": count, "user_expressions": {},
        "payload": [],
    }  # fmt: skip


def _run_plain(kernel, options):
    """Without IPython: statements run, and the value of a last expression is shown by its repr."""
    import ast

    count = kernel.execution_count
    if options["store_history"]:
        kernel.execution_count += 1
    try:
        name = f"<cell {count}>"
        tree = ast.parse(options["code"], name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), kernel.user_ns)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), kernel.user_ns)
            if value is not None and not options["silent"]:
                kernel.user_ns["_"] = value
                content = {"data": {"text/plain": repr(value)}, "metadata": {}, "execution_count": count}
                kernel.publish("execute_result", "execute_result", content)
    except BaseException as error:
        lines = tracebacks.render(error, kernel.colored, (__file__,))
        kernel.core.publish_error(*tracebacks.describe(error), lines)
        return dict(_failure(kernel, error, lines), execution_count=count)
    expressions = {}
    for key, expression in options["user_expressions"].items():
        try:
            value = eval(expression, kernel.user_ns)
            expressions[key] = {"status": "ok", "data": {"text/plain": repr(value)}, "metadata": {}}
        except Exception as error:
            name, text = tracebacks.describe(error)
            expressions[key] = {"status": "error", "ename": name, "evalue": text, "traceback": []}
    return {"status": "ok", "execution_count": count, "user_expressions": expressions, "payload": []}
