"""Tasks that are tried again on an engine which has had them: an engine takes no signature twice, so each attempt has its own."""

import os

import ipyparallel
import pytest


def fails_until(path, times, payload):
    """Fails so many times; how often it ran is the length of the file."""
    with open(path, "ab") as file:
        file.write(b".")
    if os.path.getsize(path) <= times:
        raise ValueError(f"attempt {os.path.getsize(path)}")
    return os.path.getsize(path), len(payload)


def clients(parts, engines):
    """A client of each kind. Stock engines import this module, and need not have ours for it."""
    import apus

    yield ipyparallel, parts.client(engines)
    with apus.Client(str(parts.security / "ipcontroller-client.json")) as client:
        client.wait_for_engines(engines, timeout=30)
        yield apus, client


@pytest.mark.parametrize("curve", [True, False], ids=["encrypted", "not encrypted"])
@pytest.mark.parametrize("engines", [["apus"], ["stock"], ["apus", "apus"], ["apus", "stock"]], ids=" ".join)
def test_an_engine_tries_again_what_failed_on_it(parts, tmp_path, engines, curve):
    parts.start("ipcontroller", "--ping=250", f"--IPController.enable_curve={curve}")
    for engine in engines:
        parts.start("ipengine", of=engine)
    for library, client in clients(parts, len(engines)):
        view = client.load_balanced_view()
        view.retries = 4
        # In a batch of its own, alone, and as shared memory.
        for size in (10, 100_000, 600_000):
            path = tmp_path / f"{library.__name__}-{size}"
            result = view.apply_async(fails_until, str(path), 4, b"x" * size)
            assert result.get(30) == (5, size)
            # One more than it has: the last error is the answer.
            path = tmp_path / f"{library.__name__}-{size}-fails"
            result = view.apply_async(fails_until, str(path), 5, b"x" * size)
            with pytest.raises(library.RemoteError, match="attempt 5"):
                result.get(30)
            assert path.stat().st_size == 5
        # Nothing sits in an engine's place.
        status = client.queue_status()
        assert status["unassigned"] == 0 and all(status[id]["tasks"] == 0 for id in client.ids)
