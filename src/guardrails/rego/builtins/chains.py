"""Chains of X.509 certificates, verified through `cryptography` (RFC 5280)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.builtins.certforms import unhandled_extensions

if TYPE_CHECKING:
    from cryptography import x509

_SHORTEST: Final = 2
_NS_PER_S: Final = 1_000_000_000
_ANY_USE: Final = "2.5.29.37.0"
_SERVER: Final = "1.3.6.1.5.5.7.3.1"


def verified(certificates: list[x509.Certificate], now_ns: int) -> list[x509.Certificate] | None:
    """The chain from the last of `certificates` to the first, the only one that is trusted.

    Each certificate must be valid at the time, carry no critical extension that nobody reads,
    and permit the authentication of servers, which is what OPA asks for.

    Args:
        certificates: The root, what may stand between, and the leaf.
        now_ns: Nanoseconds since 1970.

    Returns:
        The chain, from the leaf to the root; None if there is none.
    """
    if len(certificates) < _SHORTEST:
        return None
    from cryptography.x509 import verification  # noqa: PLC0415  # an extra

    root, *between, leaf = certificates
    try:
        policy = (
            verification.PolicyBuilder()
            .store(verification.Store([root]))
            .time(datetime.fromtimestamp(now_ns // _NS_PER_S, UTC).replace(tzinfo=None))
            .max_chain_depth(len(certificates))
            .extension_policies(
                ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(),
                # What a leaf's own extensions say is the policy's business, not the chain's.
                ee_policy=verification.ExtensionPolicy.permit_all(),
            )
        )
        chain = policy.build_client_verifier().verify(leaf, between).chain
    except Exception:  # noqa: BLE001  # whatever is the matter with it, it is not verified
        return None
    in_time = all(now_ns <= int(cert.not_valid_after_utc.timestamp()) * _NS_PER_S for cert in chain)
    read = not any(unhandled_extensions(cert) for cert in chain)
    return list(chain) if in_time and read and _may_serve(chain) else None


def _may_serve(chain: list[Any]) -> bool:
    from cryptography import x509  # noqa: PLC0415  # an extra

    for cert in chain:
        uses = [
            {use.dotted_string for use in item.value}
            for item in cert.extensions
            if isinstance(item.value, x509.ExtendedKeyUsage)
        ]
        if uses and not uses[0] & {_ANY_USE, _SERVER}:
            return False
    return True
