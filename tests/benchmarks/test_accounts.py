"""The part `accounts` measures calls that really stand on all the accounts it says."""

from __future__ import annotations

import contextlib
from typing import Any

from benchmarks import accounts
from benchmarks.accounts import GATES, measure_accounts


def test_both_gates_have_their_figures():
    outcomes = measure_accounts(rounds=2, batch_ns=20_000)
    assert [each.gate for each in outcomes] == list(GATES)
    assert all(each.measured is not None and each.measured.median > 0 for each in outcomes)


def test_a_measured_call_is_spent_on_run_agent_and_environment(tmp_path):
    with contextlib.ExitStack() as stack:
        governor = accounts._leasing(tmp_path / "budgets.sqlite")
        run = accounts._opened(stack, governor)
        for _ in range(100):
            accounts._call(run)(None)
        assert run.spent.calls == 100
        ledger: Any = governor.ledger
        ledger._fold_all()
        assert {line.spent[2] for line in ledger._lines.values()} == {100}
        assert {line.name for line in ledger._lines.values()} == {"agent/test-agent", "env/test"}
        assert len(ledger._lines) == 3
