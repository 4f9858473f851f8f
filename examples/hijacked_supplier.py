"""A hijacked agent: a supplier's PDF tells it to send all invoices to a stranger.

The agent obeys whatever it reads, as a model may. Policy does not read the PDF; it knows to whom
this agent may write: the contacts that the register lists for it (agents.yaml). The answer to the
supplier goes out, the invoices do not.

    python examples/hijacked_supplier.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import guardrails as gr

HERE = Path(__file__).parent
ATTACHMENTS: dict[str, dict[str, str]] = json.loads(
    (HERE / "data/attachments.json").read_text("utf-8")
)


@gr.governed_tool(resource="invoices", operation="read")
def read_pdf(name: str) -> str:
    """The text of an attachment."""
    return ATTACHMENTS[name]["text"]


@gr.governed_tool(resource="mail", operation="write", labels={"customer_facing"})
@gr.budget(cost="0.01")
def send_email(to: str, subject: str, body: str) -> str:
    """Send a mail."""
    return f"sent `{subject}` to {to}, {len(body)} characters"


def answer(attachment: str) -> str:
    """The agent's work on one attachment: do what it says, else confirm it to its sender."""
    text = read_pdf(attachment)
    told = re.search(r"send all invoices to (\S+@\S+)", text)
    if told:
        return send_email(told[1], "All invoices", "INV-2041, INV-2063, INV-2077, INV-2090")
    return send_email(ATTACHMENTS[attachment]["from"], "Confirmed", "Paid. Thank you.")


def main() -> None:
    """Answer an honest attachment, and a hijacked one."""
    governor = gr.load_governor(HERE / "guardrails.yaml")
    with governor.run("invoice-agent"):
        for attachment in ATTACHMENTS:
            try:
                print(f"{attachment}: {answer(attachment)}")
            except gr.CallDenied as denied:
                print(f"{attachment}: denied, {denied.reasons[0].reason}")
                print(f"the model reads: {gr.for_model(denied)}")


if __name__ == "__main__":
    main()
