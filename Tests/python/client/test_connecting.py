"""Finding a cluster: files, profiles, tunnels, and what is said when there is none."""

import contextlib
import errno
import json
import os
import socket
import stat
import sys
import warnings
from pathlib import Path

import pytest

import apus as ipp
from apus.tunnel import _hold_ports

FORWARDER = '''#!{python}
"""Stands for ssh: forwards ports on this machine."""
import asyncio, sys
from pathlib import Path

async def pump(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()

async def main():
    arguments = sys.argv[1:]
    if "refused" in arguments[-1]:
        sys.exit("ssh: no such host")
    if "taken" in arguments[-1] and not Path({log!r}).exists():
        # As OpenSSH does, the first time.
        Path({log!r}).touch()
        sys.exit("bind [127.0.0.1]:1: Address already in use\\r\\nchannel_setup_fwd_listener_tcpip: cannot listen to port: 1\\r")
    for word, forward in zip(arguments, arguments[1:]):
        if word == "-L":
            local, port, host, to = forward.split(":")
            async def forward(reader, writer, host=host, to=to):
                there, back = await asyncio.open_connection(host, int(to))
                await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)
            await asyncio.start_server(forward, local, int(port))
    with open({log!r}, "a") as file:
        file.write(" ".join(arguments[-1:]) + "\\n")
    await asyncio.Event().wait()

asyncio.run(main())
'''


@pytest.fixture
def fake_ssh(tmp_path, monkeypatch):
    log = tmp_path / "servers"
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(FORWARDER.format(python=sys.executable, log=str(log)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return log


def test_through_a_tunnel(cluster, fake_ssh):
    with ipp.Client(str(cluster.connection_file), sshserver="someone@gateway:2222") as client:
        client.wait_for_engines(2, timeout=40)
        assert client[:].apply_sync(abs, -1) == [1, 1] and client.queue_status()
        process = client._tunnels._process
        assert fake_ssh.read_text() == "someone@gateway\n"
    assert process.poll() is not None


def test_tunnel_that_cannot_be_made(cluster, fake_ssh):
    with pytest.raises(OSError, match="no such host"):
        ipp.Client(str(cluster.connection_file), sshserver="refused")


def test_a_tunnel_takes_other_ports_where_somebody_was_faster(cluster, fake_ssh):
    with ipp.Client(str(cluster.connection_file), sshserver="taken") as client:
        client.wait_for_engines(2, timeout=40)
        assert fake_ssh.read_text() == "taken\n"


def test_ports_of_a_tunnel_are_kept_for_it():
    with contextlib.ExitStack() as held:
        ports = _hold_ports(20, held)
        assert len(set(ports)) == 20
        for port in ports:
            with socket.socket() as another, pytest.raises(OSError) as refusal:
                another.bind(("127.0.0.1", port))
            assert refusal.value.errno == errno.EADDRINUSE
            with socket.socket() as as_ssh:
                as_ssh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                as_ssh.bind(("127.0.0.1", port))
                as_ssh.listen()
                socket.create_connection(("127.0.0.1", port), 1).close()


def test_forms_of_connection_info(cluster):
    info = json.loads(cluster.connection_file.read_text())
    profile = cluster.connection_file.parents[1]
    for arguments, options in [
        ((info,), {}), ((cluster.connection_file,), {}), ((), {"profile_dir": str(profile)}), ((), {"ipython_dir": str(profile.parent)}),
        ((), {"ipython_dir": str(profile.parent), "profile": "default"}),
    ]:  # fmt: skip
        with ipp.Client(*arguments, **options) as client:
            assert client.ids == [0, 1]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ipp.Client(url_file=str(cluster.connection_file)).close()
    assert any(issubclass(warning.category, DeprecationWarning) for warning in seen)


def test_no_cluster(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    with pytest.raises(OSError, match="no Controller could be found"):
        ipp.Client()
    (tmp_path / "profile_default" / "security").mkdir(parents=True)
    with pytest.raises(OSError, match="not found"):
        ipp.Client(timeout=0.1)
    assert "Waiting for connection file" in capsys.readouterr().out
    with pytest.raises(OSError, match="not found"):
        ipp.Client(str(tmp_path / "nothing.json"))
    with pytest.raises(ValueError, match="single urls"):
        ipp.Client("tcp://127.0.0.1:5555")


def test_a_file_that_is_none(tmp_path):
    file = tmp_path / "ipcontroller-client.json"
    file.write_text("{}")
    with pytest.raises(ValueError, match="missing"):
        ipp.Client(str(file))
    file.write_text("no json")
    with pytest.raises(ValueError, match="cannot be read"):
        ipp.Client(str(file))


def test_a_controller_that_is_gone(cluster, tmp_path):
    """The file of a controller that was killed: nobody listens there."""
    import socket

    info = json.loads(cluster.connection_file.read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        info["registration"] = free.getsockname()[1]
        with pytest.raises((TimeoutError, OSError)):
            ipp.Client(info, timeout=1)


def test_the_package_is_light():
    """Engines import it first."""
    import subprocess

    code = "import sys, apus; print(sorted(set(sys.modules) & {'asyncio', 'concurrent.futures', 'IPython', 'numpy', 'json', 'apus.client'}))"
    environment = os.environ | {"PYTHONPATH": str(Path(ipp.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout == "[]\n"
    for name in ipp.__all__:
        assert getattr(ipp, name) is not None
    with pytest.raises(AttributeError):
        ipp.nothing
