"""What `pyproject.toml` and `_version.py` say, and the metadata files made from it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "apus"


def stop(text: str, advice: str = "") -> SystemExit:
    """What a person gets to read instead of a traceback: `raise stop("what is wrong", "what to do")`."""
    return SystemExit(f"error: {text}" + (f"\n       {advice}" if advice else ""))


def _version() -> str:
    """The one place where it is written, read without importing the package."""
    for node in ast.parse((PACKAGE / "_version.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__":
            return ast.literal_eval(node.value)
    raise stop("python/apus/_version.py has no __version__")


def _table() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


PROJECT = _table()
NAME: str = PROJECT["name"]
VERSION = _version()
#: The directory of the metadata in a wheel.
INFO = f"{NAME}-{VERSION}.dist-info"


def _requirement(text: str, extra: str | None = None) -> str:
    if extra is None:
        return text
    requirement, _, marker = (part.strip() for part in text.partition(";"))
    return f'{requirement} ; ({marker}) and extra == "{extra}"' if marker else f'{requirement} ; extra == "{extra}"'


def metadata() -> str:
    """The file METADATA of a wheel, which is PKG-INFO of a source distribution."""
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {NAME}",
        f"Version: {VERSION}",
        f"Summary: {PROJECT['description']}",
        f"License-Expression: {PROJECT['license']}",
        *(f"License-File: {name}" for name in PROJECT["license-files"]),
        f"Keywords: {','.join(PROJECT['keywords'])}",
        *(f"Classifier: {classifier}" for classifier in PROJECT["classifiers"]),
        f"Requires-Python: {PROJECT['requires-python']}",
        *(f"Requires-Dist: {_requirement(text)}" for text in PROJECT["dependencies"]),
    ]
    for extra, requirements in PROJECT["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {_requirement(text, extra)}" for text in requirements]
    lines += ["Description-Content-Type: text/markdown", "", (ROOT / PROJECT["readme"]).read_text(encoding="utf-8")]
    return "\n".join(lines)


def entry_points() -> str:
    return "[console_scripts]\n" + "".join(f"{name} = {target}\n" for name, target in PROJECT["scripts"].items())


def wheel_description(tag: str) -> str:
    """The file WHEEL."""
    pure = "true" if re.fullmatch(r"py3-none-any", tag) else "false"
    return f"Wheel-Version: 1.0\nGenerator: apus_build {VERSION}\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"


def metadata_files(tag: str) -> dict[str, bytes]:
    """The metadata directory of a wheel but for RECORD and licences: names in the wheel, and contents."""
    texts = {"METADATA": metadata(), "WHEEL": wheel_description(tag), "entry_points.txt": entry_points(), "top_level.txt": f"{NAME}\n"}
    return {f"{INFO}/{name}": text.encode() for name, text in texts.items()}
