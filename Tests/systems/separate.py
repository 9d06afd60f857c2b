"""Hosts that are apart: each with a network, a host name, a table of processes, a home directory and a /tmp of its own.

Linux namespaces, so only for root. ``prefix`` is what a command of the controller's machine begins with: that machine has a network of its own, too,
and no way out of it.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

from .daemons import System

_NUMBERS = itertools.count()

_SERVER = """\
ListenAddress {address}:22
HostKey /run/apus-host/host_key
PidFile none
SetEnv APUS_TEST_HOST={mark}
AuthorizedKeysFile /run/apus-host/authorized_keys
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 200
PrintMotd no
"""

_CLIENT = """\
Host *
  User root
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  ConnectTimeout 5
  LogLevel ERROR
"""

#: The first process of a host. Arguments: its folder, its name, and what of /root and /tmp it may see.
_BOOT = """\
set -eu
folder=$1 name=$2
shift 2
hostname "$name"
mount --make-rprivate /
mkdir -p /run/apus-host
mount -t tmpfs tmpfs /run/apus-host
cp "$folder/host_key" "$folder/authorized_keys" "$folder/sshd_config" /run/apus-host/
chmod 600 /run/apus-host/*
for path; do
  case $path in
    /root/*) there=$folder/root/${path#/root/} ;;
    /tmp/*) there=$folder/tmp/${path#/tmp/} ;;
    *) continue ;;
  esac
  mkdir -p "$there"
  mount --rbind "$path" "$there"
done
mount --rbind "$folder/root" /root
mount --rbind "$folder/tmp" /tmp
cd /root
exec /usr/sbin/sshd -D -e -f /run/apus-host/sshd_config
"""


class SeparateHosts(System):
    needs = ("/usr/sbin/sshd", "ssh", "ssh-keygen", "ip", "unshare")
    packages = ("openssh-server", "openssh-client", "iproute2", "util-linux")
    needs_root = True

    def __init__(self, folder, count: int = 2, shared: tuple[str, ...] = ()):
        super().__init__(folder)
        self.hosts = [f"host{number}" for number in range(1, count + 1)]
        #: The interpreter; Apus is where it says.
        self.shared = [path for path in {sys.prefix, sys.base_prefix, *shared} if path.startswith(("/root/", "/tmp/"))]
        # Names of interfaces are short, and runs side by side have their own.
        self.tag = f"ap{os.getpid() % 100000}{next(_NUMBERS)}"
        self.namespaces: list[str] = []
        self.power: dict[str, subprocess.Popen] = {}

    @classmethod
    def missing(cls) -> str | None:
        reason = super().missing()
        if reason is None:
            # In a container root may not do it.
            tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True)
            reason = None if tried.returncode == 0 else "needs the right to make namespaces"
        return reason

    @property
    def prefix(self) -> list[str]:
        return ["ip", "netns", "exec", f"{self.tag}c"]

    def _namespace(self, name: str) -> str:
        self.run("ip", "netns", "add", name)
        self.namespaces.append(name)
        self.run("ip", "-n", name, "link", "set", "lo", "up")
        return name

    def bring_up(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)
        home = self._namespace(f"{self.tag}c")
        self.run("ip", "-n", home, "link", "add", "br0", "type", "bridge")
        self.run("ip", "-n", home, "addr", "add", "10.77.0.1/24", "dev", "br0")
        self.run("ip", "-n", home, "link", "set", "br0", "up")
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "key"))
        client, known = _CLIENT.format(folder=self.folder), ""
        for number, host in enumerate(self.hosts, 1):
            address = f"10.77.0.{10 + number}"
            folder = self.folder / host
            for part in ("root", "tmp"):
                (folder / part).mkdir(parents=True)
            (folder / "tmp").chmod(0o1777)
            self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key"))
            (folder / "authorized_keys").write_text((self.folder / "key.pub").read_text())
            (folder / "sshd_config").write_text(_SERVER.format(address=address, mark=folder))
            apart = self._namespace(f"{self.tag}{number}")
            # The names of both ends are of the controller's machine until one is moved: a moment, and only there.
            self.run("ip", "-n", home, "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", apart)
            self.run("ip", "-n", home, "link", "set", f"v{number}", "master", "br0", "up")
            self.run("ip", "-n", apart, "addr", "add", f"{address}/24", "dev", "eth0")
            self.run("ip", "-n", apart, "link", "set", "eth0", "up")
            self.power[host] = self.daemon(
                "ip", "netns", "exec", apart, "unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "sh", "-c", _BOOT,
                "boot", str(folder), host, *self.shared)
            known += f"{address} {' '.join((folder / 'host_key.pub').read_text().split()[:2])}\n"
            client += f"Host {host}\n  HostName {address}\n"
        (self.folder / "known_hosts").write_text(known)
        (self.folder / "config").write_text(client)
        programs = self.folder / "bin"
        programs.mkdir()
        program = programs / "ssh"
        program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F "{self.folder}/config" "$@"\n')
        program.chmod(0o755)
        self.variables["PATH"] = f"{programs}:{os.environ['PATH']}"
        for host in self.hosts:
            self.wait(lambda host=host: self.ask(host, "echo here") == "here", f"{host} does not answer")

    def ask(self, host: str, command: str) -> str:
        return self.run(*self.prefix, "ssh", "-o", "BatchMode=yes", host, command, check=False).strip()

    def lose_power(self, host: str) -> None:
        """Every process of the host ends at once, and nothing answers there any more."""
        self.power[host].send_signal(signal.SIGKILL)
        self.power[host].wait(5)

    def pull_cable(self, host: str) -> None:
        """It lives on, and nobody hears of it."""
        self.run("ip", "-n", f"{self.tag}{self.hosts.index(host) + 1}", "link", "set", "eth0", "down")

    def processes(self, host: str) -> list[int]:
        """What was started through a host and lives."""
        wanted = f"APUS_TEST_HOST={self.folder / host}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def stop(self) -> None:
        for process in self.daemons:
            process.kill()
            process.wait(5)
        for name in reversed(self.namespaces):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
