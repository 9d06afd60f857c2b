"""Processes of this machine: our children, and those that somebody else started for the same cluster."""

import os
import signal
import subprocess
import threading

from . import loop


class Process:
    """A process whose end is noticed at once, by whoever waits for it.

    Attributes
    ----------
    pid : int
    exit_code : int or None
        Set once it has ended: minus the signal's number where a signal ended it; None where it was not our child.
    """

    def __init__(self, pid, child=None):
        self.pid = pid
        self.exit_code = None
        self._child = child
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._callbacks = []

    @classmethod
    def spawn(cls, arguments, *, output, environment, directory):
        """Start a program in a session of its own, with its output appended to the file that `output` names.

        Raises OSError where it cannot be started.
        """
        with open(output, "ab") as file:
            child = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=directory,
                start_new_session=True)
        process = cls(child.pid, child)
        process._watch()
        return process

    @classmethod
    def of_child(cls, child):
        """A child that was started by `subprocess.Popen`."""
        process = cls(child.pid, child)
        process._watch()
        return process

    @classmethod
    def attach(cls, pid):
        """A process that runs already. Raises ProcessLookupError where it does not, or is no part of a cluster any more."""
        if not is_cluster_process(pid):
            raise ProcessLookupError(f"process {pid} has ended")
        process = cls(pid)
        process._watch()
        return process

    # MARK: its end

    def _watch(self):
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            # No such call in this system, or the process is gone already.
            threading.Thread(target=self._wait_in_thread, name=f"apus-wait-{self.pid}", daemon=True).start()
            return
        loop.call_soon(self._add_reader, descriptor)

    def _add_reader(self, descriptor):
        running = loop.cluster_loop()

        def ended():
            running.remove_reader(descriptor)
            os.close(descriptor)
            self._notice()

        running.add_reader(descriptor, ended)

    def _wait_in_thread(self):
        if self._child is not None:
            self._child.wait()
        else:
            while is_running(self.pid):
                self._ended.wait(0.05)
        loop.call_soon(self._notice)

    def _notice(self):
        """On the loop's thread, once."""
        with self._lock:
            if self._child is not None:
                # It has ended: this only takes it from the system's table.
                self.exit_code = self._child.wait()
            self._ended.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def on_end(self, callback):
        """Call `callback(process)` once it has ended: on the thread of clusters, or here and now if it has."""
        with self._lock:
            if not self._ended.is_set():
                self._callbacks.append(callback)
                return
        callback(self)

    def is_running(self):
        """Whether it has not ended yet."""
        if self._ended.is_set():
            return False
        return is_running(self.pid)

    def poll(self):
        """None while it runs, then its exit code, or "unknown" where it was not our child."""
        if self.is_running():
            return None
        if self._child is not None:
            # The system told us before the loop's thread could.
            with self._lock:
                self.exit_code = self._child.poll() if self.exit_code is None else self.exit_code
        return "unknown" if self.exit_code is None else self.exit_code

    def wait(self, timeout=None):
        """Block until it has ended. Returns the exit code; raises TimeoutError."""
        if not self._ended.wait(timeout):
            raise TimeoutError(f"process {self.pid} did not end in {timeout} seconds")
        return self.exit_code

    async def ended(self, timeout=None):
        """Wait until it has ended. Raises TimeoutError."""
        import asyncio

        running = asyncio.get_running_loop()
        future = running.create_future()

        def resolve():
            if not future.done():
                future.set_result(None)

        self.on_end(lambda _: running.call_soon_threadsafe(resolve))
        try:
            await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            raise TimeoutError(f"process {self.pid} did not end in {timeout} seconds") from None
        return self.exit_code

    # MARK: signals

    def send_signal(self, number):
        """Send a signal; nothing happens where it has ended."""
        with self._lock:
            # Its number is not given to another process while it has not been waited for, which whoever polls does as well.
            if self._ended.is_set() or self._child is not None and self._child.returncode is not None:
                return
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def terminate(self):
        """Ask it to end: SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """End it: SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __repr__(self):
        return f"<{type(self).__name__} pid={self.pid} {'running' if self.is_running() else f'ended: {self.exit_code}'}>"


def signal_number(name):
    """The number of a signal that is given as number, as "INT" or as "SIGINT"."""
    if isinstance(name, str):
        if name.isdigit():
            return int(name)
        text = name.upper()
        return int(signal.Signals[text if text.startswith("SIG") else f"SIG{text}"])
    return int(name)


def describe_exit(code):
    """How it ended, to follow the word "ended"; empty where that is not known."""
    if not isinstance(code, int):
        return ""
    if code >= 0:
        return f" with exit code {code}"
    try:
        return f" by {signal.Signals(-code).name}"
    except ValueError:
        return f" by signal {-code}"


def is_running(pid):
    """Whether a process runs. One that has ended, and whose parent has not noticed yet, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0]
    except OSError:
        return not os.path.isdir("/proc/self")
    return state not in (b"Z", b"X")


def is_cluster_process(pid):
    """Whether a process runs and is a part of some cluster: numbers of processes are used again.

    Launchers start every process with IPP_PROFILE_DIR in its environment; what was started by hand shows it in its arguments.
    """
    if not is_running(pid):
        return False
    variables = _strings(f"/proc/{pid}/environ")
    if not variables:
        # We may not look, or the process has overwritten it.
        return True
    if any(item.startswith((b"IPP_PROFILE_DIR=", b"IPP_CLUSTER_ID=")) for item in variables):
        return True
    words = _strings(f"/proc/{pid}/cmdline")
    return any(word.startswith(b"ipyparallel.") or os.path.basename(word) in (b"ipcontroller", b"ipengine") for word in words)


def _strings(path):
    try:
        with open(path, "rb") as file:
            return [item for item in file.read().split(b"\0") if item]
    except OSError:
        return []
