"""Reading a record back, with what a crash has left in it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

TORN: Final = "record.torn"
"""The kind of what stands for a line that is no event."""


def read(path: str | Path) -> Iterator[dict[str, Any]]:
    """The events of a record of JSON lines, in its order, numbers exact.

    A line that is no whole event (cut short by a crash, still being written, or
    tampered with) comes as ``{"kind": "record.torn", "line": N, "bytes": B}``.

    Raises:
        StateUnavailable: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                if line == b"\n":
                    continue
                yield _event(line) or {"kind": TORN, "line": number, "bytes": len(line)}
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StateUnavailable(f"the record `{path}` cannot be read: {reason}") from error


def _event(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        event = json.loads(line, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
        return None
    return event


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)
