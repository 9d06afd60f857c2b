"""What the tasks of ``cases.json`` do. Each gets the directory of its case, which holds flags, a log and the engines' pids, and its own name."""

import json
import os
import signal
import time


class UnmetDependency(Exception):
    """Schedulers know it by its name: this engine is not the right one."""


def _number(box):
    """The engine's number: its place in what the runner has written down."""
    with open(os.path.join(box, "engines")) as file:
        return json.load(file).index(os.getpid())


def _log(box, event, name):
    with open(os.path.join(box, "log"), "a") as file:
        file.write(f"{event} {name} {_number(box)}\n")


def _runs(box, name):
    with open(os.path.join(box, "log")) as file:
        return sum(line.split()[:2] == ["begin", name] for line in file)


def _wait(box, flag):
    deadline = time.monotonic() + 120
    while not os.path.exists(os.path.join(box, flag)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody raised {flag}")
        time.sleep(0.002)


def value(box, name, result):
    _log(box, "begin", name)
    _log(box, "end", name)
    return result


def number(box, name):
    _log(box, "begin", name)
    _log(box, "end", name)
    return _number(box)


def fail(box, name):
    _log(box, "begin", name)
    _log(box, "end", name)
    raise ValueError(name)


def hold(box, name, flag, result):
    """Runs until the runner raises the flag."""
    _log(box, "begin", name)
    _wait(box, flag)
    _log(box, "end", name)
    return result


def hold_and_fail(box, name, flag):
    hold(box, name, flag, None)
    raise ValueError(name)


def fail_until(box, name, run):
    """Fails in all runs before this one, and gives how many there were."""
    _log(box, "begin", name)
    count = _runs(box, name)
    if count < run:
        raise ValueError(f"run {count}")
    return count


def die(box, name):
    _log(box, "begin", name)
    os.kill(os.getpid(), signal.SIGKILL)


def die_until(box, name, run):
    """Kills its engine in all runs before this one."""
    _log(box, "begin", name)
    count = _runs(box, name)
    if count < run:
        os.kill(os.getpid(), signal.SIGKILL)
    return count


def unmet(box, name):
    """Will not run anywhere."""
    _log(box, "begin", name)
    raise UnmetDependency(name)


def unmet_until(box, name, run):
    """Will not run where it comes first."""
    _log(box, "begin", name)
    count = _runs(box, name)
    if count < run:
        raise UnmetDependency(name)
    return count


def fail_at(box, name, engine):
    _log(box, "begin", name)
    if _number(box) == engine:
        raise ValueError(name)
    return _number(box)


def die_at(box, name, engine):
    _log(box, "begin", name)
    if _number(box) == engine:
        os.kill(os.getpid(), signal.SIGKILL)
    return _number(box)


def hold_at(box, name, engine, flag):
    _log(box, "begin", name)
    if _number(box) == engine:
        _wait(box, flag)
    _log(box, "end", name)
    return _number(box)
