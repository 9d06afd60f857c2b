"""The Python code of the documentation runs, and gives what it says it gives.

Every fenced ``python`` block of the pages ``docs/coming-from-*.md`` and of ``docs/{explain,tasks}.md`` is run. Its info string may name libraries: ``python dask`` is code
for Dask, ``python apus joblib`` needs both. The blocks of a page with the same words are one program, in their order; it runs in a
process of its own, and only where its libraries are installed. A line that ends in ``# → value`` is an expression, and must have that value.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

import processes
import pytest
from temporary_cluster import environment

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").glob("coming-from-*.md")), *(ROOT / "docs" / page for page in ("explain.md", "tasks.md"))]
BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.M | re.S)
VALUE = re.compile(r"^(?P<expression>\S.*?)\s+# → (?P<value>.+)$")


def programs() -> list[tuple[Path, str, str]]:
    """Page, libraries, and the code, in which each block stands at its own lines of the page."""
    found: dict[tuple[Path, str], list[str]] = {}
    for page in PAGES:
        text = page.read_text()
        for block in BLOCK.finditer(text):
            lines = found.setdefault((page, block[1].strip() or "apus"), [])
            lines += [""] * (text[: block.start(2)].count("\n") - len(lines))
            lines += [checked(line) for line in block[2].splitlines()]
    return [(page, libraries, "\n".join(lines) + "\n") for (page, libraries), lines in found.items()]


def checked(line: str) -> str:
    """The line, or the demand that its expression has the value that it names."""
    found = VALUE.match(line)
    return f"expect({found['expression']}, {found['value']})" if found else line


def expect(value, expected):
    import sys

    line = sys._getframe(1).f_lineno
    assert value == expected, f"line {line}: {value!r}, and the page says {expected!r}"


PROGRAMS = programs()


def test_there_are_programs():
    assert {page.name for page, _, _ in PROGRAMS} >= {
        "coming-from-ipyparallel.md", "coming-from-multiprocessing.md", "coming-from-dask.md", "tasks.md"}
    for _, _, code in PROGRAMS:
        assert "expect(" in code


def test_a_wrong_value_is_noticed():
    assert checked("1 + 1  # → 3") == "expect(1 + 1, 3)"
    with pytest.raises(AssertionError, match="2, and the page says 3"):
        expect(1 + 1, 3)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("page", "libraries", "code"), PROGRAMS, ids=[f"{page.stem}-{libraries.replace(' ', '-')}" for page, libraries, _ in PROGRAMS])
def test_a_program_of_a_page_runs(page, libraries, code, bin_dir, tmp_path):
    for library in libraries.split():
        if library != "apus" and importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    source, program = tmp_path / page.name, tmp_path / "program.py"
    source.write_text(code)
    # Workers that import the main program must not run the page again.
    program.write_text(
        f"{inspect.getsource(expect)}\n\nif __name__ == '__main__':\n"
        f"    exec(compile(open({str(source)!r}).read(), {str(source)!r}, 'exec'))\n")
    mark = uuid.uuid4().hex
    package = bin_dir.parent / "lib" / "apus" / "python"
    env = environment(tmp_path / "ipython", mark, PYTHONPATH=str(package), TMPDIR=str(tmp_path))
    try:
        done = subprocess.run(
            [sys.executable, str(program)], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=170)
        # What watches over a cluster goes when its program has gone.
        deadline = time.monotonic() + 40
        while processes.processes(mark) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        left = processes.end(mark)
    assert done.returncode == 0, f"{page.relative_to(ROOT)}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    # Stock leaves helpers for a moment.
    assert not left or "ipyparallel" in libraries, f"left over: {left}"
