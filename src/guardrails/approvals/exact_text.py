"""The reader of exact JSON under the name by which the stores of approvals know it."""

from guardrails.model.exact_text import read_exact

__all__ = ["read_exact"]
