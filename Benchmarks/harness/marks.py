"""A task of `restoring.py`, in a module that engines find."""


def mark() -> None:
    """Does next to nothing, and says when: in a file of the engine's directory."""
    import os
    import time

    file = os.open("marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"%.6f\n" % time.time())
    os.close(file)
