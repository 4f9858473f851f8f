"""The key of the digests that stand in a record in the place of what was taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.errors import StateUnavailable
from guardrails.key_files import key_in

if TYPE_CHECKING:
    from pathlib import Path


def digest_key(path: Path) -> bytes:
    """The key in the file at `path`, made where there is none.

    Raises:
        StateUnavailable: it cannot be used.
    """
    try:
        return key_in(path, "the record's digests")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StateUnavailable(
            f"the key of the record's digests, `{path}`, cannot be used: {reason}"
        ) from error
