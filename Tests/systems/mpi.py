"""The two families of MPI, each under the name that Debian gives its mpiexec."""

from __future__ import annotations

from .daemons import System


class OpenMPI(System):
    needs = ("mpiexec.openmpi",)
    packages = ("openmpi-bin",)
    command = "mpiexec.openmpi"

    def bring_up(self) -> None:
        self.variables |= {
            # As root, with more ranks than cores, and on the loopback alone.
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "OMPI_MCA_btl": "self,vader", "OMPI_MCA_oob_tcp_if_include": "lo"}


class MPICH(System):
    needs = ("mpiexec.mpich",)
    packages = ("mpich",)
    command = "mpiexec.mpich"

    def bring_up(self) -> None:
        self.variables["HYDRA_IFACE"] = "lo"
