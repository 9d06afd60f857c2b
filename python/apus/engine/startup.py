"""Code that runs before an engine accepts work: PYTHONSTARTUP, the profile's startup files, configured lines, `-c`, `-s`."""

import importlib.util
import os

from .. import tracebacks
from . import profile


def run(kernel, settings, mpi_code):
    files = []
    if os.environ.get("PYTHONSTARTUP") and settings.flag("IPKernelApp", "exec_PYTHONSTARTUP", True):
        files.append(os.environ["PYTHONSTARTUP"])
    files += profile.startup_files(kernel.profile_directory)
    for path in files:
        _run_file(kernel, path)
    lines = settings.lines("IPKernelApp", "exec_lines")
    if settings.flag("IPEngine", "use_mpi") and (settings.get("IPEngine", "init_mpi") or importlib.util.find_spec("mpi4py")):
        lines = [settings.text("IPEngine", "init_mpi", mpi_code), *lines]
    command = settings.get("IPEngine", "startup_command")
    if command:
        lines = [*lines, command]
    for line in lines:
        _run_code(kernel, line, "<startup>")
    script = settings.get("IPEngine", "startup_script")
    for path in [*settings.lines("IPKernelApp", "exec_files"), *([script] if script else [])]:
        _run_file(kernel, os.path.expanduser(path))
    for extension in settings.lines("IPKernelApp", "extensions"):
        if kernel.shell is not None:
            kernel.shell.extension_manager.load_extension(extension)


def _run_file(kernel, path):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        kernel.log(40, f"Cannot read the startup file {path}: {error.strerror}")
        return
    kernel.user_ns["__file__"] = path
    try:
        _run_code(kernel, text, path)
    finally:
        kernel.user_ns.pop("__file__", None)


def _run_code(kernel, text, name):
    """Plain Python runs as it is; magics bring in IPython. An error is logged and does not stop the engine."""
    try:
        code = compile(text, name, "exec")
    except SyntaxError as error:
        if kernel.shell is not None:
            kernel.shell.run_cell(text, store_history=False)
            return
        kernel.log(40, f"Error in the startup code {name}: {error}")
        return
    try:
        exec(code, kernel.user_ns)
    except SystemExit:
        kernel.log(30, f"Ignored SystemExit in the startup code {name}")
    except Exception as error:
        kernel.log(40, f"Error in the startup code {name}:\n" + "\n".join(tracebacks.render(error, False, (__file__,))))
