"""Notebooks, executed by a real kernel without a browser: `docs/notebooks.md`, live output, Ctrl-C, bars without widgets."""

from __future__ import annotations

import base64
import os
import re
import select
import sys
import uuid
from pathlib import Path
from queue import Empty

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("matplotlib")
pytest.importorskip("ipykernel")

import processes  # noqa: E402
from played_controller import python_package  # noqa: E402
from ports import free_ports  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "notebooks.md"
#: The seconds that one cell may take.
PATIENCE = 60

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def kernel_environment(bin_dir, tmp_path, monkeypatch):
    """What a kernel's process inherits: a profile directory of its own, and the installation under test. What it leaves behind is ended."""
    mark = uuid.uuid4().hex
    values = {
        "PYTHONPATH": str(python_package()), "IPYTHONDIR": str(tmp_path / "ipython"), "APUS_BIN": str(bin_dir / "apus"),
        "VIRTUAL_ENV": sys.prefix, "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"], processes.MARK: mark,
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith("IPP_")]:
        monkeypatch.delenv(name)
    yield
    processes.end(mark)


def kernel_ports():
    """Ports for a kernel. Those that jupyter_client looks for may be taken before the kernel has them, which then dies."""
    from traitlets.config import Config

    names = ["shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"]
    return Config(KernelManager={"cache_ports": False, **dict(zip(names, free_ports(len(names))))})


def run(sources, directory):
    """Run these cells in order as one notebook; the outputs of each."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbclient.NotebookClient(
        notebook, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(directory)}}, config=kernel_ports()
    ).execute()
    return [cell.outputs for cell in notebook.cells]


def texts(outputs):
    """All text that a cell shows, in its plain form without colours."""
    shown = "".join(output.get("text") or output.get("data", {}).get("text/plain", "") + "\n" for output in outputs)
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


def of_type(outputs, mime):
    return [output.data[mime] for output in outputs if mime in output.get("data", {})]


# -- the page


def test_the_page_is_a_notebook(kernel_environment, tmp_path):
    sources = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    cells = {source: outputs for source, outputs in zip(sources, run(sources, tmp_path))}
    assert len(cells) > 12

    def outputs(part):
        found = [outputs for source, outputs in cells.items() if part in source]
        assert len(found) == 1, part
        return found[0]

    # The client shows its engines.
    client = of_type(outputs("start_and_connect_sync"), "text/html")[-1]
    assert "Client: 2 engines" in client and client.count("<tr>") == 3 and "idle" in client

    printed = texts(outputs("gethostname()"))
    pids = dict(re.findall(r"\[stdout:(\d)\] process (\d+) on", printed))
    assert sorted(pids) == ["0", "1"] and len(set(pids.values())) == 2
    assert len(re.findall(r"Out\[\d:\d+\]: True", printed)) == 2

    # A plot of each engine, which says whose it is.
    plots = [output for output in outputs("axes.plot") if "image/png" in output.get("data", {})]
    assert sorted(plot.metadata["engine"] for plot in plots) == [0, 1]
    pictures = [base64.b64decode(plot.data["image/png"]) for plot in plots]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures) and pictures[0] != pictures[1]

    assert "Out[0:" in texts(outputs("--out first")) and "Out[1:" not in texts(outputs("--out first"))
    assert texts(outputs("first.get()")).strip() == "'45'"

    assert not of_type(outputs("--out later"), "image/png") and "pending" in texts(outputs("--out later"))
    assert sorted(re.findall(r"Out\[\d:\d+\]: (\d+)$", texts(outputs("%pxresult")), re.M)) == sorted(pids.values())

    assert texts(outputs("this runs on each engine")).count("this runs on each engine") == 2

    # The bar is a widget here.
    bar_and_timeline = outputs("wait_interactive")
    assert of_type(bar_and_timeline, "application/vnd.jupyter.widget-view+json")
    timeline = of_type(bar_and_timeline, "text/html")[-1]
    assert "finished, 1000 items" in timeline and "engine 0" in timeline and "<title>task 0:" in timeline


def test_the_page_names_every_option():
    from apus.magics import ParallelMagics

    options = set(re.findall(r"(?<!\w)--?[a-z][a-z-]*", ParallelMagics.cell_px.__doc__.partition("options:")[2]))
    assert len(options) > 12
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    missing = [option for option in options if not any(re.search(rf"`{option}[ =`]", line) for line in table)]
    assert not missing


def test_a_bar_that_needs_no_widgets(kernel_environment, tmp_path):
    sources = [
        "import sys\nsys.modules['ipywidgets'] = None\nimport apus as ipp",
        "cluster = ipp.Cluster(n=1)\nrc = cluster.start_and_connect_sync()",
        "rc[:].map_async(lambda x: x, range(8)).wait_interactive()",
        "%%px --progress-after 0\nlist(range(3))",
        "engines = rc.wait_for_engines(2, block=False)\ncluster.start_engines_sync(1)\nengines.result(30)",
        "cluster.stop_cluster_sync()",
    ]
    _, _, waited, shown, engines, _ = run(sources, tmp_path)
    bars = of_type(waited, "text/html")
    # One bar, which was drawn again in its place until the end.
    assert len(bars) == 1 and 'value="1.0000"' in bars[0] and "8/8 tasks" in bars[0]
    bars = [bar for bar in of_type(shown, "text/html") if "<progress" in bar]
    assert len(bars) == 1 and "1/1 tasks" in bars[0]
    assert "[0, 1, 2]" in texts(shown)
    bars = of_type(engines, "text/html")
    assert len(bars) == 1 and 'value="1.0000"' in bars[0] and "2/2 engines" in bars[0]


# -- what happens while a cell runs


class Kernel:
    """A kernel, and what comes from it while a cell runs."""

    def __init__(self, directory):
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager(kernel_name="python3", config=kernel_ports())
        self.manager.start_kernel(cwd=str(directory))
        self.client = self.manager.client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=PATIENCE)
        except BaseException:
            self.close()
            raise

    def begin(self, source):
        self.current = self.client.execute(source)
        self.seen = []

    def until(self, is_it):
        """Messages until one for which this holds; returns that one. Fails if the cell ends before."""
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=PATIENCE)
            except Empty:
                raise AssertionError(f"nothing more came; before: {self.text()}") from None
            if message["parent_header"].get("msg_id") != self.current:
                continue
            self.seen.append(message)
            if is_it(message):
                return message
            ended = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            assert not ended, f"the cell ended: {self.text()}"

    def end(self):
        """Wait until the cell has ended; what it has shown."""
        self.until(lambda message: message["msg_type"] == "status" and message["content"]["execution_state"] == "idle")
        return self.text()

    def run(self, source):
        self.begin(source)
        text = self.end()
        assert not [message for message in self.seen if message["msg_type"] == "error"], text
        return text

    def text(self):
        return "\n".join(map(plain, self.seen))

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def plain(message):
    content = message["content"]
    if message["msg_type"] == "error":
        return "\n".join(content["traceback"])
    return content.get("text") or content.get("data", {}).get("text/plain", "")


@pytest.fixture
def kernel(kernel_environment, tmp_path):
    kernel = Kernel(tmp_path)
    try:
        kernel.run("import apus as ipp\ncluster = ipp.Cluster(n=2)\nrc = cluster.start_and_connect_sync()")
        yield kernel
        kernel.run("cluster.stop_cluster_sync()")
    finally:
        kernel.close()


def test_output_comes_while_the_cell_waits(kernel, tmp_path):
    gates = [tmp_path / "first", tmp_path / "second"]
    kernel.run(
        "%%px\nimport os, select\ndef wait_at(path):\n    with open(path) as gate:\n        return gate.read()"
    )
    for gate in gates:
        os.mkfifo(gate)
    kernel.begin(
        f"%%px --targets 1\nprint('one', flush=True)\nwait_at({str(gates[0])!r})\nprint('two', flush=True)\nwait_at({str(gates[1])!r})"
    )
    # The engine goes on only when this test has seen its output.
    first = kernel.until(lambda message: "one" in plain(message))
    gates[0].write_text("go on")
    second = kernel.until(lambda message: "two" in plain(message))
    gates[1].write_text("go on")
    kernel.end()
    assert (first["msg_type"], second["msg_type"]) == ("display_data", "update_display_data")
    assert first["content"]["transient"]["display_id"] == second["content"]["transient"]["display_id"]
    assert plain(second) == "[stdout:1] one\ntwo\n"


@pytest.mark.parametrize("options", ["", "--no-stream", "--progress-after 0"])
def test_an_interrupted_cell_leaves_the_cluster_usable(kernel, tmp_path, options):
    # Without streaming, the cell itself shows nothing before its end: the engines' readiness is seen otherwise.
    kernel.run("%%px\nimport os, time\nkept = os.getpid()")
    path = str(tmp_path / "ready")
    os.mkfifo(path)
    # Read and kept open by one descriptor: what is written between a reader's last byte and its end would be lost.
    ready = os.open(path, os.O_RDWR)
    kernel.run(f"rc[:].push({{'ready': {path!r}}}, block=True)")
    kernel.begin(f"%%px {options}\nwith open(ready, 'w') as file:\n    file.write('1')\ntime.sleep(60)\nprint('not interrupted')")
    came = b""
    while len(came) < 2:
        assert select.select([ready], [], [], PATIENCE)[0], f"only {len(came)} of 2 engines have begun"
        came += os.read(ready, 2)
    os.close(ready)
    kernel.manager.interrupt_kernel()
    shown = kernel.end()
    assert "Received Keyboard Interrupt. Sending signal SIGINT to engines..." in shown
    assert "not interrupted" not in shown and "still run it" not in shown
    assert not [message for message in kernel.seen if message["msg_type"] == "error"], shown
    # The engines are the same processes, free, and have their names still.
    assert kernel.run("%px kept == os.getpid()").count("True") == 2
    assert kernel.run("rc[:].apply_sync(lambda x: x + 1, 41)").strip() == "[42, 42]"


def test_an_interrupt_between_sending_and_waiting_reaches_the_engines(kernel):
    kernel.run("%%px\nimport os, time\nkept = os.getpid()")
    kernel.run(
        "import signal\n"
        "view = rc[:]\n"
        "view.activate('_hit')\n"
        "send = view._send_code\n"
        "def send_and_interrupt(*arguments):\n"
        "    sent = send(*arguments)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return sent\n"
        "view._send_code = send_and_interrupt"
    )
    kernel.begin("%%px_hit --block\ntime.sleep(60)\nprint('not interrupted')")
    shown = kernel.end()
    assert "Received Keyboard Interrupt. Sending signal SIGINT to engines..." in shown
    assert "not interrupted" not in shown and "still run it" not in shown
    assert not [message for message in kernel.seen if message["msg_type"] == "error"], shown
    assert kernel.run("%px kept == os.getpid()").count("True") == 2


def test_engines_that_an_interrupt_killed_are_told(kernel):
    kernel.run("%px import os, time")
    kernel.begin("%%px --signal-on-interrupt SIGKILL --targets 0\nprint('begun', flush=True)\ntime.sleep(60)")
    kernel.until(lambda message: "begun" in plain(message))
    kernel.manager.interrupt_kernel()
    assert "Sending signal SIGKILL" in kernel.end()
    kernel.begin("%pxresult")
    assert "died while running" in kernel.end()
    assert kernel.run("%%px --targets=rc.ids\n1 + 1").count("Out[1:") == 1


def test_a_single_engines_error_is_shown_once(kernel):
    kernel.begin("%%px --targets 1\n1/0")
    assert kernel.end().count("division by zero") == 1
    kernel.begin("%px 1/0")
    shown = kernel.end()
    assert shown.count("division by zero") == 2 and "2 errors" in shown


def test_magics_of_a_broadcast_view(kernel):
    kernel.run("view = rc.broadcast_view()\nview.block = True\nview.activate('_all')")
    assert len(re.findall(r"Out\[[01]:\d+\]: \S*42", kernel.run("%px_all 6 * 7"))) == 2
    kernel.begin("%%px_all --targets 1\nprint('begun', flush=True)\nimport time; time.sleep(60)")
    kernel.until(lambda message: "begun" in plain(message))
    kernel.manager.interrupt_kernel()
    assert "still run it" not in kernel.end()
    assert len(re.findall(r"Out\[[01]:\d+\]: \S*42", kernel.run("%px_all 6 * 7"))) == 2


def test_an_interrupt_leaves_other_work_alone(kernel, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    kernel.run(f"busy = rc[0].apply_async(lambda path: open(path).read(), {str(gate)!r})")
    # The cell waits behind that task; its bar says that it was sent.
    kernel.begin("%%px --targets 0 --progress-after 0\nran = True")
    kernel.until(lambda message: message["msg_type"] == "display_data" and "%px" in plain(message))
    kernel.manager.interrupt_kernel()
    shown = kernel.end()
    assert "It was taken back from engines [0]" in shown and "still run it" not in shown
    # Opening it would wait for the task, should that be gone.
    descriptor = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
    os.write(descriptor, b"done")
    os.close(descriptor)
    assert kernel.run("busy.get()").strip() == "'done'"
    kernel.begin("%%px --targets 0\nran")
    assert "NameError" in kernel.end()
