"""One module for each library that is measured; each has a class `Peer` (see harness/peer.py)."""

#: In the order of the tables.
NAMES = ("apus", "ipyparallel", "ipyparallel_on_apus", "dask", "ray", "multiprocessing", "loky", "mpi4py")
