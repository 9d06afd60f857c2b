"""The functions that ipyparallel's client sends to engines, in our own light versions.

A stock client sends `ipyparallel.util._push` and the like as canned functions: code to be rebuilt inside a module, whose import costs
300 ms and 60 MB. They are recognised by module and name, and replaced.
"""

import sys

from .. import canning, serialize

#: The namespace of the user's code; set by the kernel.
user_ns = {}
#: The kernel of this process; set by it.
kernel = None


def _push(**ns):
    """Bind names; dotted and subscripted targets are allowed, as the left side of an assignment."""
    for name, value in ns.items():
        if name.isidentifier():
            user_ns[name] = value
            continue
        temporary = "_apus_push_"
        user_ns[temporary] = value
        try:
            exec(f"{name} = {temporary}", user_ns)
        finally:
            user_ns.pop(temporary, None)


def _pull(keys):
    """The values of expressions: a list for several, one value for a str."""
    if isinstance(keys, (list, tuple, set)):
        return [_value(key) for key in keys]
    return _value(keys)


def _value(expression):
    if expression in user_ns:
        return user_ns[expression]
    return eval(expression, user_ns)


def _execute(code):
    exec(code, user_ns)


def _map(f, *sequences):
    return list(map(f, *sequences))


def _broadcast_map(f, *names):
    """Map over sequences that were scattered under these names, and remove them."""
    sequences = []
    for name in names:
        sequences.append(user_ns.pop(name))
    return list(map(f, *sequences))


def _require(*modules, **mapping):
    """Import modules and bind objects that a task needs."""
    for name in modules:
        try:
            exec(f"import {name}", user_ns)
        except ImportError:
            raise canning.UnmetDependency(name) from None
    for name, value in mapping.items():
        user_ns[name] = canning.uncan(value, user_ns)
    return True


def become_dask_worker(address, nanny=False, **kwargs):
    return kernel.dask.become_worker(address, nanny, kwargs)


def stop_distributed_worker():
    return kernel.dask.stop_worker()


def publish_data(data):
    """Publish a dict as `AsyncResult.data` of the task that is running."""
    kernel.publish_data(data)


_FUNCTIONS = {
    ("ipyparallel.util", "_push"): _push,
    ("ipyparallel.util", "_pull"): _pull,
    ("ipyparallel.util", "_execute"): _execute,
    ("ipyparallel.util", "become_dask_worker"): become_dask_worker,
    ("ipyparallel.util", "stop_distributed_worker"): stop_distributed_worker,
    ("ipyparallel.client.remotefunction", "_map"): _map,
    ("ipyparallel.client.view", "_broadcast_map"): _broadcast_map,
    ("ipyparallel.controller.dependency", "_require"): _require,
    ("ipyparallel.serialize.canning", "use_pickle"): serialize.use_pickle,
    ("ipyparallel.serialize.canning", "use_dill"): serialize.use_dill,
    ("ipyparallel.serialize.canning", "use_cloudpickle"): serialize.use_cloudpickle,
    ("ipyparallel.engine.datapub", "publish_data"): publish_data,
}

#: Where stock clients and ours define what `@require` sends.
_REQUIRING = ("ipyparallel/controller/dependency.py", "apus/dependency.py")


def _replaced_function(canned):
    found = _FUNCTIONS.get((canned.module, canned.__name__))
    if found is not None:
        return found
    # `@interactive` moves `_require` to `__main__`; its file still tells where it comes from.
    if canned.__name__ == "_require" and canned.code.co_filename.replace("\\", "/").endswith(_REQUIRING):
        return _require
    return None


def install():
    """Teach the unpickler and the canned functions about ipyparallel's names."""
    canning.replaced_function = _replaced_function
    known = serialize.known_globals
    known.update(_FUNCTIONS)
    known["ipyparallel.client.view", "DirectView._broadcast_map"] = _broadcast_map
    known["ipyparallel.client.view", "BroadcastView._broadcast_map"] = _broadcast_map
    if "ipyparallel.error" in sys.modules:
        for name in [name for name in known if name[0] == "ipyparallel.error"]:
            del known[name]
