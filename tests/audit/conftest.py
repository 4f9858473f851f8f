"""What tests of records share: their events are made up."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _made_up(made_up_events):
    """None of them need be as the schema says."""
