"""Invoice exceptions: an agent pays small differences alone; people decide about the rest.

Policy (policies/rules/payments.rego) lets it pay up to $1,000, asks finance-ops above
that, and denies suppliers that are not in the payment matrix. An approval is for one exact call,
once: neither another amount nor a second payment can use it.

    python examples/invoice_exceptions.py
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import guardrails as gr

HERE = Path(__file__).parent
INVOICES: dict[str, dict[str, str]] = json.loads((HERE / "data/invoices.json").read_text("utf-8"))


@gr.governed_tool(resource="invoices", operation="read")
@gr.budget(cost="0.01")
def match_invoice(invoice: str) -> Decimal:
    """What was invoiced and not paid yet, in dollars."""
    found = INVOICES[invoice]
    return Decimal(found["invoiced"]) - Decimal(found["paid"])


@gr.governed_tool(resource="payments", operation="write", labels={"moves_money"})
@gr.budget(cost="0.02")
def pay_difference(invoice: str, amount: Decimal, supplier: str) -> str:
    """Pay `amount` dollars for an invoice to a supplier's known account."""
    return f"paid ${amount:,} to {supplier} for {invoice}"


def settle(invoice: str) -> str:
    """The agent's work on one exception."""
    difference = match_invoice(invoice)
    return pay_difference(invoice, difference, INVOICES[invoice]["supplier"])


def main() -> None:
    """Settle all exceptions, then play finance-ops, then cheat."""
    governor = gr.load_governor(HERE / "guardrails.yaml")
    asked: list[gr.ApprovalPending] = []
    with governor.run("invoice-agent") as run:
        for invoice in INVOICES:
            try:
                print(f"{invoice}  {settle(invoice)}")
            except gr.ApprovalPending as pending:
                asked.append(pending)
                print(f"{invoice}  asked: {gr.for_model(pending)}")
            except gr.CallDenied as denied:
                print(f"{invoice}  denied: {denied.reasons[0].reason} [{denied.reasons[0].rule}]")

        # A person of finance-ops says yes: to each call as it is, with these arguments.
        for call in asked:
            governor.approvals.approve(
                call.request_id, by="kim.tan@acme.example", groups={"finance-ops"}
            )
        for amount in ("41800.00", "4180.00", "4180.00"):
            try:
                print(f"INV-2077  {pay_difference('INV-2077', Decimal(amount), 'Helvig')}")
            except gr.ApprovalPending:
                print(f"INV-2077  ${Decimal(amount):,}: not covered, asked anew")
    print(f"{run.spent.calls} calls ran, for ${run.spent.usd:.2f}")


if __name__ == "__main__":
    main()
