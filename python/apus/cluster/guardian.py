"""Ends the children of this process when it dies without having done so itself: killed, or crashed.

A small shell in a session of its own reads from a pipe whose other end only this process has. While the pipe is open it is told
which processes there are; when the pipe closes, it ends those that are left, and removes the files that speak of them. It needs
nothing of the children, so it serves any controller and any engine.
"""

import os
import subprocess
import threading

# $pids: what is to be ended. $kept: launchers, which end others and take the time for it that those need. $@: files to be removed.
# Each process is told with the moment at which it began, as the system counts: its number may be another's when it is to be ended.
_SCRIPT = r"""
lives() {
  known=${1#*:}
  now=
  if [ -r /proc/self/stat ]; then
    read -r now 2>/dev/null <"/proc/${1%%:*}/stat" || return 1
    set -- ${now##*) }
    [ "$1" != Z ] && { [ -z "$known" ] || [ "${20}" = "$known" ]; }
  else
    kill -0 "${1%%:*}" 2>/dev/null
  fi
}
living() { for one; do lives "$one" && printf ' %s' "$one"; done; }
numbers() { for one; do printf ' %s' "${one%%:*}"; done; }
pids=
kept=
set --
while read -r what value; do
  case $what in
    +) pids="$pids $value" ;;
    -) left=
       for pid in $pids; do [ "${pid%%:*}" = "${value%%:*}" ] || left="$left $pid"; done
       pids=$left ;;
    launcher) kept="$kept $value" ;;
    end) left=
       for pid in $kept; do [ "${pid%%:*}" = "${value%%:*}" ] || left="$left $pid"; done
       kept=$left ;;
    file) set -- "$@" "$value" ;;
    keep) for path in "$@"; do shift; [ "$path" = "$value" ] || set -- "$@" "$path"; done ;;
  esac
done
kept=$(living $kept)
pids=$(living $pids)
[ -n "$kept" ] && kill -TERM $(numbers $kept) 2>/dev/null
[ -n "$pids" ] && kill -TERM $(numbers $pids) 2>/dev/null
step=0
while [ -n "$pids" ] && [ $step -lt 50 ]; do
  pids=$(living $pids)
  step=$((step + 1))
  [ -n "$pids" ] && sleep 0.1
done
[ -n "$pids" ] && kill -KILL $(numbers $pids) 2>/dev/null
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


def began(pid):
    """When a process began, in the system's own count; "" where that does not tell, None where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        if os.path.exists("/proc/self/stat"):
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except OSError:
            pass
        return ""
    return None if fields[0] in "ZX" else fields[19]


def _named(pid):
    return f"{pid}:{began(pid) or ''}"


def guard(pid):
    """End this process when we die."""
    _tell("+", _named(pid))


def release(pid):
    """The process has ended, or is to outlive us."""
    _tell("-", pid)


def guard_supervisor(pid):
    """Let this launcher end its cluster when we die: it is asked, and not killed."""
    _tell("launcher", _named(pid))


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
