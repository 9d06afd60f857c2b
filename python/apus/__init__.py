"""Apus: interactive parallel computing on ipyparallel's wire protocol.

This package stays light on purpose: an engine imports it before anything else, so nothing heavy may be imported here.
"""

from ._version import PROTOCOL_VERSION, __version__

__all__ = ["PROTOCOL_VERSION", "__version__"]
