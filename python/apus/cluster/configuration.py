"""Reads the configuration files that apply to a cluster: those that `apus start` (`ipcluster start`) reads."""

import os

from traitlets.config import Config
from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, PyFileConfigLoader


def load(profile_dir):
    """The configuration of a profile and of the system, later directories winning."""
    config = Config()
    for directory in [*_system_directories(), profile_dir]:
        for name in ("ipython_config", "ipcluster_config"):
            for loader, suffix in ((PyFileConfigLoader, ".py"), (JSONFileConfigLoader, ".json")):
                if os.path.exists(os.path.join(directory, name + suffix)):
                    try:
                        config.merge(loader(name + suffix, path=directory).load_config())
                    except ConfigFileNotFound:
                        # Removed in this moment.
                        continue
    return config


def _system_directories():
    directories = ["/etc/ipython", "/usr/local/etc/ipython"]
    for variable in ("CONDA_PREFIX", "VIRTUAL_ENV"):
        if os.environ.get(variable):
            directories.append(os.path.join(os.environ[variable], "etc", "ipython"))
    return directories
