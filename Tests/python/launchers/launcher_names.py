"""Names of the systems that the launchers' suite runs over."""

#: Stand-ins, which run everywhere.
PLAYED = ["slurm", "pbs", "sge", "lsf", "htcondor"]
#: Those that jobs can be submitted to.
BATCH = [*PLAYED, "real slurm", "pbs on slurm", "real sge"]
#: All.
EVERY = [*BATCH, "ssh", "openmpi", "mpich"]
