"""Where it was measured."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path


def load() -> float:
    return round(os.getloadavg()[0], 2)


def facts() -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "processor": model, "cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version(),
        "date": datetime.date.today().isoformat(), "load_before": load(),
    }


def sentence(where: dict) -> str:
    return f"{where['processor']}, {where['cores']} cores, Linux {where['kernel']}, Python {where['python']}, load {where['load_before']}"


def caption(where: dict, rounds: int) -> str:
    times = "one round" if rounds == 1 else f"medians of {rounds} alternating rounds (least–greatest)"
    return (
        f"Two workers unless another number is said; {times}; {where['processor']}, {where['cores']} cores, "
        f"Python {where['python']}, {where['date']}")
