"""The commands that are clients of a cluster, as the cases start them."""

import json
import subprocess

SLEEP = "import time\nprint('started')\ntime.sleep(60)"
STUBBORN = """
import time
print('started')
end = time.monotonic() + 60
while time.monotonic() < end:
    try: time.sleep(1)
    except KeyboardInterrupt: print('no', flush=True)
"""


class Commands:
    """``apus`` in the environment of a cluster."""

    def __init__(self, bin_dir, env, directory):
        self.program, self.env, self.directory = str(bin_dir / "apus"), env, directory

    def start(self, *arguments: str, **more) -> subprocess.Popen:
        return subprocess.Popen(
            [self.program, *arguments], env=self.env, cwd=self.directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

    def __call__(self, *arguments: str, text: str = "", timeout: float = 40) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.program, *arguments], env=self.env, cwd=self.directory, input=text, capture_output=True, text=True,
            timeout=timeout)

    def json(self, *arguments: str, code: int = 0, **more):
        result = self(*arguments, "--json", **more)
        assert result.returncode == code, result.stderr
        return json.loads(result.stdout)
