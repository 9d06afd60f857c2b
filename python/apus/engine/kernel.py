"""Runs the requests of a cluster one after another, on the main thread of this process.

The core hands over verified requests and takes results; what is here is Python's part of a task: restoring objects, calling, storing
results, and saying what went wrong.
"""

from .. import serialize, tracebacks
from . import codecs, stock

#: Their frames are between the core and the user's code.
_OWN_FILES = tuple(__file__.replace("kernel.py", name) for name in ("kernel.py", "codecs.py", "calls.py", "background.py"))
_OWN_FILES += (__file__.replace("engine/kernel.py", "batches.py"),)
_INTERNAL = {"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__builtins__", "__builtin__", "__annotations__"}


class Kernel:
    """The Python kernel of an engine.

    user_module: the module that tasks know as `__main__`; its dict is the namespace of the user's code.
    """

    def __init__(self, core, settings, user_module, directory):
        self.core = core
        self.settings = settings
        self.user_module = user_module
        self.user_ns = user_module.__dict__
        self.profile_directory = directory
        self.engine_id = -1
        self.uuid = ""
        #: True while the user's code runs: only then does SIGINT interrupt.
        self.busy = False
        #: Id of the request that runs or ran last.
        self.request_id = ""
        #: A task whose client has cancelled it; it may have ended meanwhile, or is about to begin.
        self._cancelled = None
        #: Header of the running request, as JSON bytes.
        self.parent_header = b"{}"
        #: Type of the request that runs or ran last.
        self.kind = None
        self.execution_count = 1
        self._shell = None
        self._shell_is_missing = False
        self._stopping = False
        self.colored = settings.text("InteractiveShell", "colors").lower() not in ("nocolor", "no_color")
        self.user_ns["get_ipython"] = self.get_ipython
        self._install_builtins()
        stock.kernel = self
        stock.user_ns = self.user_ns
        stock.install()

    # -- namespace and shell

    def _install_builtins(self):
        import builtins

        from .streams import refuse_input

        builtins.get_ipython = self.get_ipython
        builtins.display = self._display
        refuse_input.is_cell = lambda: self.kind == "execute_request"
        builtins.input = refuse_input

    def get_ipython(self):
        """The IPython shell of this engine. It is made by the first call. None where IPython is not installed."""
        return self.shell

    def _display(self, *objects, **options):
        """IPython's `display`, imported by the first call."""
        if self.shell is None:
            for obj in objects:
                print(repr(obj))
            return None
        from IPython.display import display

        return display(*objects, **options)

    @property
    def has_shell(self):
        return self._shell is not None

    @property
    def shell(self):
        if self._shell is None and not self._shell_is_missing:
            try:
                import IPython  # noqa: F401  (the import hook may make the shell)
            except ImportError:
                self._shell_is_missing = True
                self.log(30, "IPython is not installed: code cells run without magics and rich output")
                return None
            self.make_shell()
        return self._shell

    def make_shell(self):
        """Make the shell; IPython is imported."""
        if self._shell is not None:
            return
        from . import shell

        # Set before it is complete: its own construction looks for it.
        self._shell = shell.make_shell(self)

    def clear(self):
        """Forget everything that the user's code has bound."""
        if self._shell is not None:
            self._shell.reset(False)
            return
        for name in list(self.user_ns):
            if name not in _INTERNAL and name != "get_ipython":
                self.user_ns.pop(name, None)

    def log(self, level, text):
        self.core.log(level, text)

    # -- the loop

    def serve(self):
        """Run requests until the engine is stopped. Returns the exit code."""
        core = self.core
        while True:
            try:
                if self.background.has_work():
                    code = self.background.serve()
                    if code is not None:
                        return code
                    continue
                request = core.next(-1)
                if type(request) is int:
                    return request
                if request is not None:
                    self.handle(request)
            except BaseException as error:
                # A signal handler of the user raised outside of the user's code, or the engine itself failed.
                self.busy = False
                self._answer_unfinished(error)

    def _answer_unfinished(self, error):
        """Whoever waits for the request that was cut off gets an answer; without one in progress nothing is sent."""
        name, value = tracebacks.describe(error)
        lines = tracebacks.render(error, False)
        self.log(30, f"{name} outside of a task: {value}\n" + ("\n".join(lines) if isinstance(error, Exception) else ""))
        if self.kind == "apply_request":
            self.core.reply_error(name, value, lines, False)
        elif self.kind is not None:
            from . import introspection

            introspection.reply_failure(self, self.kind, name, value, lines, execution_count=0)

    def handle(self, request):
        """Run one request, whatever it is, and answer it."""
        kind, self.request_id, _, _, self.parent_header, buffers = request
        self.kind = kind
        if kind == "apply_request":
            return self.apply(buffers, request[3])
        if kind == "execute_request":
            return self.execute(request)
        return self._other(request)

    async def handle_async(self, request):
        """As `handle`, inside the running event loop."""
        is_call = request[0] == "apply_request" and b'"codec"' in request[3]
        if request[0] != "execute_request" and not is_call:
            return self.handle(request)
        self.kind, self.request_id, self.parent_header = request[0], request[1], request[4]
        if is_call:
            return await self.apply_async(request[5], request[3])
        from .execution import execute_async

        return await execute_async(self, request)

    def _other(self, request):
        from . import introspection

        try:
            introspection.handle(self, request)
        except Exception as error:
            name, value = tracebacks.describe(error)
            self.log(40, f"{request[0]} failed: {name}: {value}")
            introspection.reply_failure(self, request[0], name, value, tracebacks.render(error, False))

    def execute(self, request):
        from .execution import execute

        execute(self, request)

    # -- apply

    def apply(self, buffers, metadata):
        core = self.core
        try:
            self.enter()
            if b'"codec"' in metadata:
                result, codec = codecs.apply(self, buffers, metadata)
                del buffers[:]
            else:
                codec = None
                namespace = self.user_ns
                function, args, kwargs = serialize.unpack_apply_message(buffers, namespace)
                # The frames are not needed while the task runs, nor while the engine waits for the next one.
                del buffers[:]
                result = serialize.serialize_object(function(*args, **kwargs))
                function = args = kwargs = None
            self.busy = False
        except BaseException as error:
            self.busy = False
            del buffers[:]
            function = args = kwargs = None
            self._reply_error(error)
            return
        core.reply_result(result, codec)

    async def apply_async(self, buffers, metadata):
        """As `apply`, for a task with a codec, inside the running event loop."""
        try:
            self.enter()
            result, codec = await codecs.apply_async(self, buffers, metadata)
            self.busy = False
        except BaseException as error:
            self.busy = False
            self._reply_error(error)
            return
        finally:
            del buffers[:]
        self.core.reply_result(result, codec)

    def _reply_error(self, error):
        name, value = tracebacks.describe(error)
        lines = self.render(error)
        refused = isinstance(error, codecs.CodecError) and error.refused
        self.core.publish_error(name, value, lines)
        self.core.reply_error(name, value, lines, refused)
        self.log(10, "Exception in apply request:\n" + "\n".join(lines))
        # The traceback holds the frames of the task, and they hold its data.
        error.__traceback__ = None

    def render(self, error):
        """The traceback of an error of the user's code, in lines."""
        try:
            if self._shell is not None:
                return self._shell.render_error(error, _OWN_FILES)
            return tracebacks.render(error, self.colored, _OWN_FILES)
        except Exception as second:
            return [f"{type(error).__name__}: the traceback could not be shown: {type(second).__name__}"]

    # -- output

    def publish(self, kind, topic, content, buffers=None, bare=False):
        """Publish a message of this type on the IOPub channel; content is a dict."""
        import json

        self.core.publish(kind, topic, json.dumps(content, default=_json_default, ensure_ascii=False), buffers, bare)

    def publish_data(self, data):
        self.publish("data_message", "datapub", {"keys": list(data)}, serialize.serialize_object(data), True)

    # -- what code that was written against ipykernel asks for

    @property
    def ident(self):
        return self.uuid

    @property
    def int_id(self):
        return self.engine_id

    @property
    def dask(self):
        from .dask_worker import DaskWorker

        worker = self.__dict__.get("_dask")
        if worker is None:
            worker = self._dask = DaskWorker(self)
        return worker

    # -- signals

    def enter(self):
        """The user's code begins: from now on signals interrupt it. Raises KeyboardInterrupt if it was cancelled before."""
        self.busy = True
        if self._cancelled is not None and self._cancelled == self.request_id:
            raise KeyboardInterrupt

    def on_interrupt(self, number, frame):
        cancelled = self.core.interrupted_task()
        if cancelled is not None:
            # Meant for one task. The signal may be late: another one may run by now, and has nothing to do with it.
            self._cancelled = cancelled
            if self.busy and cancelled == self.request_id:
                raise KeyboardInterrupt
            return
        if self.busy:
            raise KeyboardInterrupt
        self.log(30, "Ignoring SIGINT. Terminate with SIGTERM.")

    def on_terminate(self, number, frame):
        self.core.stop(0)
        if self.busy and not self._stopping:
            # The task's own cleanup runs.
            self._stopping = True
            raise SystemExit("the engine was terminated")


def _json_default(value):
    """What JSON cannot carry: bytes as base64 text, the rest as text."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        import base64

        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, (set, frozenset, range)) or hasattr(value, "__iter__") and not hasattr(value, "keys"):
        return list(value)
    for convert in ("item", "isoformat"):
        method = getattr(value, convert, None)
        if method is not None:
            return method()
    return repr(value)
