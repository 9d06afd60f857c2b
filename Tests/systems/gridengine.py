"""Grid Engine on this machine, with its whole root in the test's folder."""

from __future__ import annotations

import getpass
import re
import socket
import subprocess
import time
from pathlib import Path

from .daemons import System, free_ports

_PROGRAMS = Path("/usr/lib/gridengine")
_SHARED = Path("/usr/share/gridengine")


class GridEngine(System):
    needs = ("qsub", "qstat", "qdel", "qconf", str(_PROGRAMS / "sge_qmaster"), str(_PROGRAMS / "sge_execd"))
    packages = ("gridengine-master", "gridengine-exec", "gridengine-client")
    needs_root = True

    def bring_up(self) -> None:
        host = socket.gethostname().split(".")[0]
        root, cell, spool = self.folder / "root", self.folder / "root/default/common", self.folder / "spool"
        for folder in (cell, spool / "qmaster/job_scripts", spool / "execd", root / "bin", root / "lib"):
            folder.mkdir(parents=True)
        architecture = subprocess.run([str(_SHARED / "util/arch")], capture_output=True, text=True, check=True).stdout.strip()
        for kind in ("bin", "lib"):
            (root / kind / architecture).symlink_to(_PROGRAMS)
        (root / "util").symlink_to(_SHARED / "util")
        settings = {
            "admin_user": "none", "default_domain": "none", "ignore_fqdn": "true", "spooling_method": "classic", "spooling_lib": "libspoolc",
            "spooling_params": f"{cell};{spool}/qmaster", "binary_path": f"{root}/bin", "qmaster_spool_dir": f"{spool}/qmaster",
            "security_mode": "none", "listener_threads": "2", "worker_threads": "2", "scheduler_threads": "1"}
        (cell / "bootstrap").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        (cell / "act_qmaster").write_text(host + "\n")
        # Both names have one address, which would be two hosts to it.
        (cell / "host_aliases").write_text(f"{host} localhost\n")
        first, second = free_ports(2)
        self.variables |= {
            "SGE_ROOT": str(root), "SGE_CELL": "default", "SGE_QMASTER_PORT": str(first), "SGE_EXECD_PORT": str(second), "SGE_CLUSTER_NAME": "test"}
        private = {"LD_LIBRARY_PATH": str(_PROGRAMS), "SGE_ND": "1"}
        text = (_SHARED / "default-configuration").read_text()
        changes = {
            "execd_spool_dir": f"{spool}/execd", "min_uid": "0", "min_gid": "0", "load_report_time": "00:00:02", "mailer": "/bin/true",
            "administrator_mail": "none"}
        for name, value in changes.items():
            text = re.sub(rf"^{name} .*$", f"{name} {value}", text, flags=re.MULTILINE)
        text = text.replace("flush_time=00:00:15", "flush_time=00:00:01 accounting_flush_time=00:00:01")
        (self.folder / "global").write_text(text)
        resources = _SHARED / "util/resources"
        for command in (
                ["spoolinit", "classic", "libspoolc", f"{cell};{spool}/qmaster", "init"], ["spooldefaults", "configuration", str(self.folder / "global")],
                ["spooldefaults", "complexes", str(resources / "centry")], ["spooldefaults", "usersets", str(resources / "usersets")],
                ["spooldefaults", "managers", getpass.getuser()]):
            subprocess.run(
                [str(_PROGRAMS / command[0]), *command[1:]], env={**self.environment, **private}, check=True, capture_output=True, timeout=60)
        self.daemon(str(_PROGRAMS / "sge_qmaster"), **private)
        self.wait(lambda: self._succeeds("qconf", "-sh"), "the master does not answer")
        for option in ("-ah", "-as"):
            self.run("qconf", option, host, check=False)
        self.daemon(str(_PROGRAMS / "sge_execd"), **private)
        self._configure("-ssconf", "-Msconf", {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"})
        self._add("-Ahgrp", f"group_name @allhosts\nhostlist {host}\n")
        queue = self._changed(
            self.run("qconf", "-sq"),
            {"qname": "all.q", "hostlist": "@allhosts", "slots": "8", "pe_list": "NONE", "load_thresholds": "NONE", "shell": "/bin/sh"})
        self._add("-Aq", queue)
        self.wait(lambda: self._is_ready(host), "the execution host does not report")

    def _succeeds(self, *command: str) -> bool:
        return subprocess.run(command, env=self.environment, capture_output=True, timeout=30).returncode == 0

    @staticmethod
    def _changed(text: str, values: dict[str, str]) -> str:
        for name, value in values.items():
            text = re.sub(rf"^{name} .*$", f"{name} {value}", text, flags=re.MULTILINE)
        return text

    def _configure(self, show: str, change: str, values: dict[str, str]) -> None:
        self._add(change, self._changed(self.run("qconf", show), values))

    def _add(self, option: str, text: str) -> None:
        path = self.folder / "change"
        path.write_text(text)
        self.run("qconf", option, str(path))

    def _is_ready(self, host: str) -> bool:
        lines = [line.split() for line in self.run("qstat", "-f", "-q", "all.q", check=False).splitlines() if line.startswith("all.q@")]
        # A sixth column has letters for what is wrong.
        return bool(lines) and all(len(line) < 6 for line in lines)

    def jobs(self) -> list[str]:
        return sorted({line.split()[0] for line in self.run("qstat", check=False).splitlines()[2:]})

    def cancel(self, job: str) -> None:
        self.run("qdel", job)

    def drain(self) -> None:
        subprocess.run(["qdel", "-u", "*"], env=self.environment, capture_output=True, timeout=30)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.jobs():
            time.sleep(0.1)
        # An orderly end takes it eight seconds, for a spool that is thrown away.
        for process in self.daemons[:1]:
            process.kill()
