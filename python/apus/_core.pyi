"""The compiled core of Apus. Private: its functions may change with any release. All parameters are positional.

An engine's functions are those of the one engine of this process; a client is known by its number (`handle`).
Calls that wait release the interpreter's lock and run Python's signal handlers: what these raise comes out of the call.
"""

from collections.abc import Sequence
from typing import Literal, final

from typing_extensions import Buffer

@final
class Frame(Buffer):
    """A received frame, lent without a copy: `memoryview(frame)` is writable memory that is this object's alone."""

def keep_frame(buffer: Buffer, /) -> Frame:
    """A copy of the buffer for messages: any number of them can have it, and on one host it is not copied again.

    Raises BufferError for what is not contiguous, MemoryError where there is no memory for it.
    """

# The life of an engine.

def start(*options: str) -> tuple[int, str]:
    """Register an engine: options are names and values in turn. Returns its id and its UUID.

    Raises ValueError when the connection information cannot be used, RuntimeError when no controller registers it.
    """

def ready() -> None:
    """The startup code has run; requests may come."""

def next(milliseconds: int, /) -> tuple[str, str, bytes, bytes, bytes, list[bytes | memoryview]] | int | None:
    """Wait for a request: type, id, content, metadata, header, buffers. None when the time is over, the exit code when the engine ends.

    A negative time is for ever.
    """

def descriptors() -> tuple[int, ...]:
    """Edge-triggered: after any of them was readable, call `next(0)` until it returns None."""

def stop(code: int = ..., /) -> None:
    """End soon, even if a task goes on."""

def finish() -> None:
    """Leave the cluster, and wait until the last messages are out."""

def watch_signals(descriptor: int = ..., /) -> None:
    """Where the interpreter writes the numbers of signals (`signal.set_wakeup_fd`)."""

def interrupted_task() -> str | None:
    """Id of the task that the signal of this moment was sent for; None: it is for whatever runs."""

def configure_log(level: int, descriptor: int, /) -> None:
    """Lines of that level (10 is debug, 50 critical) and above go to the descriptor."""

def log(level: int, text: str, /) -> None:
    """Write a line into the engine's log."""

# What an engine says. RuntimeError where no engine runs.

def reply_result(buffers: Sequence[Buffer], codec: str | None, /) -> None:
    """The running apply request has a result."""

def reply_error(ename: str, evalue: str, traceback: Sequence[str], refused: bool = ..., /) -> None:
    """The running apply request failed. Refused: it cannot run in this engine, and may in another."""

def reply(type: str, succeeded: bool, content: str, ename: str | None, buffers: Sequence[Buffer] | None, /) -> None:
    """Answer the running request; content is a JSON object."""

def skip_reply() -> None:
    """The running request wants no answer."""

def publish(type: str, kind: str, content: str, buffers: Sequence[Buffer] | None, bare: bool, /) -> None:
    """Publish a message about the running request; content is a JSON object. Bare: the topic is the kind alone."""

def publish_error(ename: str, evalue: str, traceback: Sequence[str], /) -> None:
    """Publish the error of a cell."""

def write(stream: Literal[0, 1], text: str, header: Buffer | None, /) -> bool:
    """Text for standard output (0) or standard error (1) of the request with that header. False: no engine took it."""

def flush() -> None:
    """Publish what was written."""

def abort_executions() -> None:
    """Answer the execute requests that wait: they are aborted."""

def bind_frontends() -> tuple[str, str, str, str, str, str]:
    """Endpoints for Jupyter frontends: shell, iopub, stdin, control, heartbeat; and the key of their signatures."""

# A client.

class ClientError(Exception):
    """What went wrong on this side of the wire. `args` are code and text."""

    args: tuple[_ErrorCode, str]

_ErrorCode = Literal[
    "noCluster", "connectionFile", "controllerNotFound", "controllerSilent", "controllerLost", "closed", "timeout", "messaging", "badReply",
    "noEngine",
]

#: Hub, an engine's control channel, an engine's shell, balanced, broadcast with one share an engine, coalescing broadcast.
_Route = Literal[0, 1, 2, 3, 4, 5]

_Buffers = tuple[bytes | memoryview, ...]
#: Number and kind, then what the kind brings: see `client_take`.
_Event = (
    # Succeeded, failed there: metadata, header, content, buffers of the reply. Without the content where `apply` succeeded.
    tuple[int, Literal[0, 1], bytes, bytes, bytes | None, _Buffers]
    # Failed here: content as a reply would have had it.
    | tuple[int, Literal[2], None, None, bytes, _Buffers | None]
    # Output: message type, header, content, buffers.
    | tuple[int, Literal[10], str, bytes, bytes, _Buffers]
    # Output complete; lent buffers sent.
    | tuple[int, Literal[11, 12], None, None, None, None]
    # Engine arrived, departed; the number is its id: UUID, kind, whether it is Apus's.
    | tuple[int, Literal[20, 21], str, Literal["python", "swift"], bool, None]
    # Engines that are not there, and for which what names them waits; those that do not come: as of `client_engines`.
    | tuple[int, Literal[22, 23], list[tuple[int, str, Literal["python", "swift"], bool]], None, None, None]
    # The client is over: code, text. The last event.
    | tuple[int, Literal[30], str, str, None, None]
)

def client_open(connection: str, username: str, timeout_ms: int, max_tasks: int, max_bytes: int, /) -> int:
    """Connect with the text of a client's connection file, and wait until the hub has told which engines there are. Raises ClientError."""

def client_close(handle: int, /) -> None:
    """End it; everything outstanding fails with the code `closed`. May be called again."""

def client_session(handle: int, /) -> tuple[str, str]:
    """Session id, and prefix: request `number` has the msg_id `prefix + str(number)`."""

def client_engines(handle: int, /) -> list[tuple[int, str, Literal["python", "swift"], bool]]:
    """Id, UUID, kind of each engine, and whether it is one of Apus's, which reads codecs. Sorted by id."""

def client_submit(
    handle: int,
    route: _Route,
    targets: Sequence[int] | None,
    type: str,
    content: bytes,
    metadata: bytes,
    buffers: Sequence[Buffer],
    flags: int,
    deadline_ms: int,
    /,
) -> list[int]:
    """Send a request; returns its numbers, one a target.

    Content and metadata are JSON objects. Large buffers are lent, not copied. Flags: 1 awaits output, 2 tells when the buffers were sent.
    A deadline of -1 is never. Tasks wait here while too many are under way. Raises ClientError.
    """

def client_submit_task(handle: int, metadata: bytes, function: bytes, buffers: Sequence[Buffer], /) -> int:
    """Send a balanced call that nobody awaits the output of; returns its number. What many calls have in common is copied once."""

def client_submit_many(
    handle: int, type: str, content: bytes, metadata: bytes, buffer_lists: Sequence[Sequence[Buffer]], flags: int, /
) -> int:
    """Send many balanced tasks at once; returns the number of the first, the others follow it."""

def client_abort(handle: int, numbers: Sequence[int], interrupts: bool, kill_after: float, /) -> None:
    """Take back what has not begun; with interrupts also end what runs, by a KeyboardInterrupt there."""

def client_take(handle: int, /) -> list[_Event]:
    """All events that there are, without waiting."""

def client_lead(handle: int, /) -> bool:
    """Become the one thread that waits in the foreground; False if another thread is it."""

def client_wait(handle: int, timeout_ms: int, /) -> bool:
    """For the leader: wait for events; False when the time is over. -1 is for ever."""

def client_unlead(handle: int, /) -> None:
    """Stop leading; the background thread is woken if events are left."""

def client_wake(handle: int, /) -> None:
    """The wait of who leads, or its next one, ends though there may be no events: it is to look again at what it waits for."""

def client_wait_background(handle: int, /) -> bool:
    """For the one background thread: wait until there are events and nobody leads. False once the client is over and all events were taken."""

def client_in_flight(handle: int, /) -> tuple[int, int]:
    """Tasks under way, and their bytes."""

def story_trace(events: str, /) -> str:
    """A controller's events as a trace, both in JSON. Raises ValueError for what is no list."""

# Forks

def fork() -> None:
    """Before the process forks: the loops of the engine and of the clients stand still, so that the child inherits nothing that they hold.

    Waits for the loops, half a second at most, and for other threads that fork. May be nested.
    """

def fork_over() -> None:
    """In the parent when it has forked, or could not: the loops go on. On the thread of `fork`."""

def forked() -> None:
    """In the child: engine and clients stay with the parent; here all is closed, and nothing of theirs is touched."""
