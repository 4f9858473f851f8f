"""What all tests share: how hypothesis searches, and a cache of compiled policies of their own.

Hypothesis takes the same sample every time, or, with GUARDRAILS_SOAK=1, searches far and wide.
"""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow]

settings.register_profile("sample", derandomize=True, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("soak", max_examples=2_000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile("soak" if os.environ.get("GUARDRAILS_SOAK") == "1" else "sample")


@pytest.fixture(scope="session", autouse=True)
def own_cache():
    """No test reads or fills the cache of the user who runs it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        yield
