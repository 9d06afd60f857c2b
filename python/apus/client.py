"""The client: a connection to a cluster, and where its views come from."""

import os
import socket
import sys
import warnings
from time import time

from . import connection, error
from ._loader import load_core
from .asyncresult import AsyncResult
from .connection import is_local_ip
from .control import Control
from .dispatch import Dispatcher
from .engines import Engines
from .enginewait import EngineWait
from .executereply import ExecuteReply
from .history import History, MessageIds
from .hub import Hub, MetadataTable
from .message import CONTENT, Message
from .metadata import Metadata
from .result import ContentResult
from .scaling import Scaling
from .session import Session
from .story import Story

#: Where a request goes: see the core's `client_submit`.
HUB, CONTROL, DIRECT, BALANCED, BROADCAST, COALESCING = range(6)

#: Flags of a request.
AWAITS_OUTPUT, TRACK = 1, 2

#: Tasks, and bytes of tasks, that may be under way; whoever sends more waits.
MAX_TASKS = 200_000
MAX_BYTES = 4 << 30


class Client(EngineWait, Control, Hub, Scaling, Story):
    """A connection to a cluster.

    connection_info: path of ipcontroller-client.json, or a dict with its content; by default the file of the profile.
    profile, profile_dir, ipython_dir, cluster_id: which profile, and which of its clusters. timeout: seconds to wait for the file and for
    the controller. sshserver, sshkey: connect through this host. cluster: the Cluster that this client belongs to. context, debug,
    paramiko, password and options of the session are taken as ipyparallel takes them, and change nothing.

    Attributes: `ids` (the engines), `block` (whether views wait by default), `history`, `outstanding`, `results`, `metadata`.

    Raises OSError if there is no cluster, TimeoutError if its controller does not answer, ValueError for a file that is none.
    """

    block = False
    #: The keys are made in the core.
    curve_publickey = curve_secretkey = None

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(
        self, connection_info=None, *, url_file=None, profile=None, profile_dir=None, ipython_dir=None, context=None, debug=False,
        sshserver=None, sshkey=None, password=None, paramiko=None, timeout=10, cluster_id=None, cluster=None, max_tasks=MAX_TASKS,
        max_bytes=MAX_BYTES, username=None, **extra_args,
    ):  # fmt: skip
        if "_dispatcher" in self.__dict__:
            # A client that is its own successor: `__new__` was replaced, as tests do.
            return
        for name in ("url_or_file", "url_file"):
            old = extra_args.pop(name, None) or (url_file if name == "url_file" else None)
            if old is not None:
                warnings.warn(f"{name} arg no longer supported, use positional connection_info argument", DeprecationWarning, stacklevel=2)
                connection_info = old
        if isinstance(connection_info, str) and "://" in connection_info:
            raise ValueError(f"single urls ({connection_info!r}) cannot be specified, url-files must be used.")
        self.debug = debug
        self.cluster = cluster
        self.profile = profile or "default"
        info = connection.load(connection_info, profile, profile_dir, ipython_dir, cluster_id, timeout)
        connection.check(info)
        self._tunnels = None
        info = self._reach(info, sshserver, sshkey, timeout)
        self._config = info
        self._task_scheme = info.get("task_scheme", "leastload")
        username = username or os.environ.get("USER") or "user"
        self._open(info, username, timeout, max_tasks, max_bytes)
        self.curve_serverkey = info["curve_serverkey"].encode() if info.get("curve_serverkey") else None
        self.session = Session(info, self._dispatcher.session_id, username)
        self.history = History(self._dispatcher.prefix)
        self.results = {}
        self.metadata = MetadataTable(self._find_message)
        self.outstanding = MessageIds(self._find_outstanding, self._outstanding_messages)
        self._registration_callbacks = self._dispatcher.engine_callbacks
        self._activate_magics()

    # -- connecting

    def _reach(self, info, sshserver, sshkey, timeout):
        """The connection info as it holds from here; tunnels are made where they are needed."""
        location = info.get("location")
        if connection.is_loopback(info["interface"]) and location:
            if not sshserver and not is_local_ip(connection.ip_for_host(location)):
                sshserver = info.get("ssh")
                if not sshserver and location != socket.gethostname():
                    warnings.warn(
                        "Controller appears to be listening on localhost, but not on this machine.\n"
                        f"If this is true, you should specify Client(...,sshserver='you@{location}')\n"
                        "or instruct your controller to listen on an external IP.",
                        RuntimeWarning,
                        stacklevel=4,
                    )
        elif not sshserver:
            sshserver = info.get("ssh")
        if not sshserver:
            return info
        from .tunnel import Tunnels

        self._tunnels = Tunnels(info, sshserver, sshkey, timeout)
        return self._tunnels.info

    def _open(self, info, username, timeout, max_tasks, max_bytes):
        import json

        core = load_core()
        try:
            handle = core.client_open(json.dumps(info), username, max(1, round(timeout * 1000)), max_tasks, max_bytes)
        except core.ClientError as failure:
            self._close_tunnels()
            code, text = failure.args
            if code in ("controllerNotFound", "controllerSilent", "timeout"):
                raise TimeoutError(f"Hub connection request timed out: {text}") from None
            raise (ValueError if code == "connectionFile" else OSError)(text) from None
        engines = Engines(core.client_engines(handle))
        self._core = core
        self._handle = handle
        self._submit_task = core.client_submit_task
        self._dispatcher = Dispatcher(core, handle, engines)

    def _activate_magics(self):
        """In IPython, the first client makes `%px` work on all engines."""
        module = sys.modules.get("IPython")
        shell = module.get_ipython() if module is not None else None
        if shell is not None and "px" not in shell.magics_manager.magics["line"]:
            try:
                self.activate()
            except ImportError:
                pass

    def close(self, linger=None):
        """End the connection. What is outstanding fails; engines are not touched."""
        dispatcher = self.__dict__.get("_dispatcher")
        if dispatcher is not None and not self.__dict__.get("_is_closed"):
            self._is_closed = True
            dispatcher.close()
            self._close_tunnels()

    def _close_tunnels(self):
        tunnels, self._tunnels = self.__dict__.get("_tunnels"), None
        if tunnels is not None:
            tunnels.close()

    @property
    def _closed(self):
        return self.__dict__.get("_is_closed", False) or self._dispatcher.over is not None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        try:
            self.close()
        except Exception:
            pass

    # -- engines and views

    @property
    def ids(self):
        """Ids of the engines, sorted: a list of one's own."""
        return list(self._dispatcher.engines.ids)

    @property
    def _ids(self):
        return self._dispatcher.engines.ids

    @property
    def _engines(self):
        return self._dispatcher.engines.table

    def __len__(self):
        return len(self._dispatcher.engines.ids)

    def __bool__(self):
        return True

    def __iter__(self):
        """A view of each engine."""
        for engine_id in self.ids:
            yield self.direct_view(engine_id)

    def __getitem__(self, key):
        """A DirectView of the engine (int) or the engines (slice of the list of ids, list) that the key names."""
        if not isinstance(key, (int, slice, tuple, list, range)):
            raise TypeError(f"key by int/slice/iterable of ints only, not {type(key)}")
        return self.direct_view(key)

    def _build_targets(self, targets, may_wait=False):
        """(uuids as bytes, ids) of the engines that `targets` names. Raises NoEnginesRegistered, IndexError, TypeError.

        may_wait: for tasks, which wait for engines that a restarted controller has not back yet.
        """
        engines = self._dispatcher.engines
        ids = engines.ids
        is_named = isinstance(targets, (tuple, list, range)) or (isinstance(targets, int) and targets >= 0)
        if not ids and not (may_wait and is_named and engines.awaited):
            raise error.NoEnginesRegistered("Can't build targets without any engines")
        if targets is None or (isinstance(targets, str) and targets.lower() == "all"):
            targets = ids
        elif isinstance(targets, str):
            raise TypeError(f"{targets!r} not valid str target, must be 'all'")
        elif isinstance(targets, int):
            if targets < 0:
                targets = ids[targets]
            targets = [targets]
        elif isinstance(targets, slice):
            targets = ids[targets]
        if not isinstance(targets, (tuple, list, range)):
            raise TypeError(f"targets by int/slice/collection of ints only, not {type(targets)}")
        try:
            return [engines.uuid(target, may_wait).encode() for target in targets], list(targets)
        except KeyError as failure:
            raise IndexError(f"No such engine: {failure.args[0]}") from None

    def direct_view(self, targets="all", **kwargs):
        """A DirectView. Targets 'all' are looked up at each call; any other targets stay the engines that they are now."""
        from .directview import DirectView

        is_single = isinstance(targets, int)
        if not (isinstance(targets, str) and targets == "all"):
            targets = self._build_targets(targets, may_wait=True)[1]
        return DirectView(client=self, targets=targets[0] if is_single else targets, **kwargs)

    def load_balanced_view(self, targets=None, **kwargs):
        """A LoadBalancedView; `targets` restricts it to some engines."""
        from .loadbalanced import LoadBalancedView

        if isinstance(targets, str) and targets == "all":
            targets = None
        if targets is not None:
            targets = self._build_targets(targets, may_wait=True)[1]
        return LoadBalancedView(client=self, targets=targets, **kwargs)

    def broadcast_view(self, targets="all", is_coalescing=False, **kwargs):
        """A BroadcastView: one message for many engines. is_coalescing: and one reply."""
        from .broadcast import BroadcastView

        view = BroadcastView(client=self, targets=self._build_targets(targets, may_wait=True)[1], **kwargs)
        view.is_coalescing = is_coalescing
        return view

    def executor(self, targets=None):
        """An executor of concurrent.futures on a LoadBalancedView."""
        return self.load_balanced_view(targets).executor

    def activate(self, targets="all", suffix=""):
        """Make `%px`, `%%px`, `%autopx` and their companions (with this suffix) work on these engines. Returns their DirectView."""
        view = self.direct_view(targets)
        view.block = True
        view.activate(suffix)
        return view

    # -- requests

    def _send(self, route, targets, kind, content, metadata, buffers, flags=0):
        """Send a request and return its numbers. Raises RuntimeError after the end of the connection, EngineError if an engine is gone."""
        try:
            return self._core.client_submit(self._handle, route, targets, kind, content, metadata, buffers, flags, -1)
        except self._core.ClientError as failure:
            self._raise(failure)

    def _raise(self, failure):
        code, text = failure.args
        if code in ("closed", "controllerLost"):
            raise RuntimeError("Client cannot be used after its sockets have been closed") from None
        if code in ("unknownEngine", "noEngines"):
            raise error.EngineError(text) from None
        raise OSError(text) from None

    def _ask(self, route, targets, kind, content):
        """Send a request that is no task; the result of its replies."""
        import json

        if self._closed:
            raise OSError("Connections have been closed.")
        numbers = self._send(route, targets, kind, json.dumps(content).encode(), b"{}", [])
        now = time()
        messages = [Message(number, CONTENT, self._dispatcher, now) for number in numbers]
        result = ContentResult(self._dispatcher, messages, is_single=route == HUB)
        self._dispatcher.register_all(messages)
        return result

    def _ask_hub(self, kind, content=None):
        """(content, buffers) of the hub's reply. Raises RemoteError."""
        return self._ask(HUB, None, kind, content or {}).result()

    # -- what is under way

    def _find_message(self, msg_id):
        """The message under way with this id, or None."""
        if not isinstance(msg_id, str):
            return None
        dispatcher = self._dispatcher
        if not msg_id.startswith(dispatcher.prefix):
            return None
        text = msg_id[len(dispatcher.prefix) :]
        if text.isdecimal():
            message = dispatcher.under_way.get(int(text))
            return message if message is not None and message.form != CONTENT else None
        return next((message for message in list(dispatcher.under_way.values()) if message.share == msg_id), None)

    def _message_of(self, msg_id):
        message = self._find_message(msg_id)
        if message is None:
            raise KeyError(f"No Future or result for msg_id: {msg_id}")
        return message

    def _find_outstanding(self, msg_id):
        message = self._find_message(msg_id)
        return message if message is not None and message.reply is None else None

    def _outstanding_messages(self):
        return [message for message in list(self._dispatcher.under_way.values()) if message.reply is None and message.form != CONTENT]

    @property
    def _outstanding_dict(self):
        return _ByEngine(self)

    # -- waiting

    def wait(self, jobs=None, timeout=-1):
        """Wait for tasks: ids, indices of the history, AsyncResults, or other futures; by default for all that are outstanding.

        Returns whether they have ended after `timeout` seconds (-1: for ever).
        """
        futures = []
        if jobs is None:
            messages = self._outstanding_messages()
            futures += self._dispatcher.sending
        else:
            messages = []
            for job in _as_list(jobs):
                if isinstance(job, AsyncResult) and job._children and job not in self._dispatcher.sending:
                    messages += job._children
                elif hasattr(job, "add_done_callback"):
                    futures.append(job)
                else:
                    message = self._find_message(self.history[job] if isinstance(job, int) else job)
                    if message is not None:
                        messages.append(message)
        for future in futures:
            if not isinstance(future, AsyncResult):
                future.add_done_callback(lambda _: self._dispatcher.poke())

        def are_done():
            while messages and messages[-1].reply is not None:
                messages.pop()
            while futures and futures[-1].done():
                futures.pop()
            return not messages and not futures

        return bool(self._dispatcher.wait_until(are_done, timeout))

    def wait_interactive(self, jobs=None, interval=1.0, timeout=-1.0):
        """As `wait`, with a progress bar."""
        if jobs is None:
            messages = self._outstanding_messages()
            if not messages:
                return None
            result = AsyncResult(self, messages)
        else:
            result = self._asyncresult_from_jobs(jobs)
        return result.wait_interactive(interval=interval, timeout=timeout)

    def _deprecated(self, name):
        warnings.warn(f"Client.{name} is deprecated: messages are always received in the background", DeprecationWarning, stacklevel=3)

    def spin(self):
        """Deprecated: does nothing."""
        self._deprecated("spin")

    def spin_thread(self, interval=1):
        """Deprecated: does nothing."""
        self._deprecated("spin_thread")

    def stop_spin_thread(self):
        """Deprecated: does nothing."""
        self._deprecated("stop_spin_thread")

    def __repr__(self):
        from .display import client_text

        return client_text(self)

    def _repr_html_(self):
        from .display import client_html

        return client_html(self)


def _as_list(jobs):
    if isinstance(jobs, (str, int, AsyncResult)) or not hasattr(jobs, "__iter__"):
        return [jobs]
    return list(jobs)


class _ByEngine:
    """Engine uuid -> ids of what is outstanding there."""

    def __init__(self, client):
        self._client = client

    def __getitem__(self, uuid):
        engine_id = self._client._dispatcher.engines.known.get(uuid)
        return {message.msg_id for message in self._client._outstanding_messages() if message.target == engine_id}


__all__ = ["Client", "ExecuteReply", "Metadata"]
