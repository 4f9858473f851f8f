"""What a scene says happened, and whether it did."""

from __future__ import annotations

from typing import NamedTuple


class Claim(NamedTuple):
    """One sentence, and whether what was measured bears it out."""

    claim: str
    holds: bool
