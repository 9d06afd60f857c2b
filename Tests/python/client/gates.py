"""Gates that tasks wait at: engines import this module, too."""

from pathlib import Path


class Gate:
    """What a task waits at until the case opens it: `client[0].apply_async(gate.wait, 5)` runs until then, and gives 5."""

    def __init__(self, path):
        self.path = str(path)

    @property
    def wait(self):
        path = self.path

        def wait(value=None):
            import os
            import time

            open(f"{path}-{os.getpid()}", "w").close()
            while not os.path.exists(path):
                time.sleep(0.01)
            return value

        return wait

    def open(self):
        Path(self.path).touch()

    @property
    def waiting(self):
        """How many engines are, or were, at it."""
        return len(list(Path(self.path).parent.glob(f"{Path(self.path).name}-*")))
