"""The MPI rank of an engine: what its mpiexec says, and what mpi4py makes of it."""

import os
import sys

from .options import OptionError

#: Rank and size in the environment, by the kind of mpiexec: Open MPI, MPICH and its descendants, Slurm's srun with PMIx.
_VARIABLES = (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"), ("PMIX_RANK", "SLURM_NTASKS"))


def launched(environment=os.environ):
    """Rank and size as mpiexec has put them into the environment; None outside MPI."""
    for rank, size in _VARIABLES:
        try:
            return int(environment[rank]), int(environment[size])
        except (KeyError, ValueError):
            continue
    return None


def rank_and_size(log):
    """Rank and size of this engine. Raises OptionError where mpi4py cannot work with the MPI that has started it."""
    told = launched()
    try:
        from mpi4py import MPI
    except ImportError as error:
        if told is None:
            raise OptionError(f"--mpi needs the package mpi4py: {error}") from error
        log(30, f"Tasks cannot use MPI, for which they need the package mpi4py: {error}")
        return told
    rank, size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
    if told is not None and told[1] > 1 and size == 1:
        # Every rank would take itself for the only one, and calculate wrong results without a word.
        library = MPI.Get_library_version().splitlines()[0].strip("\0 ")
        raise OptionError(
            f"mpi4py of {sys.executable} works with another MPI ({library}) than the mpiexec that started this engine as rank {told[0]} of "
            f"{told[1]}: take the mpiexec of that MPI (MPILauncher.mpi_cmd), or set MPI4PY_MPIABI (mpich or openmpi)")
    return rank, size
