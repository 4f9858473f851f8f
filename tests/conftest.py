"""What all tests share: how hypothesis searches, a cache of compiled policies, an OPA binary.

Hypothesis takes the same sample every time, or, with GUARDRAILS_SOAK=1, searches far and wide.
"""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, settings

from guardrails.rego.opa_binary import find_opa

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


@pytest.fixture(scope="session")
def opa():
    """The path of an OPA binary; without one the test is skipped, or fails where CI runs it."""
    found = find_opa()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no OPA binary: set OPA, or run `make opa`")
        pytest.skip("no OPA binary: set OPA, or run `make opa`")
    return found
