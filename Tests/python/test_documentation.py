"""The Swift code of the documentation is code that the unit tests compile, and as far as it needs no other processes, run.

Each fenced ``swift`` block of the catalogue of ``Sources/Apus``, of the README and of ``docs/explain.md`` must stand line by line in
``Tests/ApusTests/Documentation``. Indentation, empty lines, ``@main`` and imports do not count, nor the tests' expectations in between.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "Sources" / "Apus" / "Documentation.docc"
COMPILED = ROOT / "Tests" / "ApusTests" / "Documentation"
PAGES = [*sorted(CATALOGUE.glob("*.md")), ROOT / "README.md", ROOT / "docs" / "explain.md"]
EXPECTATION = re.compile(r"(await )?#expect\(|Issue\.record\(")


def code(text: str) -> list[str]:
    lines = (line.strip().removeprefix("@main ") for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("import ") and not EXPECTATION.match(line)]


def blocks(page: Path) -> list[tuple[int, str]]:
    """Every fenced Swift block with the number of its first line."""
    text = page.read_text()
    return [(text[: found.start(1)].count("\n") + 1, found[1]) for found in re.finditer(r"^```swift\n(.*?)^```$", text, re.M | re.S)]


def contains(lines: list[str], part: list[str]) -> bool:
    return any(lines[start : start + len(part)] == part for start in range(len(lines) - len(part) + 1))


def test_there_are_pages_and_code():
    assert CATALOGUE.joinpath("Apus.md").exists()
    assert sum(len(blocks(page)) for page in PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_is_compiled(page):
    compiled = [code(file.read_text()) for file in COMPILED.glob("*.swift")]
    for line, block in blocks(page):
        part = code(block)
        assert any(contains(lines, part) for lines in compiled), (
            f"{page.relative_to(ROOT)}:{line} is not in Tests/ApusTests/Documentation:\n{block}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    for name in re.findall(r"<doc:(\w+)>", text):
        assert CATALOGUE.joinpath(f"{name}.md").exists(), f"{page.name} links to {name}"
    for path in re.findall(r"`((?:docs|Examples|Sources|Tests)/[\w./+-]+)`", text):
        assert ROOT.joinpath(path).exists(), f"{page.name} names {path}"
