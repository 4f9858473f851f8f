"""Shadow mode: try an agent on real work without letting it write anything.

The agent sends tickets to queues. In a shadow run each call is decided and recorded, but not
executed; it returns the tool's stand-in, so that the agent goes on as usual. Beside every ticket
stands what a person decided: 186 of 200 agree, before the agent was allowed to touch a thing.

    python examples/shadow_triage.py
"""

from __future__ import annotations

import csv
from pathlib import Path

import guardrails as gr

HERE = Path(__file__).parent
QUEUES = {
    "refunds": ("refund", "money back", "charged twice"),
    "deliveries": ("parcel", "delivery", "tracking"),
    "accounts": ("password", "log in", "e-mail address"),
}
routed: dict[str, str] = {}  # the help desk, as far as this example has one


@gr.governed_tool(resource="tickets", operation="write", shadow=lambda queue: queue)
def route_ticket(ticket: str, queue: str) -> str:
    """Send a ticket to a queue."""
    routed[ticket] = queue
    return queue


def tickets() -> list[dict[str, str]]:
    """The sample: id, text, and the queue that a person chose."""
    with (HERE / "data/tickets.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def triage(ticket: dict[str, str]) -> str:
    """The agent's work on one ticket: the first queue with a word that the text has."""
    text = ticket["text"].lower()
    for queue, words in QUEUES.items():
        if any(word in text for word in words):
            return route_ticket(ticket["id"], queue)
    return route_ticket(ticket["id"], "questions")


def main() -> None:
    """Triage the sample in shadow mode, and compare with the people."""
    governor = gr.load_governor(HERE / "guardrails.yaml")
    sample = tickets()
    with governor.run("triage-agent", mode="shadow"):
        equal = sum(triage(ticket) == ticket["human"] for ticket in sample)
    print(f"{len(sample)} tickets: {len(routed)} written, {equal} as humans decided")


if __name__ == "__main__":
    main()
