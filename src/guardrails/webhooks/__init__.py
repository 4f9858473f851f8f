"""Signed webhooks, as sender and as receiver, by the scheme of standardwebhooks.com.

A receiver needs :func:`verify` and a :class:`Secret`; they import no HTTP library.
"""

from guardrails.webhooks.secret import Secret
from guardrails.webhooks.signing import TOLERANCE, Verified, sign, verify

__all__ = ["TOLERANCE", "Secret", "Verified", "sign", "verify"]
