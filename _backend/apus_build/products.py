"""The compiled half of a wheel, and which machines it runs on."""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .libraries import StaticLibraries
from .project import stop
from .toolchain import Toolchain

#: What a machine has that can run a manylinux wheel at all: the C library's own parts, and those of the compiler's that come with it.
_EVERYWHERE = re.compile(r"(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+)\.so\.\d+|ld-linux[\w-]*\.so\.\d+")


@dataclass
class Products:
    """Files as they go into a wheel."""

    #: The program `apus`.
    program: bytes
    #: The extension module `apus._core`.
    module: bytes
    #: The allocator for engines; None where the system's own is linked, which the program finds by itself.
    allocator: bytes | None
    #: Of the wheel: `cp310-abi3-manylinux_2_36_x86_64`.
    tag: str
    licences: dict[str, bytes] = field(default_factory=dict)


def build(libraries: str = "static") -> Products:
    """Compiles everything; seconds when nothing has changed."""
    if libraries not in ("static", "system"):
        raise stop(f"libraries={libraries} is not known", "It is 'static' or 'system'.")
    toolchain = Toolchain()
    static = StaticLibraries(toolchain) if libraries == "static" else None
    variables = static.variables if static else {}
    with tempfile.TemporaryDirectory() as scratch:
        # Each product by itself: they link differently.
        program = toolchain.build("apus", *(static.for_program if static else []), **variables) / "apus"
        program = _stripped(toolchain, program, Path(scratch))
        module = toolchain.build("_core", *(static.for_module if static else []), **variables) / "lib_core.so"
        module = _stripped(toolchain, module, Path(scratch))
        files = [program, module, *([static.preloaded_allocator] if static else [])]
        platform_tag = _platform(toolchain, files) if static else f"linux_{platform.machine()}"
        return Products(
            program.read_bytes(), module.read_bytes(), static.preloaded_allocator.read_bytes() if static else None,
            f"cp310-abi3-{platform_tag}",
            {name: path.read_bytes() for name, path in static.licences.items()} if static else {})


def _stripped(toolchain: Toolchain, file: Path, scratch: Path) -> Path:
    """Without what only a debugger reads: that is a third of it. Backtraces keep the names of exported functions."""
    copy = scratch / file.name
    shutil.copy(file, copy)
    toolchain.output([toolchain.tool("llvm-objcopy"), "--strip-all", str(copy)])
    return copy


def _platform(toolchain: Toolchain, files: list[Path]) -> str:
    """The platform tag: manylinux with the C library's version that the files need."""
    needed = (0, 0)
    for file in files:
        text = toolchain.output([toolchain.tool("llvm-objdump"), "-p", str(file)])
        strangers = [name for name in re.findall(r"^\s+NEEDED\s+(\S+)", text, re.M) if not _EVERYWHERE.fullmatch(name)]
        if strangers:
            raise stop(f"{file.name} needs {', '.join(strangers)}, which other machines may not have")
        needed = max([needed, *((int(major), int(minor)) for major, minor in re.findall(r"\bGLIBC_(\d+)\.(\d+)", text))])
    if needed == (0, 0):
        raise stop("the products do not tell which C library they need")
    return f"manylinux_{needed[0]}_{needed[1]}_{platform.machine()}"
