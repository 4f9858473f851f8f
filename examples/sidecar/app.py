"""An agent whose calls are decided by the OPA server beside it.

    GUARDRAILS_ENVIRONMENT=dev python app.py

Where OPA listens stands in guardrails.yaml. ``run_locally.py`` starts both without containers.
"""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import guardrails as gr
from guardrails.engines.sidecar import SidecarEngine

PATIENCE = 30.0  # seconds; in a pod OPA may come up after the agent


@gr.governed_tool(resource="invoices", operation="read")
def read_invoice(invoice: str) -> Decimal:
    """The open sum of an invoice."""
    return {"INV-1": Decimal("418.20"), "INV-2": Decimal("4180.00")}[invoice]


@gr.governed_tool(resource="payments", operation="write", labels={"moves_money"})
def pay_invoice(invoice: str, amount: Decimal) -> str:
    """Pay an invoice."""
    return f"paid {amount} for {invoice}"


def wait_for(engine: SidecarEngine) -> str:
    """OPA's version, once it answers; until then every call would be refused."""
    until = time.monotonic() + PATIENCE
    while (status := engine.probe()).opa_version is None:
        if time.monotonic() > until:
            raise SystemExit(f"OPA does not answer at {status.address}: {status.last_error}")
        time.sleep(0.2)
    return status.opa_version


def main() -> None:
    """Pay two invoices, as far as policy lets it."""
    governor = gr.load_governor(Path(__file__).parent / "guardrails.yaml")
    engine = governor.engine
    if isinstance(engine, SidecarEngine):
        print(f"OPA {wait_for(engine)} decides")
    with governor.run("billing"):
        for invoice in ("INV-1", "INV-2"):
            try:
                print(pay_invoice(invoice, read_invoice(invoice)))
            except gr.Refusal as refusal:
                print(f"{invoice}: {refusal.code}: {refusal.reasons[0].reason}")
    print(f"by revision {engine.revision}")
    governor.close()


if __name__ == "__main__":
    main()
