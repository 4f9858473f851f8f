"""Values of a call in one line of text, the same for the same values."""

from __future__ import annotations

from typing import Final

from guardrails.model.canonical import NotExactJSON, canonical

_LONGEST: Final = 300


def shown(value: object, longest: int = _LONGEST) -> str:
    """`value` as canonical JSON, cut where it is long; what has no JSON form as Python shows it."""
    try:
        text = exact(value)
    except NotExactJSON:
        text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def exact(value: object) -> str:
    """`value` as canonical JSON.

    Raises:
        NotExactJSON: it has no JSON form.
    """
    return canonical(value).decode()
