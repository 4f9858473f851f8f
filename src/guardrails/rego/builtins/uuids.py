"""UUIDs (RFC 4122): made, and taken apart."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins.base import EvaluationContext, builtin
from guardrails.rego.builtins.operands import string
from guardrails.rego.values import UNDEFINED, to_key

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_GREGORIAN_OFFSET: Final = 122_192_928_000_000_000
"""Steps of 100 ns from 15 October 1582, where UUID time starts, to 1970."""

_DASHES: Final = (8, 13, 18, 23)
_DOMAINS: Final = ("Person", "Group", "Org")
_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
_TIME_BASED: Final = (1, 2)
_LENGTH: Final = 36


@builtin("uuid.rfc4122", arity=1, needs_context=True)
def rfc4122(context: EvaluationContext, name: Value) -> Value:
    """A random UUID (version 4), the same one for the same `name` within an evaluation."""
    key = to_key(name)
    if key not in context.uuids:
        context.uuids[key] = str(uuid.UUID(int=context.random.getrandbits(128), version=4))
    return context.uuids[key]


def _read(text: str) -> uuid.UUID | None:
    """The UUID in one of the forms that Go's package takes; None if it is none."""
    if text[:9].lower() == "urn:uuid:" and len(text) == _LENGTH + 9:
        text = text[9:]
    elif len(text) == _LENGTH + 2:
        text = text[1:-1]
    if len(text) == _LENGTH:
        if any(text[place] != "-" for place in _DASHES):
            return None
        digits = "".join(char for place, char in enumerate(text) if place not in _DASHES)
    else:
        digits = text
    if len(digits) != _LENGTH - len(_DASHES) or not _HEX_DIGITS.issuperset(digits):
        return None
    return uuid.UUID(hex=digits)


@builtin("uuid.parse", arity=1)
def parse(text: Value) -> Value:
    """The fields of a UUID; undefined if the string is none."""
    found = _read(string(text, 1))
    if found is None:
        return UNDEFINED
    version = found.bytes[6] >> 4
    fields: dict[str, Value] = {"version": version, "variant": _variant(found.bytes[8])}
    if version in _TIME_BASED:
        node = found.bytes[10:]
        # OPA's clock runs over at 64 bits.
        fields["time"] = ((found.time - _GREGORIAN_OFFSET) * 100 + 2**63) % 2**64 - 2**63
        fields["nodeid"] = node.hex("-")
        fields["macvariables"] = _mac(node[0])
        fields["clocksequence"] = found.clock_seq
    if version == _TIME_BASED[1]:
        domain = found.bytes[9]
        fields["id"] = found.time_low
        fields["domain"] = _DOMAINS[domain] if domain < len(_DOMAINS) else f"Domain{domain}"
    return fields


def _variant(octet: int) -> str:
    if octet & 0xC0 == 0x80:  # noqa: PLR2004  # the bits of RFC 4122, section 4.1.1
        return "RFC4122"
    if octet & 0xE0 == 0xC0:  # noqa: PLR2004  # as above
        return "Microsoft"
    return "Future" if octet & 0xE0 == 0xE0 else "Reserved"  # noqa: PLR2004  # as above


def _mac(octet: int) -> str:
    scope = "local" if octet & 0b10 else "global"
    return f"{scope}:{'multicast' if octet & 0b01 else 'unicast'}"
