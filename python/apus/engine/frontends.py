"""Ports for Jupyter frontends: `ipyparallel.bind_kernel()` in an engine, then `jupyter console --existing FILE`."""

import json
import os

_bound = {}


def bind(kernel, **_):
    """Open the ports and write a connection file into the profile's security directory. Returns its path.

    Calling it again changes nothing. Raises RuntimeError where that cannot work.
    """
    if "path" in _bound:
        return _bound["path"]
    shell, iopub, stdin, control, heart, key = kernel.core.bind_frontends()
    if not key:
        kernel.log(30, "The bound kernel is not signed: anybody on this machine may connect")
    ports = {"shell": shell, "iopub": iopub, "stdin": stdin, "control": control, "hb": heart}
    content = {f"{name}_port": int(endpoint.rpartition(":")[2]) for name, endpoint in ports.items()}
    content.update(ip="127.0.0.1", key=key, transport="tcp", signature_scheme="hmac-sha256", kernel_name="")
    folder = os.path.join(kernel.profile_directory, "security")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, f"kernel-{os.getpid()}.json")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
    _bound["path"] = path
    import atexit

    atexit.register(_remove, path, os.getpid())
    kernel.log(20, f"To connect another client to this kernel, use: --existing {path}")
    return path


def _remove(path, pid):
    # A forked child leaves the file to its parent.
    if os.getpid() == pid:
        try:
            os.unlink(path)
        except OSError:
            pass
