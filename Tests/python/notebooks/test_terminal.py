"""IPython in a terminal: a progress bar below what engines print, and Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import uuid

import pytest

pytest.importorskip("IPython")

import processes  # noqa: E402
from played_controller import python_package  # noqa: E402

PATIENCE = 60
PROMPT = re.compile(r"In \[\d+\]: $")

pytestmark = pytest.mark.timeout(180)


class Screen:
    """The lines of a terminal, as far as our programs move on it: carriage return, line feed, backspace, erase."""

    def __init__(self):
        self.lines, self.column = [""], 0

    def feed(self, text):
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", text, re.S):
            line = self.lines[-1]
            if part == "\n":
                self.lines.append("")
                self.column = 0
            elif part == "\r":
                self.column = 0
            elif part == "\b":
                self.column = max(0, self.column - 1)
            elif part == "\x1b[A":
                raise AssertionError("moving up is not played")
            elif part == "\x1b[K":
                self.lines[-1] = line[: self.column]
            elif not part.startswith("\x1b"):
                self.lines[-1] = line[: self.column].ljust(self.column) + part + line[self.column + 1 :]
                self.column += 1


class Terminal:
    """IPython on a terminal of its own."""

    def __init__(self, directory, without_tqdm=False):
        self.mark = uuid.uuid4().hex
        hidden = "import sys\nsys.modules['tqdm'] = None\n" if without_tqdm else ""
        (directory / "start.py").write_text(hidden + "import apus as ipp\n")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("IPP_")} | {
            "PYTHONPATH": str(python_package()), "IPYTHONDIR": str(directory / "ipython"), "TERM": "xterm",
            "VIRTUAL_ENV": sys.prefix, "APUS_BIN": str(directory / "bin" / "apus"), processes.MARK: self.mark,
        }  # fmt: skip
        main, side = pty.openpty()
        # 50 lines of 100 characters.
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))

        def own_the_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=nocolor", "-i", str(directory / "start.py")],
            stdin=side, stdout=side, stderr=side, env=environment, cwd=directory, start_new_session=True, preexec_fn=own_the_terminal,
        )  # fmt: skip
        os.close(side)
        self.main = main
        self.screen = Screen()
        self.shown = 0

    def until(self, pattern):
        """Wait until the text after the last prompt matches; the lines since then."""
        deadline = time.monotonic() + PATIENCE
        while True:
            lines = self.screen.lines[self.shown :]
            if re.search(pattern, "\n".join(lines)):
                return lines
            assert select.select([self.main], [], [], max(0, deadline - time.monotonic()))[0], "\n".join(self.screen.lines)
            self.screen.feed(os.read(self.main, 65536).decode(errors="replace"))

    def begin(self, line):
        self.shown = len(self.screen.lines)
        os.write(self.main, line.encode() + b"\n")

    def run(self, line):
        """Run a line; the lines that it has shown."""
        self.begin(line)
        return self.end()

    def end(self):
        return self.until(PROMPT)[:-1]

    def interrupt(self):
        os.write(self.main, b"\x03")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.main)
        processes.end(self.mark)


@pytest.fixture(params=[False, True], ids=["tqdm", "own bar"])
def terminal(request, bin_dir, tmp_path):
    if not request.param:
        pytest.importorskip("tqdm")
    (tmp_path / "bin").symlink_to(bin_dir)
    terminal = Terminal(tmp_path, without_tqdm=request.param)
    try:
        terminal.until(PROMPT)
        terminal.run("cluster = ipp.Cluster(n=2); rc = cluster.start_and_connect_sync()")
        yield terminal
        terminal.run("cluster.stop_cluster_sync()")
    finally:
        terminal.close()


def test_what_engines_print_stands_above_the_bar(terminal):
    code = r"import time\nfor i in range(3):\n    print('line', i, flush=True)\n    time.sleep(0.15)\n"
    code += r"print('open', end='', flush=True)\ntime.sleep(0.3)"
    lines = terminal.run(f"get_ipython().run_cell_magic('px', '--targets=[0] --progress-after 0', \"{code}\")")
    printed = [line.rstrip() for line in lines if line.strip()]
    bars = [line for line in printed if line.startswith("%px:")]
    assert len(bars) == 1 and "100%" in bars[0] and "1/1" in bars[0], "\n".join(lines)
    assert printed[:5] == ["[stdout:0]", "line 0", "line 1", "line 2", "open"], "\n".join(lines)


def test_ctrl_c_interrupts_the_engines(terminal):
    terminal.run("%px import time, os; kept = os.getpid()")
    for options in ("", "--progress-after 0"):
        # Longer than this test takes: what ends was interrupted.
        code = 'print("begun", os.getpid(), flush=True); time.sleep(600); print("done")'
        terminal.begin(f"get_ipython().run_cell_magic('px', '{options}', '{code}')")
        terminal.until(r"begun \d+\n(.*\n)*.*begun \d+")
        terminal.interrupt()
        lines = terminal.end()
        assert any("Sending signal SIGINT to engines..." in line for line in lines)
        assert not any("Traceback" in line or line.strip() == "done" for line in lines), "\n".join(lines)
        if any("still run it" in line for line in lines):
            # A slow machine: the engines are about their first tracebacks.
            lines = terminal.run("%pxresult")
            assert any("KeyboardInterrupt" in line for line in lines), "\n".join(lines)
        shown = terminal.run("%px kept == os.getpid()")
        assert sum("True" in line for line in shown) == 2, "\n".join(shown)
