"""Magics of IPython for a view: `%px`, `%%px`, `%pxresult`, `%pxconfig` and `%autopx`."""

import os
import signal
import sys
from contextlib import nullcontext
from types import SimpleNamespace

from IPython.core import magic_arguments
from IPython.core.error import UsageError
from IPython.core.magic import Magics, no_var_expand

from . import error
from .autopx import AutoParallel
from .display import targets_text
from .heldinterrupt import HeldInterrupt
from .magicoptions import execution_options, local_option, output_options, read_execution_options

#: Seconds for which output may come after the results it belongs to.
_OUTPUT_TIMEOUT = 5
#: Seconds after a signal that ends what engines do, before it is said whom the cell waits for.
_INTERRUPT_NOTICE = 2
#: Further seconds, before the cell ends without them. An engine's first traceback is a second of computing, and many engines may share a
#: processor.
_INTERRUPT_TIMEOUT = 10
#: Seconds for which the word that an engine has begun may be on its way.
_BEGIN_TIMEOUT = 0.25
#: Signals after which there is a result soon.
_ENDING = {"SIGINT", "SIGTERM", "SIGKILL", "SIGQUIT", "SIGHUP", "SIGABRT"}


class ParallelMagics(Magics):
    """The magics of one view.

    shell: IPython's shell. view: a DirectView or BroadcastView; its `targets` and `block` are the magics' defaults. suffix: ends the
    magics' names, so that several views have some of their own: with "_even" they are `%px_even`, `%%px_even`, `%autopx_even`, ….

    verbose, stream_output, progress_after_seconds, signal_on_interrupt: the further defaults, which `%pxconfig` changes.
    last_result: the AsyncResult of the last `%px` or `%%px`.
    """

    registered = True
    magics = None

    verbose = False
    stream_output = os.environ.get("IPP_NONINTERACTIVE", "") in ("", "0")
    progress_after_seconds = 2
    signal_on_interrupt = "SIGINT"
    last_result = None

    def __init__(self, shell, view, suffix=""):
        self.view = view
        self.suffix = suffix
        px = "px" + suffix
        line = {px: self.px, "pxresult" + suffix: self.result, "pxconfig" + suffix: self.pxconfig, "auto" + px: self.autopx}
        if not suffix:
            # What older programs of ipyparallel use.
            line["result"] = self.result
        self.magics = {"line": line, "cell": {px: self.cell_px}}
        super().__init__(shell=shell)

    # -- the magics

    @no_var_expand
    def px(self, line=""):
        """Run a line of code on the engines.

        Braces and dollar signs stay as they are: they are the engines' to read.

        ::

            %px import os
            %px os.getpid()
            Out[0:2]: 4711
            Out[1:2]: 4712
        """
        return self.parallel_execute(line)

    @magic_arguments.magic_arguments("px")
    @execution_options
    @output_options
    @local_option
    def cell_px(self, line="", cell=None):
        """Run the cell on the engines.

        ::

            %%px --targets ::2 --out even
            from socket import gethostname
            print(gethostname())
        """
        arguments = magic_arguments.parse_argstring(self.cell_px, line)
        options = self._options(arguments)
        return self._execute(cell, options, arguments.groupby, arguments.save_name, local=arguments.local)

    @magic_arguments.magic_arguments()
    @output_options
    def pxresult(self, line=""):
        """Show the output and the values of the last code that was run with %px or %%px; wait for it if need be.

        ::

            %%px --noblock
            compute()

            %pxresult
        """
        arguments = magic_arguments.parse_argstring(self.result, line)
        result = self.last_result
        if result is None:
            raise UsageError("%pxresult shows the last result of %px, and there is none yet.")
        if arguments.save_name:
            self.shell.user_ns[arguments.save_name] = result
            return
        result.wait()
        result.wait_for_output(_OUTPUT_TIMEOUT)
        result.display_outputs(groupby=arguments.groupby)
        result.get()

    #: ipyparallel's name for it.
    result = pxresult

    @magic_arguments.magic_arguments()
    @execution_options
    def pxconfig(self, line=""):
        """Change how %px and %%px run code when their options do not say it.

        ::

            %pxconfig --targets 0:4 --noblock
        """
        arguments = magic_arguments.parse_argstring(self.pxconfig, line)
        options = read_execution_options(arguments, self.view.client, self.shell.user_ns)
        if options.targets is not None:
            self.view.targets = options.targets
        if options.block is not None:
            self.view.block = options.block
        if options.verbose is not None:
            self.verbose = options.verbose
        if options.stream is not None:
            self.stream_output = options.stream
        if options.progress_after is not None:
            self.progress_after_seconds = options.progress_after
        if options.signal is not None:
            self.signal_on_interrupt = options.signal

    def autopx(self, line=""):
        """Run every cell on the engines from now on; a second %autopx ends that.

        Magics of this view (%px, %%px, %pxresult, %pxconfig, %autopx) still run here.

        ::

            %autopx
            %autopx enabled
            rank = 3
            %autopx
            %autopx disabled
        """
        is_on = self._auto.toggle()
        print(f"%autopx{self.suffix} {'enabled' if is_on else 'disabled'}")

    @property
    def _auto(self):
        return AutoParallel.of(self.shell, self.suffix)

    # -- running code

    def _options(self, arguments=None):
        """What the options of a cell say, completed with the defaults."""
        if arguments is None:
            options = SimpleNamespace(targets=None, block=None, stream=None, verbose=None, progress_after=None, signal=None)
        else:
            options = read_execution_options(arguments, self.view.client, self.shell.user_ns)
        defaults = {
            "targets": self.view.targets,
            "block": self.view.block,
            "stream": self.stream_output,
            "verbose": self.verbose,
            "progress_after": self.progress_after_seconds,
            "signal": self.signal_on_interrupt,
        }
        for name, default in defaults.items():
            if getattr(options, name) is None:
                setattr(options, name, default)
        return options

    def parallel_execute(
        self, cell, block=None, groupby="type", save_name=None, stream_output=None, progress_after=None, signal_on_interrupt=None
    ):
        """Run code on the view's targets as `%%px` does; None is what `%pxconfig` has set.

        Returns the AsyncResult if it does not block. Raises what the engines raised (CompositeError, RemoteError), or AlreadyDisplayedError
        if all of that was shown as it came.
        """
        options = self._options()
        said = {"block": block, "stream": stream_output, "progress_after": progress_after, "signal": signal_on_interrupt}
        for name, value in said.items():
            if value is not None:
                setattr(options, name, value)
        return self._execute(cell, options, groupby, save_name)

    def _execute(self, cell, options, groupby, save_name=None, local=False):
        """Run a cell on the engines, and here if `local`. Returns the AsyncResult if that is not to be waited for."""
        # An interrupt is for the engines as soon as they may have the code, thus held back until somebody is there to send it on.
        with HeldInterrupt() as held:
            result = self._submit(cell, options, save_name)
            if local:
                # The engines have their work already, so that both run at once. IPython catches what interrupts its own cell.
                held.release()
                with self._auto.paused():
                    self.shell.run_cell(cell)
            if not options.block:
                return result
            self._follow(result, options, groupby, held)

    def _submit(self, cell, options, save_name=None):
        if options.verbose:
            print(f"{'Parallel' if options.block else 'Async parallel'} execution on engine(s): {targets_text(options.targets, 8)}")
        before = self.view.targets
        self.view.targets = options.targets
        try:
            result = self.view.execute(cell, silent=False, block=False)
        finally:
            self.view.targets = before
        result._fname = "%px" + self.suffix
        self.last_result = result
        if save_name:
            self.shell.user_ns[save_name] = result
        return result

    def _follow(self, result, options, groupby, held):
        """Wait for a result while its output is shown, and from then on for an interrupt. Raises what the engines raised."""
        # One engine's error is raised as it is: nobody wants to read it twice.
        result._streams_errors = not result._single_result
        try:
            held.release()
            with result.stream_output() if options.stream else nullcontext():
                self._wait(result, options.progress_after)
        except KeyboardInterrupt:
            if options.signal is None:
                raise
            self._interrupt(result, options.signal)
            if not options.stream and result.ready():
                result.display_outputs(groupby)
            return
        if not options.stream:
            result.display_outputs(groupby)
        try:
            result.get()
        except error.CompositeError as failure:
            # An engine that was lost could not show why.
            if options.stream and sum(shown is not None for shown in result["error"]) >= len(failure.elist):
                raise error.AlreadyDisplayedError(failure) from None
            raise

    def _wait(self, result, progress_after):
        """Wait for a result and its output, after some seconds with a progress bar."""
        if progress_after < 0:
            result.wait()
        elif not (progress_after > 0 and result.wait(progress_after)):
            result.wait_interactive()
        result.wait_for_output(_OUTPUT_TIMEOUT)

    # -- interrupting

    def _interrupt(self, result, sig):
        """End what still runs, with this signal. A second interrupt comes through."""
        print(f"Received Keyboard Interrupt. Sending signal {sig} to engines...", file=sys.stderr)
        if sig == 0 or result.ready():
            return
        # An engine that has something else to do first must not be hit for this: from it the code is only taken back.
        self.view.client.abort(result, block=False)
        wait_until = result._dispatcher.wait_until
        # It says so when it begins; that may be on its way.
        wait_until(lambda: not _unfinished(result, has_begun=False), _BEGIN_TIMEOUT)
        running = _unfinished(result, has_begun=True)
        if running:
            # The answer to wait for is the code's end: an engine that a signal has killed answers nothing else.
            self.view.client.send_signal(sig, targets=running, block=False)
            if _name(sig) in _ENDING:
                running = self._wait_for_end(result)
                if running:
                    print(f"Engines {targets_text(running, 8)} still run it; %pxresult{self.suffix} waits for them.", file=sys.stderr)
        waiting = _unfinished(result, has_begun=False)
        if waiting:
            print(f"It was taken back from engines {targets_text(waiting, 8)}, which have other tasks first.", file=sys.stderr)

    def _wait_for_end(self, result):
        """Wait until what was interrupted has ended. Returns the ids of the engines that go on all the same."""
        wait_until = result._dispatcher.wait_until
        for patience in (_INTERRUPT_NOTICE, _INTERRUPT_TIMEOUT):
            wait_until(lambda: not _unfinished(result, has_begun=True), patience)
            running = _unfinished(result, has_begun=True)
            if not running:
                break
            if patience == _INTERRUPT_NOTICE:
                print(f"Waiting for engines {targets_text(running, 8)} to end it; another interrupt leaves them to it.", file=sys.stderr)
        return running


def _unfinished(result, has_begun):
    """The ids of the engines that have not answered, and have begun, or have not."""
    return [
        target
        for target, message in zip(result._targets, result._children)
        if message.reply is None and (message.metadata["execute_input"] is not None) == has_begun
    ]


def _name(sig):
    try:
        return sig if isinstance(sig, str) else signal.Signals(sig).name
    except ValueError:
        return ""


__all__ = ["ParallelMagics"]
