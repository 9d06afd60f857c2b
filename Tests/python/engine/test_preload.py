"""What was preloaded for an engine is not passed on."""

import pytest
from apus.engine import preload


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({}, {}),
        ({"LD_PRELOAD": "/mine.so", "MALLOC_CONF": "y:2"}, {"LD_PRELOAD": "/mine.so", "MALLOC_CONF": "y:2"}),
        ({"LD_PRELOAD": "/a.so", "MALLOC_CONF": "x:1", "APUS_PRELOADED": "/a.so x:1"}, {}),
        ({"LD_PRELOAD": "/mine.so:/a.so", "MALLOC_CONF": "y:2", "APUS_PRELOADED": "/a.so"}, {"LD_PRELOAD": "/mine.so", "MALLOC_CONF": "y:2"}),
        ({"LD_PRELOAD": "/mine.so /a.so", "APUS_PRELOADED": "/a.so x:1"}, {"LD_PRELOAD": "/mine.so"}),
    ],
)  # fmt: skip
def test_forget(given, left):
    preload.forget(given)
    assert given == left
