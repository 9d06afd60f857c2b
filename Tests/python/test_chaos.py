"""Everything happens to a cluster of executables: a short round of `scripts/chaos`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Rounds of 20 s; none as it comes.
ROUNDS = int(os.environ.get("APUS_CHAOS_ROUNDS", "0"))


@pytest.mark.skipif(ROUNDS == 0, reason="APUS_CHAOS_ROUNDS is not set")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_round_of_chaos(bin_dir, round):
    chaos = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "lib" / "chaos.py"), "--prefix", str(bin_dir.parent), "--minutes", "0.34"],
        capture_output=True, text=True, timeout=170)
    print(chaos.stdout, chaos.stderr)
    assert chaos.returncode == 0, chaos.stdout + chaos.stderr


def of_folder(folder: Path) -> list[int]:
    """Processes whose profile is in a folder."""
    wanted = f"IPYTHONDIR={folder}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and any(word.startswith(wanted) for word in entry.joinpath("environ").read_bytes().split(b"\0")):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("seed", [0, 12])
def test_a_signal_ends_it_with_its_cluster(bin_dir, tmp_path, wait_until, seed):
    chaos = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "lib" / "chaos.py"), "--prefix", str(bin_dir.parent), f"--seed={seed}"],
        env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # Launcher, controller, and four engines.
        wait_until(lambda: len(of_folder(tmp_path)) >= 6, 60)
        chaos.terminate()
        assert chaos.wait(60) == 143
        assert of_folder(tmp_path) == [] and list(tmp_path.iterdir()) == []
    finally:
        chaos.kill()


def test_what_a_stock_client_may_lose():
    import math

    from chaos import Outage, may_be_lost

    # By back-off.
    outages = [Outage(100, 113)]
    for sent, ran, is_excused in [
        (98.5, False, False), (99.5, False, True), (112, False, True), (117, False, True), (119, False, False),
        (98.5, True, False), (99.5, True, True), (101, True, False), (112, True, False), (114, True, False),
    ]:
        assert may_be_lost(sent, ran, outages) == is_excused, (sent, ran)
    # It came to the next one, which was killed at once.
    assert may_be_lost(112, True, [*outages, Outage(114, 115)]) and not may_be_lost(112, True, [*outages, Outage(120, 121)])
    assert may_be_lost(500, False, [Outage(100)]) and Outage(100).back == math.inf


def test_its_help_says_what_it_does():
    shown = subprocess.run([str(ROOT / "scripts" / "chaos"), "--help"], capture_output=True, text=True, timeout=40)
    assert shown.returncode == 0 and "--minutes N" in shown.stdout
    shown = subprocess.run([str(ROOT / "scripts" / "simulate"), "--help"], capture_output=True, text=True, timeout=40)
    assert shown.returncode == 0 and "--mutation NAME" in shown.stdout
