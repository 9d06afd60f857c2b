"""The main job, as it is run."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def demo(bin_dir):
    def run(*arguments: str) -> subprocess.CompletedProcess:
        environment = dict(os.environ, APUS_PREFIX=str(bin_dir.parent))
        return subprocess.run(
            [str(ROOT / "scripts" / "demo"), *arguments], env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_the_demo_is_right(demo):
    result = demo()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Every result was right" in result.stdout


def test_the_demo_counts_any_text(demo, tmp_path):
    text = tmp_path / "text.txt"
    text.write_bytes("Über über -- 12 don't DON'T\n\n\tend\u00a0end \n".encode() + b"\xff\n")
    result = demo(str(text))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "6 words, 3 kinds" in result.stdout


def test_the_demo_says_what_it_cannot_read(demo, tmp_path):
    result = demo(str(tmp_path / "none.txt"))
    assert result.returncode == 2
    assert "no text file" in result.stderr
