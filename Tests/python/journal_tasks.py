"""Functions of `test_journal.py`, in a module that engines find."""


def note(path: str, number: int, seconds: float) -> int:
    """A task that leaves a mark for each time it runs."""
    import os
    import time

    mark = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(mark, b"%d\n" % number)
    os.close(mark)
    time.sleep(seconds)
    return number * number


def hold(path: str, gate: str) -> None:
    """Leaves a mark, and ends when there is a gate."""
    import os
    import time

    note(path, os.getpid(), 0)
    while not os.path.exists(gate):
        time.sleep(0.01)


def fail_slowly(path: str, seconds: float) -> None:
    """Leaves a mark, takes its time, and fails."""
    import os
    import time

    mark = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(mark, b"x")
    os.close(mark)
    time.sleep(seconds)
    raise ValueError("as ever")


def busy(number: int) -> int:
    """A task of a tenth of a millisecond."""
    import time

    end = time.perf_counter() + 0.0001
    while time.perf_counter() < end:
        pass
    return number * number
