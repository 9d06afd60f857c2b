"""Apus: interactive parallel computing, a drop-in for ipyparallel (`import apus as ipp`).

This package stays light on purpose: an engine imports it before anything else, so each public name is imported by its first use.
"""

from ._version import PROTOCOL_VERSION, __version__

#: Public name -> module that has it.
_NAMES = {
    **dict.fromkeys(("Client",), "client"),
    **dict.fromkeys(("AsyncResult", "AsyncMapResult", "AsyncHubResult"), "asyncresult"),
    "DirectView": "directview",
    "LoadBalancedView": "loadbalanced",
    "BroadcastView": "broadcast",
    "ViewExecutor": "executor",
    **dict.fromkeys(("RemoteFunction", "ParallelFunction", "remote", "parallel"), "remotefunction"),
    **dict.fromkeys(("Dependency", "depend", "dependent", "require"), "dependency"),
    "interactive": "util",
    **dict.fromkeys(
        (
            "Reference", "PrePickled", "can", "uncan", "can_map", "uncan_map", "use_dill", "use_cloudpickle", "use_pickle",
            "serialize_object", "deserialize_object", "pack_apply_message", "unpack_apply_message",
        ),
        "serialize",
    ),
    **dict.fromkeys(
        (
            "IPythonError", "KernelError", "EngineError", "NoEnginesRegistered", "TaskAborted", "TaskTimeout", "TimeoutError",
            "UnmetDependency", "ImpossibleDependency", "DependencyTimeout", "InvalidDependency", "RemoteError", "TaskRejectError",
            "CompositeError", "AlreadyDisplayedError",
        ),
        "error",
    ),
    **dict.fromkeys(("Cluster", "ClusterManager"), "cluster"),
    **dict.fromkeys(("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "as_completed", "wait"), "futures"),
}  # fmt: skip

#: Modules that are attributes of the package although nobody imported them.
_MODULES = frozenset(("error", "serialize", "cluster", "util", "joblib", "datapub", "client"))

#: The version of ipyparallel whose interface this is.
version_info = tuple(int(part) for part in PROTOCOL_VERSION.split("."))

__all__ = ["PROTOCOL_VERSION", "__version__", "version_info", "bind_kernel", "register_joblib_backend", *_NAMES]


def __getattr__(name):
    from importlib import import_module

    module = _NAMES.get(name)
    if module is not None:
        value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
        return value
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, *_MODULES})


def bind_kernel(**kwargs):
    """In an engine: open the ports of its kernel, so that a Jupyter frontend can attach. Raises RuntimeError elsewhere."""
    from .engine import stock

    if stock.kernel is None:
        raise RuntimeError("bind_kernel must be called from an IPEngine instance")
    from .engine import frontends

    return frontends.bind(stock.kernel, **kwargs)


def register_joblib_backend(name="ipyparallel", make_default=False):
    """Make a cluster's engines a backend of joblib: the running default cluster, or one that is started for it."""
    from ._joblib import register

    return register(name, make_default)
