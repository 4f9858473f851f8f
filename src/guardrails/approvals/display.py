"""What an approver reads: arguments as text that cannot play tricks.

The arguments were chosen by a language model, or by whoever wrote what it read.
Control characters, characters that turn or hide text, and the brackets of
terminal markup and HTML are escaped; a long value is cut, and its length and
digest say so.
"""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from guardrails.model.canonical import digest, number_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.model.approval import CallKey

_ESCAPED: Final = frozenset('\\"[]<>&`')
_HIDDEN_KINDS: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_INVISIBLE: Final = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, 0x2800})
_MOST_MARKS: Final = 2
_SHORT_DIGITS: Final = 8


def render(tool: str, args: Mapping[str, Any], *, longest: int = 120) -> str:
    """One line for a call, as ``refund(order="A-17", amount=4180)``.

    Args:
        tool: The tool's name.
        args: Its arguments as exact JSON.
        longest: Characters that one argument may take before it is cut.
    """
    shown = ", ".join(
        f"{plain(name)}={value_text(item, longest=longest)}" for name, item in args.items()
    )
    return f"{plain(tool)}({shown})"


def value_text(value: object, *, longest: int = 120) -> str:
    """A JSON value as safe text on one line; a long one is cut, with its length and digest."""
    text = _text(value)
    if len(text) <= longest:
        return text
    return f"{_whole_escapes(text[:longest])}… ({len(text):,} characters, {short(digest(value))})"


def plain(text: str, *, markup: bool = False) -> str:
    """`text` on one line, with everything escaped that a terminal or a page could act on.

    Args:
        text: It.
        markup: Whether markup stays as it is: for sentences that quote, shown where nothing
            reads markup.
    """
    escaped = frozenset() if markup else _ESCAPED
    parts: list[str] = []
    marks = 0
    for character in text:
        # A pile of combining marks spills over the lines around it.
        marks = marks + 1 if unicodedata.combining(character) else 0
        code = ord(character)
        hidden = unicodedata.category(character) in _HIDDEN_KINDS or code in _INVISIBLE
        blank = character.isspace() and character != " "
        selector = 0xFE00 <= code <= 0xFE0F or 0x180B <= code <= 0x180F  # noqa: PLR2004  # Unicode's variation selectors
        if hidden or blank or selector or marks > _MOST_MARKS or character in escaped:
            parts.append(_escape(code))
        else:
            parts.append(character)
    return "".join(parts)


def short(call_key: CallKey, *, digits: int = _SHORT_DIGITS) -> str:
    """The beginning of a digest, as ``sha256:9c1e4a7b…``."""
    kind, _, hexadecimal = call_key.partition(":")
    return f"{kind}:{hexadecimal[:digits]}…"


def _escape(code: int) -> str:
    if chr(code) in '\\"':
        return "\\" + chr(code)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004  # the end of the first plane


def _whole_escapes(text: str) -> str:
    """`text` without an escape at its end that was cut in two."""
    start = text.rfind("\\", max(0, len(text) - 10))
    if start < 0:
        return text
    while start > 0 and text[start - 1] == "\\":
        start -= 1
    return text[:start]


def _text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return number_text(value)
    if isinstance(value, str):
        return f'"{plain(value)}"'
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f'"{plain(name)}": {_text(item)}' for name, item in value.items()) + "}"
        )
    if isinstance(value, list):
        # The space keeps terminal markup such as [bold] from being made of an array.
        return "[ " + ", ".join(map(_text, value)) + " ]" if value else "[ ]"
    return f"({type(value).__name__})"
