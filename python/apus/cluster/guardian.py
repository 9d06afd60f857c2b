"""Ends the children of this process when it dies without having done so itself: killed, or crashed.

A small shell in a session of its own reads from a pipe whose other end only this process has. While the pipe is open it is told
which processes there are; when the pipe closes, it ends those that are left, and removes the files that speak of them. It needs
nothing of the children, so it serves any controller and any engine.
"""

import os
import subprocess
import threading

# $pids: what is to be ended. $kept: launchers, which end others and take the time for it that those need. $@: files to be removed.
# "kill -0" only asks whether a process is there.
_SCRIPT = r"""
pids=
kept=
set --
while read -r what value; do
  case $what in
    +) pids="$pids $value" ;;
    -) left=
       for pid in $pids; do [ "$pid" = "$value" ] || left="$left $pid"; done
       pids=$left ;;
    launcher) kept="$kept $value" ;;
    end) left=
       for pid in $kept; do [ "$pid" = "$value" ] || left="$left $pid"; done
       kept=$left ;;
    file) set -- "$@" "$value" ;;
    keep) for path in "$@"; do shift; [ "$path" = "$value" ] || set -- "$@" "$path"; done ;;
  esac
done
[ -n "$kept" ] && kill -TERM $kept 2>/dev/null
[ -n "$pids" ] && kill -TERM $pids 2>/dev/null
step=0
while [ -n "$pids" ] && [ $step -lt 50 ]; do
  left=
  for pid in $pids; do kill -0 "$pid" 2>/dev/null && left="$left $pid"; done
  pids=$left
  step=$((step + 1))
  [ -n "$pids" ] && sleep 0.1
done
[ -n "$pids" ] && kill -KILL $pids 2>/dev/null
[ $# -gt 0 ] && rm -f -- "$@"
exit 0
"""

_lock = threading.Lock()
_shell = None


def _tell(what, value):
    global _shell
    value = str(value)
    if "\n" in value:
        return
    with _lock:
        for _ in range(2):
            if _shell is None:
                if what in ("-", "end", "keep"):
                    return
                _shell = subprocess.Popen(
                    ["/bin/sh", "-c", _SCRIPT, "apus-guardian"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, cwd="/", start_new_session=True)
            try:
                os.write(_shell.stdin.fileno(), f"{what} {value}\n".encode())
                return
            except BrokenPipeError:
                # Somebody killed the shell: what it knew is lost, a new one knows what comes.
                _shell.wait()
                _shell = None


def guard(pid):
    """End this process when we die."""
    _tell("+", pid)


def release(pid):
    """The process has ended, or is to outlive us."""
    _tell("-", pid)


def guard_supervisor(pid):
    """Let this launcher end its cluster when we die: it is asked, and not killed."""
    _tell("launcher", pid)


def release_supervisor(pid):
    """It has ended, or is to outlive us."""
    _tell("end", pid)


def guard_file(path):
    """Remove this file when we die."""
    _tell("file", path)


def release_file(path):
    """The file is gone, or is to stay."""
    _tell("keep", path)


def _forget():
    """A forked child must not hold the pipe open: the shell waits for our end, not for its."""
    global _shell, _lock
    shell, _shell, _lock = _shell, None, threading.Lock()
    if shell is not None:
        # The parent's child, not ours: nothing is waited for.
        shell.returncode = 0
        shell.stdin.close()


os.register_at_fork(after_in_child=_forget)
