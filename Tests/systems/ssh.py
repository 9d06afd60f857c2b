"""Hosts that are reached by ssh: one sshd for each, on loopback addresses of their own, with keys and a client configuration of the test's."""

from __future__ import annotations

import getpass
import os
import signal
import time
from pathlib import Path

from .daemons import System, free_ports

_SERVER = """\
ListenAddress {address}:{port}
HostKey {folder}/host_key
PidFile none
SetEnv APUS_TEST_HOST={folder}
AuthorizedKeysFile {keys}
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 200
PrintMotd no
Subsystem sftp internal-sftp
"""

_CLIENT = """\
Host *
  Port {port}
  User {user}
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  LogLevel ERROR
"""


class SSHHosts(System):
    needs = ("/usr/sbin/sshd", "ssh", "ssh-keygen")
    packages = ("openssh-server", "openssh-client")

    def __init__(self, folder, count: int = 3):
        super().__init__(folder)
        self.hosts = [f"host{number}" for number in range(1, count + 1)]

    def bring_up(self) -> None:
        if os.geteuid() == 0:
            # Compiled into sshd.
            Path("/run/sshd").mkdir(exist_ok=True)
        port = free_ports(1)[0]
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "key"))
        client = _CLIENT.format(port=port, user=getpass.getuser(), folder=self.folder)
        known = ""
        for number, host in enumerate(self.hosts, 1):
            folder = self.folder / host
            folder.mkdir()
            address = f"127.0.0.{10 + number}"
            self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key"))
            settings = folder / "sshd_config"
            settings.write_text(_SERVER.format(address=address, port=port, folder=folder, keys=self.folder / "key.pub"))
            self.daemon("/usr/sbin/sshd", "-D", "-e", "-f", str(settings))
            key = " ".join((folder / "host_key.pub").read_text().split()[:2])
            known += f"[{address}]:{port} {key}\n"
            client += f"Host {host}\n  HostName {address}\n"
        (self.folder / "known_hosts").write_text(known)
        (self.folder / "config").write_text(client)
        programs = self.folder / "bin"
        programs.mkdir()
        # First on PATH: whoever calls plain `ssh host1` comes here. ipyparallel calls scp, too.
        for name in ("ssh", "scp"):
            program = programs / name
            program.write_text(f'#!/bin/sh\necho "$*" >> "{self.folder}/calls"\nexec /usr/bin/{name} -F "{self.folder}/config" "$@"\n')
            program.chmod(0o755)
        self.variables["PATH"] = f"{programs}:{os.environ['PATH']}"
        for host in self.hosts:
            self.wait(lambda host=host: self._answers(host), f"{host} does not answer")

    def _answers(self, host: str) -> bool:
        return self.run("ssh", "-o", "BatchMode=yes", host, "echo", "here", check=False).strip() == "here"

    def processes(self, host: str) -> list[int]:
        """What was started through a host and lives."""
        wanted = f"APUS_TEST_HOST={self.folder / host}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    if (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                        found.append(int(entry.name))
            except OSError:
                continue
        return found

    def drain(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = [pid for host in self.hosts for pid in self.processes(host)]
            for pid in left:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            deadline = time.monotonic() + 3
            while left and time.monotonic() < deadline:
                left = [pid for host in self.hosts for pid in self.processes(host)]
                time.sleep(0.05)
            if not left:
                return
