"""What the tests of bundles share: the real OPA, and a bundle service."""

from __future__ import annotations

import os

import pytest
from tests.opa.bundle_server import BundleServer

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


@pytest.fixture
def server():
    """A bundle service on a loopback port of its own."""
    with BundleServer() as running:
        yield running
