"""A cluster for the commands that are its clients."""

import pytest
from client_commands import Commands


@pytest.fixture
def own(start_cluster, tmp_path):
    """A cluster of the case's own, whose engines may die."""
    cluster = start_cluster(n=2)
    cluster.client()
    return Commands(cluster.bin_dir, cluster.env, tmp_path)
