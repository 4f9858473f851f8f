"""Signatures of webhooks: three headers, and HMAC-SHA256 over id, time and body.

The scheme is Standard Webhooks (standardwebhooks.com), version ``v1``::

    webhook-id: 01990a52-…                        the same at every attempt
    webhook-timestamp: 1767225600                 Unix seconds of this attempt
    webhook-signature: v1,K5oZ… v1,ab12…          one for each secret, the receiver needs one

What is signed is ``id.timestamp.body``, so none of the three can be changed or put together
anew. The scheme's own package has a fixed tolerance, reads the clock itself, and fails with
other errors on malformed headers; the tests compare with it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.errors import SignatureError
from guardrails.webhooks.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOLERANCE: Final = 300.0
"""Seconds by which the time of a webhook may differ from the receiver's."""

ID_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What an id looks like that we send: without the dot that separates what is signed."""

_ID: Final = "webhook-id"
_TIMESTAMP: Final = "webhook-timestamp"
_SIGNATURE: Final = "webhook-signature"
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_MOST_SIGNATURES: Final = 16


@dataclass(frozen=True, slots=True)
class Verified:
    """A webhook that came from a holder of the secret.

    Attributes:
        id: Its id. Keep the ids of the last ten minutes and drop what comes again: a sender
            repeats what it believes lost, and whoever overheard a webhook can repeat it
            while its time is within the tolerance.
        timestamp: When it was sent, in Unix seconds.
    """

    id: str
    timestamp: int


def sign(id: str, timestamp: int, body: bytes, secrets: Iterable[Secret]) -> dict[str, str]:
    """The three headers for a webhook.

    Args:
        id: Its id: letters, digits, ``-`` and ``_``.
        timestamp: Unix seconds.
        body: Exactly what is sent.
        secrets: Each gives a signature.

    Raises:
        ValueError: the id has another form.
    """
    if not ID_FORM.fullmatch(id):
        msg = f"a webhook's id is up to 128 letters, digits, `-` and `_`, not `{id[:140]}`"
        raise ValueError(msg)
    content = _content(id.encode(), str(timestamp).encode(), body)
    signatures = [
        "v1," + base64.b64encode(secret.mac(content)).decode("ascii") for secret in secrets
    ]
    return {_ID: id, _TIMESTAMP: str(timestamp), _SIGNATURE: " ".join(signatures)}


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secret: Secret | Iterable[Secret],
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> Verified:
    """What a received webhook is, if a holder of the secret sent it lately.

    It does not remember ids: see :attr:`Verified.id`.

    Args:
        headers: The request's headers; their case does not matter.
        body: The body as it came, before anything parsed it.
        secret: The secret, or several while one replaces another.
        tolerance: Seconds by which its time may differ from `now`, either way.
        now: Unix seconds; None for the machine's clock.

    Raises:
        SignatureError: it is not to be trusted.
    """
    given = {name.lower(): value for name, value in headers.items()}
    id, timestamp, signatures = (_header(given, name) for name in (_ID, _TIMESTAMP, _SIGNATURE))
    if not _SECONDS.fullmatch(timestamp):
        raise SignatureError(f"`{_TIMESTAMP}` is no time in Unix seconds")
    age = (time.time() if now is None else now) - int(timestamp)
    if not abs(age) <= tolerance:
        when = "old" if age > 0 else "far in the future"
        raise SignatureError(f"the webhook is too {when}: by {abs(age):.0f} seconds")
    content = _content(id.encode("utf-8", "replace"), timestamp.encode(), body)
    secrets = (secret,) if isinstance(secret, Secret) else tuple(secret)
    wanted = [one.mac(content) for one in secrets]
    found = False
    for signature in _decoded(signatures):
        for expected in wanted:
            # All are compared, so that the time taken does not tell which one fits.
            found |= hmac.compare_digest(expected, signature)
    if not found:
        raise SignatureError("no signature of the webhook fits: another secret, or it was changed")
    return Verified(id, int(timestamp))


def _content(id: bytes, timestamp: bytes, body: bytes) -> bytes:
    return b".".join((id, timestamp, body))


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise SignatureError(f"the header `{name}` is missing")
    return value


def _decoded(header: str) -> list[bytes]:
    """The signatures of version 1 in the header; others are left to those who know them."""
    found = []
    for word in header.split(" ")[:_MOST_SIGNATURES]:
        version, _, encoded = word.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(encoded, validate=True))
            except (binascii.Error, ValueError):
                continue
    return found
