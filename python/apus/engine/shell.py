"""IPython's shell in an engine. Imported with the first code cell, or with the user's first use of IPython."""

import sys

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from traitlets import Any, CBool, Type
from traitlets.config import Config


class EngineDisplayHook(DisplayHook):
    """Publishes the value of a cell as `execute_result`."""

    def start_displayhook(self):
        self._message = {"data": {}, "metadata": {}}

    def write_output_prompt(self):
        self._message["execution_count"] = self.prompt_count

    def write_format_data(self, format_dict, md_dict=None):
        self._message["data"] = format_dict
        self._message["metadata"] = md_dict or {}

    def finish_displayhook(self):
        message, self._message = self._message, None
        if message and message["data"]:
            self.shell.kernel.publish("execute_result", "execute_result", message)

    @property
    def is_displaying(self):
        return getattr(self, "_message", None) is not None


class EngineDisplayPublisher(DisplayPublisher):
    """Publishes what `display` shows."""

    def publish(self, data, metadata=None, *, transient=None, update=False, **_):
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self.shell.kernel.publish("update_display_data" if update else "display_data", "displaypub", content)

    def clear_output(self, wait=False):
        self.shell.kernel.publish("clear_output", "displaypub", {"wait": wait})


class EngineShell(InteractiveShell):
    """The shell of an engine: its output goes to the client whose task it belongs to."""

    displayhook_class = Type(EngineDisplayHook)
    display_pub_class = Type(EngineDisplayPublisher)
    kernel = Any()
    # Nobody types here.
    autoindent = CBool(False)
    keepkernel_on_exit = None

    last_traceback = None
    failed_while_displaying = False

    def init_environment(self):
        pass

    def init_sys_modules(self):
        super().init_sys_modules()
        sys.modules["__main__"] = self.user_module

    def init_virtualenv(self):
        """This interpreter is the environment's own."""

    def enable_gui(self, gui=None):
        """Engines have no windows; `%matplotlib inline` needs none."""

    def run_cell(self, *args, **kwargs):
        self._begin_cell()
        return super().run_cell(*args, **kwargs)

    async def run_cell_async(self, *args, **kwargs):
        self._begin_cell()
        return await super().run_cell_async(*args, **kwargs)

    def _begin_cell(self):
        self.last_traceback = None
        self.failed_while_displaying = False

    def _showtraceback(self, etype, evalue, stb):
        from .. import tracebacks

        lines = [str(line) for line in stb]
        name, value = tracebacks.describe(evalue) if isinstance(evalue, BaseException) else (etype.__name__, str(evalue))
        if self.kernel.background.was_interrupted and name == "CancelledError":
            name, value = "KeyboardInterrupt", ""
        if self.displayhook.is_displaying:
            self.failed_while_displaying = True
        self.kernel.core.publish_error(name, value, lines)
        self.last_traceback = lines

    def render_error(self, error, own_files):
        """The traceback of an error outside of a cell, in lines; frames of the engine itself are left out."""
        custom = getattr(error, "_render_traceback_", None)
        if custom is not None:
            lines = custom()
            if lines:
                return [str(line) for line in lines]
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_next is not None and traceback.tb_frame.f_code.co_filename in own_files:
            traceback = traceback.tb_next
        if isinstance(error, SyntaxError) and traceback is not None and traceback.tb_next is None:
            return [str(line) for line in self.SyntaxTB.structured_traceback(type(error), error, traceback)]
        return [str(line) for line in self.InteractiveTB.structured_traceback(type(error), error, traceback)]

    def ask_exit(self):
        """`exit` in a cell: the client is told; engines end by `client.shutdown()`."""
        self.payload_manager.write_payload({"source": "ask_exit", "keepkernel": self.keepkernel_on_exit})

    def set_next_input(self, text, replace=False):
        self.payload_manager.write_payload({"source": "set_next_input", "text": text, "replace": replace})

    def init_hooks(self):
        super().init_hooks()
        from IPython.core import page

        self.set_hook("show_in_pager", page.as_hook(self._page), 99)

    def _page(self, text, start=0, screen_lines=0, pager_cmd=None):
        data = text if isinstance(text, dict) else {"text/plain": text}
        self.payload_manager.write_payload({"source": "page", "data": data, "start": max(0, start)})

    # What libraries that were written against ipykernel call.

    @property
    def parent_header(self):
        return self.get_parent().get("header", {})

    def get_parent(self):
        import json

        return {"header": json.loads(self.kernel.parent_header)}

    def set_parent(self, parent):
        """The core knows the parent of all output."""

    @property
    def data_pub(self):
        return self.kernel

    @data_pub.setter
    def data_pub(self, publisher):
        """IPython sets None; the kernel publishes."""

    def system(self, cmd):
        """Run a command; its output goes where printed text goes."""
        import subprocess

        self.kernel.core.flush()
        process = subprocess.Popen(
            self.var_expand(cmd, depth=1), shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            executable=None,
        )  # fmt: skip
        try:
            for line in process.stdout:
                sys.stdout.write(line.decode("utf-8", "replace"))
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        self.user_ns["_exit_code"] = -code if code < 0 else code


# Libraries ask for the class by ipykernel's name to learn whether rich output arrives somewhere; it does.
EngineShell.__name__ = EngineShell.__qualname__ = "ZMQInteractiveShell"

InteractiveShellABC.register(EngineShell)


def _configuration(settings):
    """The settings as traitlets have them. Text of the command line is converted by each trait."""
    from traitlets.config.loader import DeferredConfigString

    config = Config()
    for owner, traits in settings.of().items():
        for trait, value in traits.items():
            config[owner][trait] = DeferredConfigString(value) if isinstance(value, str) else value
    config.HistoryManager.hist_file = ":memory:"
    # tqdm and others look for this section to learn that they are not in a terminal.
    config.IPKernelApp.setdefault("apus", "engine")
    return config


def make_shell(kernel):
    """Make the shell of this process; its namespace is the one that tasks have used all along."""
    from IPython.core.profiledir import ProfileDir

    # Settings of the engine itself mean nothing to the shell.
    config = _configuration(kernel.settings)
    saved_hook = sys.displayhook, sys.excepthook
    own_names = dict(kernel.user_ns)
    try:
        profile = ProfileDir.create_profile_dir(kernel.profile_directory)
    except Exception:
        import tempfile

        profile = ProfileDir.create_profile_dir(tempfile.mkdtemp(prefix="apus-profile-"))
    shell = EngineShell.instance(
        config=config, kernel=kernel, profile_dir=profile, user_module=kernel.user_module, user_ns=kernel.user_ns
    )
    for base in EngineShell.mro():
        if base is not EngineShell and issubclass(base, InteractiveShell):
            base._instance = shell
    sys.displayhook, sys.excepthook = saved_hook
    shell.loop_runner_map["asyncio"] = (kernel.background.run, True)
    shell.loop_runner = kernel.background.run
    shell.autoawait = True
    # Names that tasks had bound before stay theirs.
    kernel.user_ns.update({name: value for name, value in own_names.items() if name != "get_ipython"})
    return shell
