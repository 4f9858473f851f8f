"""Bearer tokens: 32 random bytes that a person keeps, and whose digest stands in approvers.yaml.

A token has so much randomness that its plain SHA-256 gives it away to nobody; salts and slow
hashes are for passwords, which people choose.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from guardrails.approvals.approvers import Approver, Approvers

PREFIX: Final = "grt_"
"""What a token begins with, so that scanners find one that leaked."""

_FORM: Final = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")


def new_token() -> str:
    """A token that nobody has had before."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What approvers.yaml says of `token`."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def holder_of(token: str, approvers: Approvers) -> Approver | None:
    """Whose token it is; every one is compared, each in constant time."""
    if not _FORM.fullmatch(token):
        return None
    given = digest_of(token)
    found = None
    for person in approvers.people.values():
        for known in person.tokens:
            if hmac.compare_digest(known, given):
                found = person
    return found
