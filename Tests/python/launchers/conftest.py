"""One suite for all launchers: against real systems where they can be had here, and against stand-ins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Tests"))

from launcher_names import PLAYED  # noqa: E402
from launcher_stands import Cluster, Stand  # noqa: E402
from systems.gridengine import GridEngine  # noqa: E402
from systems.mpi import MPICH, OpenMPI  # noqa: E402
from systems.pbs import PBSOnSlurm  # noqa: E402
from systems.played import PlayedSystem  # noqa: E402
from systems.slurm import Slurm  # noqa: E402
from systems.ssh import SSHHosts  # noqa: E402


REAL = {"real slurm": Slurm, "pbs on slurm": PBSOnSlurm, "real sge": GridEngine, "ssh": SSHHosts, "openmpi": OpenMPI, "mpich": MPICH}


def make_stand(name: str, folder: Path) -> Stand:
    if name in PLAYED:
        return Stand(name, PlayedSystem(folder, name).start(), name, [], {})
    kind = REAL[name]
    reason = kind.missing()
    if reason:
        pytest.skip(f"{name} {reason}")
    system = kind(folder).start()
    if name == "ssh":
        hosts = folder / "hosts"
        hosts.write_text("".join(f"{host} 1\n" for host in system.hosts))
        return Stand(name, system, "ssh", [f"--hosts={hosts}"], {"SSHLauncher": {"remote_python": sys.executable}})
    if isinstance(system, (OpenMPI, MPICH)):
        return Stand(name, system, "mpi", [], {"MPILauncher": {"mpi_cmd": [system.command]}})
    return Stand(name, system, name.removeprefix("real ").partition(" ")[0], [], {})


@pytest.fixture(scope="session")
def stands(tmp_path_factory):
    """Systems by name, each started when it is first wanted."""
    started = {}

    def get(name: str) -> Stand:
        if name not in started:
            started[name] = make_stand(name, tmp_path_factory.mktemp(name.replace(" ", "-")))
        return started[name]

    yield get
    for stand in started.values():
        stand.system.stop()


@pytest.fixture
def make_cluster(bin_dir, tmp_path, stands):
    """``make_cluster("slurm")``: a profile whose engines run there."""
    clusters = []

    def make(name: str) -> Cluster:
        stand = stands(name)
        if name in PLAYED:
            stand.system.faults()
        folder = tmp_path / str(len(clusters))
        folder.mkdir()
        clusters.append(Cluster(bin_dir, folder, stand))
        return clusters[-1]

    yield make
    for cluster in clusters:
        cluster.end()
