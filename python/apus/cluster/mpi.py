"""Controller and engines under `mpiexec`, on this machine or on those that it knows."""

from traitlets import Integer, List, Unicode

from . import profiles
from .arrival import Arrival
from .base import ControllerLauncher, EngineLauncher
from .local import LocalProcessLauncher


class MPILauncher(LocalProcessLauncher):
    """Runs a program under mpiexec, which is the process that is watched, stopped and sent signals."""

    mpi_cmd = List(Unicode(), ["mpiexec"], config=True, help="The command that runs MPI programs.")
    mpi_args = List(Unicode(), config=True, help="Its further arguments.")
    program = List(Unicode(), ["date"], help="The program.")
    program_args = List(Unicode(), help="Its arguments.")

    n = Integer(1, help="Processes of the program.").tag(to_dict=True)

    def find_args(self):
        return [*self.mpi_cmd, "-n", str(self.n), *self.mpi_args, *self.program, *self.program_args]

    def start(self, n=1):
        """Start n processes of the program. Returns the id of mpiexec."""
        self.n = n
        return super().start()


class MPIControllerLauncher(MPILauncher, ControllerLauncher):
    """Runs a controller under mpiexec."""

    @property
    def program(self):
        return self.controller_cmd

    @property
    def program_args(self):
        return [*self.cluster_args, *self.controller_args]

    def start(self, n=1):
        profiles.create(self.profile_dir)
        self._arrival = Arrival(self.connection_files.values(), accepts_old=self.reuses_connection_files)
        return super().start(1)


class MPIEngineSetLauncher(MPILauncher, EngineLauncher):
    """Runs engines under one mpiexec: their ids are their ranks."""

    @property
    def program(self):
        return [*self.engine_cmd, "--mpi"]

    @property
    def program_args(self):
        return [*self.cluster_args, *self.engine_args]
