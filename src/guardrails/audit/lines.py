"""Events as JSON lines and back: what `exact_json` writes, many at once, in a tenth of its time.

msgspec encodes whole batches. What it writes otherwise than :mod:`.exact_json` (numbers that are
none, texts that are no Unicode, what JSON cannot hold at all) is found, and goes the exact way.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from guardrails.audit.exact_json import exact_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.audit.redaction import Redaction
    from guardrails.model.call import Event

_CHUNK: Final = 64
"""Events that are encoded in one go, without another thread running."""

_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode_lines

_NO_EVENT: Final = (ValueError, RecursionError, ArithmeticError)
"""What is raised by a text that is no event; the last by a number beyond every range."""

_BEYOND_ASCII: Final = re.compile("[^\n -~]+")

_DOUBTS: Final = (b"null", b"NaN", b"Infinity")
"""What stands in a line where a number is none; and elsewhere, so that it is looked at."""


def lines_of(events: Sequence[Event], redaction: Redaction) -> bytes:
    """The events as JSON lines, in printable ASCII, each with its newline.

    Args:
        events: They.
        redaction: Takes out of them what must not be written.
    """
    chunks = range(0, len(events), _CHUNK)
    return b"".join(_chunk(events[begin : begin + _CHUNK], redaction) for begin in chunks)


def event_of_line(line: bytes) -> dict[str, Any] | None:
    """The event that `line` is, with its newline; None where it is no whole event."""
    if not line.endswith(b"\n"):
        return None
    try:
        event = _decode(line)
    except _NO_EVENT:
        # Also what msgspec alone does not read: half of a surrogate pair, which a text may hold.
        try:
            # As text: of bytes it would guess the encoding.
            event = json.loads(line.decode(), parse_float=Decimal, parse_constant=_no_number)
        except _NO_EVENT:
            return None
    if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
        return None
    return event


def time_of(lines: Sequence[bytes]) -> int:
    """The time of the first event of a batch; 0 where it has none."""
    event = event_of_line(lines[0]) if lines else None
    time = None if event is None else event.get("time")
    return time if isinstance(time, int) else 0


def _chunk(events: Sequence[Event], redaction: Redaction) -> bytes:
    documents = redaction.documents(events)
    try:
        text = _encode(documents)
    except Exception:  # noqa: BLE001  # whatever it is: the exact way has a form for every value
        return _exactly(documents)
    if any(doubt in text for doubt in _DOUBTS) and not _is_finite(documents):
        return _exactly(documents)
    if not text.isascii() or b"\x7f" in text:
        return _BEYOND_ASCII.sub(_escaped, text.decode()).encode("ascii")
    return text


def _exactly(documents: list[dict[str, Any]]) -> bytes:
    return "".join(f"{exact_json(document)}\n" for document in documents).encode("ascii")


def _escaped(found: re.Match[str]) -> str:
    # Outside of texts all is ASCII, so what is found stands in one.
    return encode_basestring_ascii(found[0])[1:-1].replace("\x7f", "\\u007f")


def _is_finite(documents: list[dict[str, Any]]) -> bool:
    """Whether no number in them is none. By types and without recursion: most lines hold a null."""
    values: list[Any] = list(documents)
    for value in values:  # which grows meanwhile
        kind = type(value)
        if kind is str or kind is int or value is None or kind is bool:
            continue
        if isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list | tuple):
            values += value
        elif isinstance(value, float):
            if not math.isfinite(value):
                return False
        elif isinstance(value, Decimal) and not value.is_finite():
            return False
    return True


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)
