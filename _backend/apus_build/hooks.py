"""The hooks that front ends call: PEP 517 (wheel, sdist) and PEP 660 (editable)."""

from __future__ import annotations

import shlex
from pathlib import Path

from . import products
from .archives import Wheel, write_source_distribution
from .project import INFO, NAME, PACKAGE, PROJECT, ROOT, VERSION, metadata_files, stop
from .toolchain import Toolchain

_SETTINGS = {"libraries"}
#: Read as strings by type checkers and by nobody else.
_PACKAGE_FILES = (".py", ".pyi", ".typed")


def get_requires_for_build_wheel(config_settings=None) -> list[str]:
    return []


get_requires_for_build_editable = get_requires_for_build_sdist = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None) -> str:
    """Metadata without a build; the tag, which only the products tell, is not among what is asked here."""
    _settings(config_settings)
    (Path(metadata_directory) / INFO).mkdir(parents=True, exist_ok=True)
    for name, content in metadata_files("cp310-abi3-linux").items():
        (Path(metadata_directory) / name).write_bytes(content)
    return INFO


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None) -> str:
    built = products.build(**_settings(config_settings))
    with Wheel(wheel_directory, built.tag) as wheel:
        for file in sorted(PACKAGE.rglob("*")):
            if file.suffix in _PACKAGE_FILES or file.name == "py.typed":
                wheel.add(f"{NAME}/{file.relative_to(PACKAGE).as_posix()}", file.read_bytes())
        wheel.add(f"{NAME}/_core.abi3.so", built.module, executable=True)
        if built.allocator is not None:
            wheel.add(f"{NAME}/_lib/libjemalloc.so.2", built.allocator, executable=True)
        wheel.add(f"{NAME}-{VERSION}.data/scripts/apus", built.program, executable=True)
        _finish(wheel, built.tag, built.licences)
        return wheel.finish()


def build_editable(wheel_directory, config_settings=None, metadata_directory=None) -> str:
    """The environment gets the checkout's package, and a command that starts the checkout's program: `swift build -c release` renews it."""
    settings = _settings(config_settings)
    if settings.get("libraries", "system") != "system":
        raise stop("an editable installation uses this machine's libraries", "Leave libraries=static to wheels.")
    toolchain = Toolchain()
    program = toolchain.build("apus") / "apus"
    toolchain.build("_core")
    with Wheel(wheel_directory, "py3-none-any") as wheel:
        wheel.add(f"__editable__.{NAME}.pth", f"{PACKAGE.parent}\n".encode())
        wheel.add(f"{NAME}-{VERSION}.data/scripts/apus", _EDITABLE_COMMAND.format(program=shlex.quote(str(program))).encode(), executable=True)
        _finish(wheel, "py3-none-any", {})
        return wheel.finish()


_EDITABLE_COMMAND = """\
#!/bin/sh
# The program of a checkout; engines run in the environment that this file is in, as those of an ordinary installation do.
: "${{APUS_PYTHON:=$(dirname -- "$(readlink -f -- "$0")")/python}}"
export APUS_PYTHON
exec {program} "$@"
"""


def build_sdist(sdist_directory, config_settings=None) -> str:
    return write_source_distribution(sdist_directory)


def _finish(wheel: Wheel, tag: str, licences: dict[str, bytes]) -> None:
    for name in PROJECT["license-files"]:
        wheel.add(f"{INFO}/licenses/{name}", (ROOT / name).read_bytes())
    for name, content in sorted(licences.items()):
        wheel.add(f"{INFO}/licenses/bundled/{name}.txt", content)
    wheel.add_all(metadata_files(tag))


def _settings(given) -> dict[str, str]:
    given = given or {}
    unknown = sorted(set(given) - _SETTINGS)
    if unknown:
        raise stop(f"there is no setting {unknown[0]}", f"The settings are: {', '.join(sorted(_SETTINGS))}.")
    return dict(given)
