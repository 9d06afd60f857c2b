"""All launchers, under the names that ipyparallel has for them: `apus.cluster.launcher`."""

from signal import SIGKILL, SIGTERM  # noqa: F401

from .base import (  # noqa: F401
    BaseLauncher,
    ControllerLauncher,
    EngineLauncher,
    LauncherError,
    NotRunning,
    ProcessStateError,
    UnknownStatus,
)
from .batch import BatchControllerLauncher, BatchEngineSetLauncher, BatchSystemLauncher  # noqa: F401
from .batchsystems import (  # noqa: F401
    HTCondorControllerLauncher,
    HTCondorEngineSetLauncher,
    HTCondorLauncher,
    LSFControllerLauncher,
    LSFEngineSetLauncher,
    LSFLauncher,
    PBSControllerLauncher,
    PBSEngineSetLauncher,
    PBSLauncher,
    SGEControllerLauncher,
    SGEEngineSetLauncher,
    SGELauncher,
    SlurmControllerLauncher,
    SlurmEngineSetLauncher,
    SlurmLauncher,
)
from .local import LocalControllerLauncher, LocalEngineLauncher, LocalEngineSetLauncher, LocalProcessLauncher  # noqa: F401
from .mpi import MPIControllerLauncher, MPIEngineSetLauncher, MPILauncher  # noqa: F401
from .registry import abbreviate_launcher_class, find_launcher_class  # noqa: F401
from .ssh import SSHControllerLauncher, SSHEngineLauncher, SSHEngineSetLauncher, SSHLauncher  # noqa: F401

local_launchers = [LocalControllerLauncher, LocalEngineLauncher, LocalEngineSetLauncher]
mpi_launchers = [MPILauncher, MPIControllerLauncher, MPIEngineSetLauncher]
pbs_launchers = [PBSLauncher, PBSControllerLauncher, PBSEngineSetLauncher]
slurm_launchers = [SlurmLauncher, SlurmControllerLauncher, SlurmEngineSetLauncher]
sge_launchers = [SGELauncher, SGEControllerLauncher, SGEEngineSetLauncher]
lsf_launchers = [LSFLauncher, LSFControllerLauncher, LSFEngineSetLauncher]
ssh_launchers = [SSHLauncher, SSHControllerLauncher, SSHEngineLauncher, SSHEngineSetLauncher]
htcondor_launchers = [HTCondorLauncher, HTCondorControllerLauncher, HTCondorEngineSetLauncher]
all_launchers = [
    *local_launchers, *mpi_launchers, *ssh_launchers, *pbs_launchers, *slurm_launchers, *sge_launchers, *lsf_launchers, *htcondor_launchers]


def __getattr__(name):
    """The commands that the launchers run by default; the program of Apus is looked for when they are asked for."""
    from .. import _executable
    from .base import engine_command

    if name == "ipcontroller_cmd_argv":
        return _executable.command("controller")
    if name == "ipengine_cmd_argv":
        return engine_command()
    if name == "ipcluster_cmd_argv":
        return _executable.command("ipcluster")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
