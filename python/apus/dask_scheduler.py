"""Dask's own scheduler as a child of the controller.

Takes the scheduler's keyword arguments as one JSON object, prints ``{"status": "ok", "ip", "address", "port"}`` as its
first line, and runs until its standard input ends: it cannot outlive the controller that started it.
"""

import asyncio
import json
import os
import sys


async def serve(arguments):
    from distributed import Scheduler

    arguments.setdefault("dashboard_address", None)
    scheduler = Scheduler(**arguments)
    await scheduler.start()
    address = {"status": "ok", "ip": scheduler.ip, "address": scheduler.address, "port": scheduler.port}
    os.write(1, json.dumps(address).encode() + b"\n")
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, lambda: os.read(0, 4096) or ended.set())
    await ended.wait()
    await scheduler.close()


def main():
    arguments = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
