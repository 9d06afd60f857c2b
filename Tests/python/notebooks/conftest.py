"""Fixtures for the tests of magics, progress bars and what is shown in notebooks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))

from played_controller import python_package  # noqa: E402

sys.path.insert(0, str(python_package()))


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """IPython's shell, without files and with as little state as it can have."""
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    shell.colors = "nocolor"
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
