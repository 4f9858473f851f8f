"""What the tests of Rego share: an OPA to compare with.

Random policies are in :mod:`tests.rego.fuzz.policies`, which a test imports by that name.
"""

from __future__ import annotations

import os

import pytest

from guardrails.rego.opa_binary import find_opa


@pytest.fixture(scope="session")
def opa():
    """The path of an OPA binary; without one the test is skipped, or fails where CI runs it."""
    found = find_opa()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no OPA binary: set OPA, or run `make opa`")
        pytest.skip("no OPA binary: set OPA, or run `make opa`")
    return found
