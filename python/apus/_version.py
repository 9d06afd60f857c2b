"""Versions, in one place: the commands read this file as text."""

#: The version of Apus itself.
__version__ = "0.1.0"

#: The ipyparallel release whose wire protocol and commands Apus answers to; what `--version` prints.
PROTOCOL_VERSION = "9.2.0"
