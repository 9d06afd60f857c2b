"""Builds Apus for pip and other front ends: the hooks of PEP 517 and PEP 660, with the standard library alone.

`pip install .` compiles the release products with `swift build` in the checkout's `.build`, so the second time takes seconds.

Settings (``--config-settings NAME=VALUE``):

``libraries``
    ``static`` (the default) puts libzmq, libsodium, jemalloc and SQLite into the products: the wheel runs on machines that have none of
    them. ``system`` links the shared libraries of this machine: for systems without static archives; the wheel is for this machine only.
"""

from .hooks import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]
