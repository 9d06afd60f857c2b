"""Starts the engine of this process: reads options and files, registers, runs startup code, serves."""

import os
import sys

# The compiled half of `signal`: the other half makes enumerations, which cost 2 ms.
import _signal as signal

from . import options, preload, profile
from .._loader import load_core
from .options import OptionError

_DEFAULT_MPI_INIT = """\
from mpi4py import MPI
mpi_rank = MPI.COMM_WORLD.Get_rank()
mpi_size = MPI.COMM_WORLD.Get_size()
"""


def main(arguments):
    """Run an engine until it is stopped. Returns the exit code; `options.HELP` lists them."""
    beginning = _Beginning()
    preload.forget(os.environ)
    try:
        settings, text = options.parse(arguments)
    except OptionError as error:
        return _refuse(error)
    if text is not None:
        sys.stdout.write(text)
        return 0
    try:
        return _run(settings, beginning)
    except OptionError as error:
        return _refuse(error)


def _refuse(error):
    sys.stderr.write(f"ipengine: {error}\n")
    return 2


def _run(settings, beginning):
    _change_directory(settings.get("Application", "work_dir"))
    directory = os.path.abspath(profile.profile_dir(settings))
    # Before the core's own: signals wait in a child until that one lets them through.
    os.register_at_fork(after_in_child=_after_fork)
    core = load_core()
    core.configure_log(_log_level(settings), 2)
    given = settings.get("Application", "work_dir")
    profile.load_config_files(settings, directory, core.log)
    if not given:
        _change_directory(next(filter(None, (settings.get(name, "work_dir") for name in _WORK_DIR_CLASSES)), None))
    core.configure_log(_log_level(settings), _log_descriptor(settings, directory))
    for name in ("timeout", "max_heartbeat_misses", "wait_for_url_file", "id"):
        # Before anything is waited for.
        settings.number("IPEngine", name, None)
    text, path = _connection(settings, directory, core)
    if text is None:
        return 1
    # It holds the key: tasks, and what they start, have no business with it.
    source = "" if os.environ.pop("IPP_CONNECTION_INFO", None) else f"{path}: "
    try:
        text, path, tunnels = _tunnelled(settings, text, path, core)
    except OSError as error:
        core.log(50, f"Fatal: {error}")
        return 255
    try:
        return _serve_connection(core, settings, beginning, directory, text, path, source)
    finally:
        if tunnels is not None:
            tunnels.close()


def _serve_connection(core, settings, beginning, directory, text, path, source):
    kernel = _make_kernel(core, settings, directory)
    _install_signals(core, kernel)
    try:
        kernel.engine_id, kernel.uuid = core.start(*_start_options(settings, beginning, text, path, core.log))
    except ValueError as error:
        core.log(50, f"Fatal: {source}{error}")
        return 65
    except RuntimeError as error:
        core.log(50, str(error))
        core.finish()
        return 255
    except SystemExit:
        core.finish()
        return 0
    _watch_signals(core)
    return _serve(core, kernel, settings)


def _tunnelled(settings, text, path, core):
    """The connection as it holds here, the file to watch, and the tunnels, if there are any. Raises OSError if they cannot be made."""
    server = settings.get("IPEngine", "sshserver")
    # Most have none, and need no `json` to know it.
    compact = text.replace(" ", "")
    if not server and ('"ssh":""' in compact or '"ssh"' not in compact):
        return text, path, None
    import json

    try:
        info = json.loads(text)
        server = server or info.get("ssh")
        if not server:
            return text, path, None
    except (ValueError, AttributeError):
        # The core says what is wrong with it.
        return text, path, None
    from ..tunnel import Tunnels

    core.log(20, f"Connecting through {server}")
    tunnels = Tunnels(info, server, settings.get("IPEngine", "sshkey"), settings.number("IPEngine", "timeout", 10.0), follows=True)
    # A file that changes would lead past the tunnels.
    return json.dumps(tunnels.info), None, tunnels


#: What files may call the class that has `work_dir`.
_WORK_DIR_CLASSES = ("Application", "IPEngine", "IPEngineApp", "BaseParallelApplication")


def _change_directory(path):
    if not path:
        return
    try:
        os.chdir(os.path.expanduser(path))
    except OSError as error:
        raise OptionError(f"cannot change to the work directory {path}: {error.strerror}") from None


def _log_level(settings):
    value = settings.get("Application", "log_level", 20)
    names = {"DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
    if isinstance(value, str) and value.upper() in names:
        return names[value.upper()]
    try:
        return int(value)
    except ValueError:
        raise OptionError(f"--log-level should be a number or one of {', '.join(names)}, not {value!r}") from None


def _log_descriptor(settings, directory):
    if not settings.flag("Application", "log_to_file"):
        return 2
    folder = os.path.join(directory, "log")
    os.makedirs(folder, exist_ok=True)
    identifier = profile.cluster_id(settings)
    name = f"ipengine-{identifier}-{os.getpid()}.log" if identifier else f"ipengine-{os.getpid()}.log"
    return os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _connection(settings, directory, core):
    """(text of the connection file, path to watch). (None, None) after the reason was logged."""
    path = profile.connection_file(settings, directory)
    text = os.environ.get("IPP_CONNECTION_INFO")
    if text:
        core.log(20, "Loading connection info from $IPP_CONNECTION_INFO")
        return text, path
    wait = settings.number("IPEngine", "wait_for_url_file", 10.0)
    if not profile.wait_for(path, wait, core.log):
        core.log(50, f"Fatal: connection file never arrived: {path}")
        core.log(50, "Is a controller running for this profile? Start one with: ipcluster start, or ipcontroller")
        return None, None
    core.log(20, f"Loading connection file {path!r}")
    try:
        return profile.read_complete(path), path
    except OSError as error:
        core.log(50, f"Fatal: cannot read the connection file {path}: {error.strerror}")
        return None, None


def _start_options(settings, beginning, text, path, log):
    """Names and values for `core.start`."""
    given = {
        "connection": text,
        "path": path,
        "uuid": settings.get("Session", "session"),
        "timeout": settings.number("IPEngine", "timeout", None),
        "misses": _whole(settings.number("IPEngine", "max_heartbeat_misses", None)),
        "location": settings.get("IPEngine", "location"),
        "key": _session_key(settings),
        "id": _wanted_id(settings, log),
        "resources": _resources(settings),
        **beginning.options(settings),
    }
    for name in ("curve_serverkey", "curve_publickey", "curve_secretkey"):
        given[name] = settings.get("IPEngine", name) or os.environ.get("IPP_" + name.upper())
    return [str(item) for pair in given.items() if pair[1] is not None for item in pair]


def _resources(settings):
    """The resources as JSON: from `gpu=1,memory=16`, or a dict of a configuration file. Raises OptionError."""
    value = settings.get("IPEngine", "resources")
    if not value:
        return None
    import json

    if isinstance(value, str):
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        value = {name.strip(): amount or "1" for name, _, amount in pairs}
    try:
        amounts = {str(name): float(amount) for name, amount in dict(value).items()}
    except (TypeError, ValueError):
        amounts = {"": -1.0}
    if not all(name and 0 <= amount < float("inf") for name, amount in amounts.items()):
        raise OptionError(f"--resources should be names with amounts, such as gpu=1,memory=16, not {value!r}")
    return json.dumps(amounts)


class _Beginning:
    """How this process was started: what it is started with when it begins anew, after a task that did not end."""

    def __init__(self):
        self.directory = os.getcwd()
        # As it is now: what holds the cluster's key, and what is for this process alone, is taken out of it.
        self.environment = [f"{name}={value}" for name, value in os.environ.items()]

    def options(self, settings):
        """For `core.start`; nothing where a second process in the place of this one would not do."""
        arguments = getattr(sys, "orig_argv", ())
        if not arguments or not sys.executable or settings.flag("IPEngine", "use_mpi"):
            # A rank has its place in MPI once.
            return {}
        return {
            "restart_executable": sys.executable, "restart_directory": self.directory, "restart_arguments": "\0".join(arguments),
            "restart_environment": "\0".join(self.environment),
        }  # fmt: skip


def _whole(number):
    return None if number is None else int(number)


def _session_key(settings):
    keyfile = settings.get("Session", "keyfile")
    if keyfile:
        with open(keyfile, encoding="utf-8") as file:
            return file.read().strip()
    key = settings.get("Session", "key") or os.environ.get("IPP_SESSION_KEY")
    return key.decode("utf-8") if isinstance(key, bytes) else key


def _wanted_id(settings, log):
    value = settings.number("IPEngine", "id", None)
    if value is not None:
        return int(value)
    if not settings.flag("IPEngine", "use_mpi"):
        return None
    from .ranks import rank_and_size

    rank, size = rank_and_size(log)
    if rank >= 100:
        # Thousands of ranks start in the same moment.
        import time

        time.sleep(rank * settings.number("IPEngine", "mpi_registration_delay", 0.02))
    return rank if size > 1 else None


def _make_kernel(core, settings, directory):
    from types import ModuleType

    from .kernel import Kernel

    user_module = ModuleType("__main__", "The namespace of an engine's tasks.")
    import builtins

    user_module.__builtins__ = builtins
    # This module must outlive its place in sys.modules.
    Kernel.starting_module = sys.modules.get("__main__")
    sys.modules["__main__"] = user_module
    sys.path.insert(0, "")
    return Kernel(core, settings, user_module, directory)


def _install_signals(core, kernel):
    kernel.is_serving = False

    def on_terminate(number, frame):
        if not kernel.is_serving:
            raise SystemExit(0)
        kernel.on_terminate(number, frame)

    signal.signal(signal.SIGINT, kernel.on_interrupt)
    signal.signal(signal.SIGTERM, on_terminate)
    import faulthandler

    faulthandler.enable()


def _after_fork():
    """The child is a process of its own: the engine's signals stay with the parent."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _watch_signals(core):
    """The core sees SIGTERM at once, even while this thread is somewhere in C."""
    reading, writing = os.pipe()
    for descriptor in (reading, writing):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    core.watch_signals(reading)


def _serve(core, kernel, settings):
    from . import hooks, startup
    from .background import Background
    from .streams import ClosedInput, OutputStream, devnull_input

    kernel.background = Background(kernel)
    hooks.install(kernel)
    try:
        startup.run(kernel, settings, _DEFAULT_MPI_INIT)
        devnull_input()
        sys.stdin = ClosedInput()
        sys.stdout = OutputStream(core, 0, "stdout", sys.__stdout__, kernel)
        sys.stderr = OutputStream(core, 1, "stderr", sys.__stderr__, kernel)
        kernel.is_serving = True
        core.ready()
        code = kernel.serve()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        kernel.is_serving = False
        core.finish()
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    return code
