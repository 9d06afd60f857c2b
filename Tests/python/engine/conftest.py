"""Fixtures for the tests of one engine against a controller that the test plays."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from played_controller import PlayedController, python_package, start_engine  # noqa: E402

sys.path.insert(0, str(python_package()))


@pytest.fixture
def start(tmp_path):
    """`start(*options, **environment)` -> (controller, engine process), registered and beating."""
    begun = []

    def start(*options, register=True, **environment):
        controller = PlayedController(tmp_path)
        engine = start_engine(controller.file, *options, directory=tmp_path, **environment)
        begun.append((controller, engine))
        if register:
            controller.register()
        return controller, engine

    yield start
    for controller, engine in begun:
        controller.close()
        if engine.poll() is None:
            engine.kill()
        engine.wait()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One engine for all cases of a module that leave it as it was."""
    directory = tmp_path_factory.mktemp("engine")
    controller = PlayedController(directory)
    engine = start_engine(controller.file, directory=directory)
    controller.register()
    yield controller
    controller.close()
    engine.kill()
    engine.wait()
