"""A small project as its author has it on disk, and the tools of its agent."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "guardrails.yaml": """
        environment: dev
        policies: policies
        escalation: {desk: [{after: 30m, to: desk-leads}]}
    """,
    "agents.yaml": """
        billing:
          owner: dana.ruiz@acme.example
          purpose: Refunds orders.
          budget: {dev: {usd: 5, calls: 50}, prod: {usd: 0.05}}
          access: {payments: [read, write], notes: [read, write], vault: [read]}
          review_by: 2027-01-31
          approval:
            moves_money: {above: 1000, argument: amount, approvers: [finance-ops], quorum: 2}
          delegates: [{to: helper, narrow: true}]
        helper:
          owner: li.wei@acme.example
          purpose: Writes notes.
          budget: {dev: {calls: 50}}
          access: {notes: [write], payments: [write]}
        reader:
          owner: li.wei@acme.example
          purpose: Reads.
          budget: {dev: {calls: 50}}
          access: {notes: [read]}
    """,
    "policies/rules/refunds.rego": """
        package guardrails.rules.refunds

        import future.keywords.not

        deny contains "a refund is more than 0 and at most 5000" if {
            input.tool.name == "refund"
            not moderate
        }

        moderate if {
            is_number(input.args.amount)
            input.args.amount > 0
            5000 - input.args.amount >= 0
        }

        deny contains "three refunds a run are enough" if {
            input.tool.name == "refund"
            not few
        }

        few if {
            made := object.get(input.run.history, "refund", 0)
            is_number(made)
            3 - made > 0
        }
    """,
    "policies/rules/notes.rego": """
        package guardrails.rules.notes

        import future.keywords.not

        # A long note is cut; what is cut is short.
        obligations contains {"type": "transform", "path": "/args/text", "value": cut} if {
            input.tool.name == "note"
            is_string(input.args.text)
            count(input.args.text) > 8
            cut := substring(input.args.text, 0, 8)
        }

        deny contains "notes are not written for guests" if {
            input.tool.name == "note"
            not known
        }

        known if not input.principal == "guest@acme.example"

        require_approval contains {
            "reason": "urgent notes are read first",
            "approvers": ["desk"],
            "quorum": 1,
            "expires_in": 7200,
        } if {
            input.tool.name == "note"
            "urgent" in input.run.labels
        }

        shadow contains "notes are on trial in the night" if {
            input.tool.name == "note"
            time.clock(input.time)[0] < 6
        }
    """,
    "shop_tools.py": '''
        """The agent's tools."""

        from datetime import date
        from decimal import Decimal

        import guardrails as gr

        RAN = []


        @gr.governed_tool(
            name="refund", resource="payments", operation="write", labels={"moves_money"}
        )
        @gr.budget(cost="0.02")
        def refund(order_id: str, amount: Decimal) -> str:
            RAN.append(("refund", order_id, amount))
            return f"refunded {amount}"


        @gr.governed_tool(name="refund_async", resource="payments", operation="write")
        async def refund_async(order_id: str, amount: Decimal) -> str:
            RAN.append(("refund_async", order_id, amount))
            return f"refunded {amount}"


        @gr.governed_tool(name="publish", resource="notes", operation="write")
        @gr.requires_approval(approvers="desk")
        async def publish(text: str) -> str:
            RAN.append(("publish", text))
            return text


        @gr.governed_tool(name="note", resource="notes", operation="write")
        @gr.budget(cost=lambda text: Decimal(len(text)) / 100)
        def note(text: str, day: date = date(2026, 1, 1)) -> str:
            RAN.append(("note", text, day))
            return text


        class Desk:
            @gr.governed_tool(name="Desk.look", resource="notes", operation="read")
            def look(self, key: str) -> str:
                RAN.append(("look", key))
                return key


        @gr.governed_tool(name="secret", resource="vault", operation="read")
        @gr.requires_approval(approvers="vault-keepers")
        def secret() -> str:
            RAN.append(("secret",))
            return "s"
    ''',
}


def make(folder: Path, **more: str) -> Path:
    """The project in `folder`, with other files besides or in place of its own."""
    for name, text in {**FILES, **more}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return folder
