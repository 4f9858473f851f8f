"""Chains of X.509 certificates, verified through `cryptography` (RFC 5280)."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.builtins.certforms import unhandled_extensions

if TYPE_CHECKING:
    from cryptography import x509

_SHORTEST: Final = 2
_NS_PER_S: Final = 1_000_000_000
_ANY_USE: Final = "2.5.29.37.0"
_LABEL: Final = re.compile("[A-Za-z0-9_][A-Za-z0-9_-]*")

SERVER: Final = frozenset({"1.3.6.1.5.5.7.3.1"})
"""The authentication of servers: the use that OPA asks for where none is named."""


def verified(
    certificates: list[x509.Certificate], now_ns: int, uses: frozenset[str] = SERVER, host: str = ""
) -> list[x509.Certificate] | None:
    """The chain from the last of `certificates` to the first, the only one that is trusted.

    Each certificate must be valid at the time, carry no critical extension that nobody reads,
    and permit a use that is asked for.

    Args:
        certificates: The root, what may stand between, and the leaf.
        now_ns: Nanoseconds since 1970.
        uses: The object identifiers of extended key usages, of which all must permit one.
        host: The name or IP address that the leaf must be for; empty for whatever it is for.

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
    fits = in_time and read and _may_serve(chain, uses) and (not host or _is_for(leaf, host))
    return list(chain) if fits else None


def _may_serve(chain: list[Any], uses: frozenset[str]) -> bool:
    from cryptography import x509  # noqa: PLC0415  # an extra

    left = uses
    for cert in chain:
        named = [
            {use.dotted_string for use in item.value}
            for item in cert.extensions
            if isinstance(item.value, x509.ExtendedKeyUsage)
        ]
        if named and _ANY_USE not in named[0]:
            left &= named[0]
    return bool(left) or _ANY_USE in uses


def _is_for(leaf: Any, host: str) -> bool:
    """Whether the leaf's alternative names have `host` (RFC 6125); its common name counts not."""
    from cryptography import x509  # noqa: PLC0415  # an extra

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        # With a zone it is no address to Go.
        address = ipaddress.ip_address(bare if "%" not in bare else "")
    except ValueError:
        return any(_covers(name, host) for name in names.get_values_for_type(x509.DNSName))
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(
        (getattr(name, "ipv4_mapped", None) or name) == mapped
        for name in names.get_values_for_type(x509.IPAddress)
    )


def _covers(pattern: str, host: str) -> bool:
    wanted, given = _lower(pattern), _lower(host)
    if not _is_name(wanted, pattern=True) or not _is_name(given):
        return wanted == given and wanted not in {"", "."}
    parts, labels = wanted.split("."), given.removesuffix(".").split(".")
    return len(parts) == len(labels) and parts[0] in {"*", labels[0]} and parts[1:] == labels[1:]


def _lower(text: str) -> str:
    return "".join(char.lower() if char.isascii() else char for char in text)


def _is_name(text: str, *, pattern: bool = False) -> bool:
    """Whether `text` is a name of a host, or, if that is asked, one with ``*`` as first label."""
    labels = (text if pattern else text.removesuffix(".")).split(".")
    if pattern and labels[0] == "*" and len(labels) > 1:
        del labels[0]
    return all(_LABEL.fullmatch(label) for label in labels)
