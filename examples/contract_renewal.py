"""A contract renewal: research, summary and draft run alone; sending waits for a person.

The letter is shown to a contract owner, who approves it. What is sent then is exactly what was
approved: a letter that is changed afterwards, if only by a postscript, is another call, and waits
for an approval of its own.

    python examples/contract_renewal.py
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import guardrails as gr

HERE = Path(__file__).parent
CONTRACTS: dict[str, dict[str, str]] = json.loads((HERE / "data/contracts.json").read_text("utf-8"))
outbox: list[str] = []


@gr.governed_tool(resource="contracts", operation="read")
def research_contract(contract: str) -> dict[str, str]:
    """Everything on file about a contract."""
    return CONTRACTS[contract]


@gr.governed_tool(resource="notes", operation="write")
def summarise(terms: str) -> str:
    """The first two sentences; a model would do better."""
    return ". ".join(terms.split(". ")[:2])


@gr.governed_tool(resource="notes", operation="write")
def draft_letter(customer: str, ends: str, yearly: Decimal, summary: str) -> str:
    """An offer to renew, with three per cent on top."""
    offer = yearly * Decimal("1.03")
    terms = f"Your contract ends on {ends}. {summary}. We offer ${offer:,.2f} a year."
    return f"Dear {customer}. {terms}"


@gr.governed_tool(resource="mail", operation="write", labels={"customer_facing"})
def send_letter(to: str, text: str) -> str:
    """Send a letter to a customer."""
    outbox.append(text)
    return f"sent to {to}"


def prepare(contract: str) -> tuple[str, str]:
    """The agent's work up to the letter: its recipient and its text."""
    found = research_contract(contract)
    summary = summarise(found["terms"])
    text = draft_letter(found["customer"], found["ends"], Decimal(found["yearly"]), summary)
    return found["contact"], text


def approve(governor: gr.Governor, pending: gr.ApprovalPending) -> str:
    """A contract owner reads the letter and says yes; the text that was approved."""
    request = governor.approvals.get(pending.request_id)
    print(f"{', '.join(pending.approvers)} read: {request.args['text']}")
    governor.approvals.approve(
        request.id, by="ines.moreau@acme.example", groups={"contract-owners"}
    )
    return str(request.args["text"])


def main() -> None:
    """Prepare a letter, have it approved, try to change it, send it."""
    governor = gr.load_governor(HERE / "guardrails.yaml")
    with governor.run("contract-agent"):
        to, letter = prepare("C-118")
        print("research, summary and draft ran alone")
        approved = ""
        try:
            send_letter(to, letter)
        except gr.ApprovalPending as pending:
            print("sending waits for a person")
            approved = approve(governor, pending)
        try:
            send_letter(to, f"{letter} P.S. The first year is free.")
        except gr.ApprovalPending:
            print("with a postscript: not covered by the approval, not sent")
        print(send_letter(to, letter))
    print(f"the approved text is exactly the sent text: {outbox == [approved]}")


if __name__ == "__main__":
    main()
