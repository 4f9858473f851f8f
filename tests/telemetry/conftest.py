"""What the tests of telemetry share."""

from __future__ import annotations

import pytest
from tests.telemetry.tracing import Sdk


@pytest.fixture
def sdk():
    """An SDK of the test's own: nothing global is set."""
    return Sdk()
