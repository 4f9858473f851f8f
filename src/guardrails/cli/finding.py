"""What one examination of ``guardrails doctor`` found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How one thing stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination found.

    Attributes:
        name: The thing that was looked at.
        status: How it stands.
        found: What is there.
        mend: What to do about it; empty where nothing is to be done.
        out_of_reach: Whether it fails because something cannot be reached or written.
    """

    name: str
    status: Status
    found: str
    mend: str = ""
    out_of_reach: bool = False
