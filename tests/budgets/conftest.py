"""Both ledgers, or several in SQLite as the processes of one machine have them."""

from __future__ import annotations

import pytest
from tests.budgets.stand import Stand


@pytest.fixture(params=["memory", "sqlite"])
def stand(request, tmp_path):
    made = Stand(request.param, tmp_path)
    yield made
    for ledger in made.ledgers:
        ledger.close()


@pytest.fixture
def machine(tmp_path):
    """Ledgers in SQLite, as the processes of one machine have them."""
    made = Stand("sqlite", tmp_path)
    yield made
    for ledger in made.ledgers:
        ledger.close()
