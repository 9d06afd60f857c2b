"""Finding out how to connect: the client's connection file, and what its addresses mean here."""

import json
import os
import socket
import time
from pathlib import Path

_HINT = (
    "You have attempted to connect to an IPython Cluster but no Controller could be found.\n"
    "Please double-check your configuration and ensure that a cluster is running."
)


def ipython_dir():
    """The directory of profiles: IPYTHONDIR, or ~/.ipython."""
    return os.path.expanduser(os.environ.get("IPYTHONDIR") or os.path.join("~", ".ipython"))


def _running_profile():
    """The name of the profile of the IPython application that runs here; None without one."""
    import sys

    module = sys.modules.get("IPython.core.application")
    application = getattr(module, "BaseIPythonApplication", None)
    try:
        return application.instance().profile if application is not None and application.initialized() else None
    except Exception:
        # Another application of traitlets.
        return None


def profile_dir(profile=None, profile_dir=None, ipython_directory=None):
    """The profile's directory; None if there is none yet."""
    if profile_dir:
        path = os.path.expanduser(profile_dir)
        if os.path.isdir(path):
            return path
    base = os.path.expanduser(ipython_directory) if ipython_directory else ipython_dir()
    path = os.path.join(base, f"profile_{profile or _running_profile() or 'default'}")
    return path if os.path.isdir(path) else None


def short(path):
    """The path with ~ for the home directory."""
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if home != "/" and path.startswith(home + os.sep) else path


def load(connection_info, profile, profile_directory, ipython_directory, cluster_id, timeout):
    """The connection file's content as a dict.

    connection_info: a dict, a path, or None: the profile's file then, for which it waits up to `timeout` seconds.

    Raises OSError if there is no file, ValueError if it is none of ipyparallel's or an address was given.
    """
    if isinstance(connection_info, dict):
        return dict(connection_info)
    if connection_info is None:
        connection_info = _find(profile, profile_directory, ipython_directory, cluster_id, timeout)
    path = os.fspath(connection_info)
    if not os.path.exists(path):
        raise OSError(f"Connection file {short(path)} not found. Is a controller running?")
    return _read(path)


def _find(profile, profile_directory, ipython_directory, cluster_id, timeout):
    directory = profile_dir(profile, profile_directory, ipython_directory)
    if directory is None:
        raise OSError(_HINT)
    name = f"ipcontroller-{cluster_id}-client.json" if cluster_id else "ipcontroller-client.json"
    path = os.path.join(directory, "security", name)
    if not os.path.exists(path):
        print(f"Waiting for connection file: {short(path)}")
    deadline = time.monotonic() + timeout
    while not os.path.exists(path):
        left = deadline - time.monotonic()
        if left <= 0:
            raise OSError(f"Connection file {short(path)!r} not found.\n{_HINT}")
        # Files tell nobody that they have come.
        time.sleep(min(left, 0.1))
    return path


def _read(path):
    """A stock controller writes its file in pieces: what cannot be read is read again."""
    deadline = time.monotonic() + 1
    while True:
        text = Path(path).read_text(encoding="utf-8")
        try:
            return json.loads(text)
        except ValueError as error:
            if time.monotonic() > deadline:
                raise ValueError(f"the connection file {short(path)} cannot be read: {error}") from None
            time.sleep(0.05)


_NEEDED = ("interface", "registration", "control", "task", "mux", "iopub", "notification", "broadcast", "key")


def check(info):
    """Raises ValueError if something is missing in a connection file's content."""
    for name in _NEEDED:
        if name not in info:
            raise ValueError(
                f"Connection file is invalid (missing {name!r}), possibly from an old version of IPython.\n"
                "If you are reusing connection files, remove them and start ipcontroller again."
            )
    if info.get("curve_serverkey") is None and os.environ.get("IPP_CURVE_SERVERKEY"):
        info["curve_serverkey"] = os.environ["IPP_CURVE_SERVERKEY"]


def ip_for_host(host):
    """The address of a host; the name itself if it has none."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return host


def local_ips():
    """The addresses of this machine that are known without asking anybody."""
    found = {"127.0.0.1", "localhost", "0.0.0.0", ""}
    try:
        found.update(socket.gethostbyname_ex(socket.gethostname())[2])
    except OSError:
        pass
    return found


def is_local_ip(ip):
    """Whether an address is one of this machine."""
    return ip in local_ips() or ip.startswith("127.")


def is_loopback(interface):
    """Whether a connection file's interface leads to this machine's loopback from anywhere."""
    address = interface.partition("://")[2]
    return address.startswith("127.") or address == "localhost"
