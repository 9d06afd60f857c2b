"""What the tasks of `test_task_flags` do. Engines import it."""

import os
import time


def note(path, word, seconds=0.0, error=None):
    """Writes that it runs; takes its time, and fails if it is to."""
    with open(path, "a") as file:
        file.write(word + "\n")
    time.sleep(seconds)
    if error is not None:
        raise error
    return word


def stubborn(path):
    """Goes on whatever comes."""
    while True:
        try:
            with open(path, "a") as file:
                file.write(f"{os.getpid()}\n")
            while True:
                time.sleep(0.02)
        except KeyboardInterrupt:
            pass


def waits(seconds):
    for _ in range(int(seconds / 0.02)):
        time.sleep(0.02)
    return os.getpid()
