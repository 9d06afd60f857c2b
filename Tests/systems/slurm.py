"""Slurm on this machine: a controller and one slurmd for each node, all on the loopback, nothing of /etc/slurm read."""

from __future__ import annotations

import getpass
import socket
import subprocess
import time

from .daemons import System, free_ports

# A job that is started again waits until the credentials of its former run have expired, which takes two minutes by default: a node takes those of
# the second in which it has ended the job for the former ones, and what scontrol hurried into that second would fail for good. No less: a busy
# machine may take a while to begin what it has a credential for.
_SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
AuthInfo=cred_expire=15
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.out
SlurmdLogFile={folder}/slurmd-%n.out
PlugStackConfig={folder}/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=2,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
KillWait=5
SlurmdTimeout=15
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=ALL MaxTime=5 State=UP
"""


class Slurm(System):
    needs = ("/usr/sbin/slurmctld", "/usr/sbin/slurmd", "sbatch", "squeue", "scancel")
    packages = ("slurmctld", "slurmd", "slurm-client")

    def __init__(self, folder, nodes: int = 4, processors: int = 4):
        super().__init__(folder)
        self.nodes, self.processors = nodes, processors

    def bring_up(self) -> None:
        host = socket.gethostname().split(".")[0]
        first, *others = free_ports(self.nodes + 1)
        path = self.folder / "slurm.conf"
        lines = [
            f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={self.processors} RealMemory=2000"
            for number, port in enumerate(others, 1)]
        settings = _SETTINGS.format(host=host, port=first, user=getpass.getuser(), folder=self.folder)
        path.write_text(settings.replace("PartitionName=main", "\n".join(lines) + "\nPartitionName=main"))
        (self.folder / "plugstack.conf").write_text(self.plugins)
        # slurmd loads a plugin for control groups even where none are used; named, it does not look for what is not mounted.
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        (self.folder / "state").mkdir()
        self.variables["SLURM_CONF"] = str(path)
        self.daemon("/usr/sbin/slurmctld", "-D", "-c", "-f", str(path))
        self.node_daemons = {}
        for number in range(1, self.nodes + 1):
            (self.folder / f"spool-n{number}").mkdir()
            self.node_daemons[f"n{number}"] = self.daemon("/usr/sbin/slurmd", "-D", "-N", f"n{number}", "-f", str(path))
        self.wait(lambda: self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%T", check=False).split() == ["idle"] * self.nodes, "the nodes are not idle")

    #: Lines of its list of plugins.
    plugins = ""

    def jobs(self) -> list[str]:
        """Ids of jobs that wait or run."""
        return self.run("squeue", "-h", "-o", "%i").split()

    def cancel(self, job: str) -> None:
        self.run("scancel", job)

    def lose(self, node: str) -> None:
        """The node fails: its daemon and all that it runs are gone at once, and nobody says so."""
        daemon = self.node_daemons[node]
        daemon.kill()
        daemon.wait(5)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def repair(self, node: str) -> None:
        self.node_daemons[node] = self.daemon("/usr/sbin/slurmd", "-D", "-N", node, "-f", self.variables["SLURM_CONF"])
        self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        self.wait(lambda: self.run("sinfo", "-h", "-n", node, "-p", "main", "-o", "%T", check=False).split() == ["idle"], f"{node} is not idle")

    def drain(self) -> None:
        subprocess.run(["scancel", "-u", getpass.getuser()], env=self.environment, capture_output=True, timeout=30)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.run("squeue", "-h", "-o", "%i", check=False).strip():
            time.sleep(0.1)
