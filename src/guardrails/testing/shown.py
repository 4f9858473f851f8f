"""Values of a call in one line of text, the same for the same values."""

from __future__ import annotations

from typing import Final

from guardrails.model.canonical import NotExactJSON, canonical

_LONGEST: Final = 300
_LAST_OF_FOUR: Final = 0xFFFF


def shown(value: object, longest: int = _LONGEST) -> str:
    """`value` as canonical JSON, cut where it is long; what has no JSON form as Python shows it."""
    try:
        text = exact(value)
    except NotExactJSON:
        text = "".join(map(_visible, repr(value)))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def exact(value: object) -> str:
    """`value` as canonical JSON, in which what cannot be seen stands as YAML's escapes.

    Raises:
        NotExactJSON: it has no JSON form.
    """
    text = canonical(value).decode()
    # Only strings hold such characters, and there the escape is the same string.
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= _LAST_OF_FOUR else f"\\U{code:08x}"
