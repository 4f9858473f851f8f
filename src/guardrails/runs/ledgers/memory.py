"""The ledger of one process: every account is in its memory."""

from __future__ import annotations

from guardrails.runs.ledgers.local import LocalLedger


class MemoryLedger(LocalLedger):
    """Who may still spend what, in this process alone."""
