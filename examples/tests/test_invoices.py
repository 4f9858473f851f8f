"""Tests of an agent's work, with the plugin: policy decides as it does at work, in no time.

    pytest examples/tests

`governed` is this folder's own governor: its policies, register and budgets, in memory, under a
clock that only a test moves. An `assert_…` decides and runs nothing; inside `governed.run(…)` the
tools run. `payments.decisions.yaml` beside this file is a table of such decisions.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import invoice_exceptions as invoices
import pytest

import guardrails as gr

if TYPE_CHECKING:
    from guardrails.pytest_plugin.goldens import Golden
    from guardrails.testing import Approvers, Governed

pytestmark = pytest.mark.guardrails(agent="invoice-agent")


def payment(amount: str, supplier: str = "Brandt") -> dict[str, Any]:
    return {"invoice": "INV-2041", "amount": Decimal(amount), "supplier": supplier}


def test_small_differences_are_paid_and_large_ones_asked_about(governed: Governed) -> None:
    governed.assert_allowed(invoices.pay_difference, payment("999.99"))
    governed.assert_needs_approval(
        invoices.pay_difference, payment("1000.01"), because="payments", approvers="finance-ops"
    )


def test_no_supplier_outside_the_matrix_is_paid(governed: Governed) -> None:
    governed.assert_denied(
        invoices.pay_difference, payment("1", supplier="Nordwind"), because="payments"
    )


def test_the_last_cent_of_the_budget_is_the_last(governed: Governed) -> None:
    governed.assert_allowed(invoices.pay_difference, payment("1"), spent={"usd": "4.98"})
    governed.assert_refused(
        invoices.pay_difference, payment("1"), spent={"usd": "4.99"}, code="budget_exceeded"
    )


def test_a_large_payment_waits_until_somebody_says_yes_and_is_paid_once(
    governed: Governed, approvers: Approvers
) -> None:
    with governed.run():
        with pytest.raises(gr.ApprovalPending) as asked:
            invoices.pay_difference(**payment("4180"))
        governed.clock.advance(3600)
        approvers.approve(asked.value, by="kim.tan@acme.example", groups="finance-ops")
        assert invoices.pay_difference(**payment("4180")) == "paid $4,180 to Brandt for INV-2041"
        with pytest.raises(gr.ApprovalPending):
            invoices.pay_difference(**payment("4180"))
    assert governed.record.tools() == ["pay_difference"]


def test_with_somebody_on_duty_the_agent_settles_every_known_invoice(
    governed: Governed, approvers: Approvers
) -> None:
    approvers.on_duty("kim.tan@acme.example", after=90)
    with governed.run() as run:
        for invoice in ("INV-2041", "INV-2063", "INV-2077"):
            assert invoices.settle(invoice).startswith("paid")
        with pytest.raises(gr.CallDenied):
            invoices.settle("INV-2090")  # Nordwind is not in the matrix, whoever is on duty
        assert run.spent.usd == Decimal("0.10")


def test_nobody_answers_in_four_hours(governed: Governed) -> None:
    with governed.run(wait=5 * 3600), pytest.raises(gr.ApprovalExpired):
        invoices.pay_difference(**payment("4180"))


def test_what_is_decided_about_every_invoice(governed: Governed, golden_decisions: Golden) -> None:
    golden_decisions(
        governed.decide(
            invoices.pay_difference,
            {
                "invoice": name,
                "amount": Decimal(each["invoiced"]) - Decimal(each["paid"]),
                "supplier": each["supplier"],
            },
        )
        for name, each in invoices.INVOICES.items()
    )
