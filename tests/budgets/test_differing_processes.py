"""Which limits hold where processes are configured differently, and what crashed ones leave."""

from __future__ import annotations

import itertools

import pytest
from tests.budgets.stand import Stand, call, terms

from guardrails.model.budget import Budget
from guardrails.runs.ledgers.overview import Overview
from guardrails.runs.ledgers.run_rows import KEPT_NS
from guardrails.runs.windows import Calendar


@pytest.fixture
def stand(tmp_path):
    made = Stand("sqlite", tmp_path)
    yield made
    for ledger in made.ledgers:
        ledger.close()


def dies(ledger):
    """The process is gone at once, with all that it had."""
    with ledger._exchange.database.transaction() as connection:
        connection.execute(
            "UPDATE holder SET started = 'gone' WHERE id = ?", (ledger._exchange.holder,)
        )
    ledger._closed = True


def looked(stand, *accounts):
    overview = Overview(stand.folder / "budgets.sqlite", accounts, Calendar())
    found = {each.account: each for each in overview.stands(stand.clock.now_ns())}
    overview.close()
    return found


@pytest.mark.parametrize("order", list(itertools.permutations((7, 3, 5))))
def test_the_lowest_configured_limit_holds_whoever_speaks_last(stand, order):
    ledgers = {limit: stand.ledger(lease=1) for limit in order}
    runs = {
        limit: stand.run(ledgers[limit], terms("account/x", calls=limit, usd="1"))
        for limit in order
    }
    assert sum(call(ledgers[limit], runs[limit]) for limit in order) == 3
    stand.renew()
    found = looked(stand, terms("account/x", calls=99))["account/x"]
    assert found.limits == (1_000_000, None, 3)
    assert found.differs
    assert sum(call(ledgers[limit], runs[limit]) for limit in order) == 0
    # Where those that had the lower ones are gone, in whatever way, the rest agree anew.
    ledgers[3].close()
    dies(ledgers[5])
    stand.renew()
    ledgers[7]._next_sweep = 0.0
    ledgers[7].renew(2e9)
    stand.renew()
    assert looked(stand, terms("account/x", calls=99))["account/x"].limits[2] == 7
    assert sum(call(ledgers[7], runs[7]) for _ in range(9)) <= 4


def test_no_limit_counts_as_more_than_any(stand):
    one, other = stand.ledger(lease=1), stand.ledger(lease=1)
    runs = [
        (one, stand.run(one, terms("account/x", calls=2, usd="1"))),
        (other, stand.run(other, terms("account/x", usd="1"))),
    ]
    assert sum(call(*run) for run in [*runs, runs[0]]) == 2
    stand.renew()
    assert not call(*runs[1])


def test_a_run_that_is_set_keeps_what_was_set(stand):
    one, other = stand.ledger(lease=1), stand.ledger(lease=1)
    runs = [
        (one, stand.run(one, terms("account/x", calls=2))),
        (other, stand.run(other, terms("account/x", calls=9))),
    ]
    assert sum(call(*run) for run in runs) == 2
    overview = Overview(stand.folder / "budgets.sqlite", (terms("account/x", calls=2),), Calendar())
    overview.set_limit(
        "account/x", "day", "calls", 4, by="d", reason="r", now_ns=stand.clock.now_ns()
    )
    overview.close()
    stand.renew()
    assert sum(call(*run) for run in runs for _ in range(5)) == 2


def test_runs_of_a_crashed_process_are_marked_and_in_a_week_forgotten(stand):
    crashes, lives = stand.ledger(lease=1), stand.ledger(lease=1)
    made = stand.run(crashes, calls=5)
    call(crashes, made)
    crashes._next_report = 0.0
    crashes.renew(1.0)
    named = "chosen"
    crashes.open_run(named, parent_id=None, budget=Budget(calls=5), named=True)
    own = stand.run(lives, calls=5)
    lives._next_report = lives._next_sweep = 0.0
    lives.renew(1.0)
    assert {name: each.crashed_at is None for name, each in looked(stand).items()} == {
        f"run/{made}": True,
        "run/chosen": True,
        f"run/{own}": True,
    }
    dies(crashes)
    lives._next_sweep = 0.0
    lives.renew(2.0)
    found = looked(stand)
    assert found[f"run/{made}"].crashed_at == stand.clock.now_ns()
    assert found[f"run/{made}"].spent == (0, 0, 1)
    assert found["run/chosen"].crashed_at == stand.clock.now_ns()
    assert found[f"run/{own}"].crashed_at is None
    stand.clock.advance(KEPT_NS / 1e9 + 1)
    lives._next_sweep = 0.0
    lives.renew(3.0)
    assert set(looked(stand)) == {"run/chosen", f"run/{own}"}
    lives.open_run(named, parent_id=None, budget=Budget(calls=5), named=True)
    assert looked(stand)["run/chosen"].crashed_at is None, "it goes on"
