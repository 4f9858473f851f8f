"""What a verification of X.509 certificates may be asked for, besides the chain."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.chains import SERVER
from guardrails.rego.builtins.operands import int64
from guardrails.rego.values import RegoSet, is_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.rego.values import Key, Value

USES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "KeyUsageAny": "2.5.29.37.0",
        "KeyUsageServerAuth": "1.3.6.1.5.5.7.3.1",
        "KeyUsageClientAuth": "1.3.6.1.5.5.7.3.2",
        "KeyUsageCodeSigning": "1.3.6.1.5.5.7.3.3",
        "KeyUsageEmailProtection": "1.3.6.1.5.5.7.3.4",
        "KeyUsageIPSECEndSystem": "1.3.6.1.5.5.7.3.5",
        "KeyUsageIPSECTunnel": "1.3.6.1.5.5.7.3.6",
        "KeyUsageIPSECUser": "1.3.6.1.5.5.7.3.7",
        "KeyUsageTimeStamping": "1.3.6.1.5.5.7.3.8",
        "KeyUsageOCSPSigning": "1.3.6.1.5.5.7.3.9",
        "KeyUsageMicrosoftServerGatedCrypto": "1.3.6.1.4.1.311.10.3.3",
        "KeyUsageNetscapeServerGatedCrypto": "2.16.840.1.113730.4.1",
        "KeyUsageMicrosoftCommercialCodeSigning": "1.3.6.1.4.1.311.2.1.22",
        "KeyUsageMicrosoftKernelCodeSigning": "1.3.6.1.4.1.311.61.1.1",
    }
)
"""OPA's names of extended key usages, with their object identifiers (RFC 5280, 4.2.1.12)."""


class Options(NamedTuple):
    """What is asked for.

    Attributes:
        now_ns: The time in nanoseconds since 1970; None for the present.
        uses: Object identifiers of which every certificate must permit one.
        host: The host that the leaf must be for; empty for any.
    """

    now_ns: int | None
    uses: frozenset[str]
    host: str


def read(options: Mapping[Key, Value]) -> Options:
    """The options, by OPA's names of them.

    ``MaxConstraintComparisons`` must be a number and says no more: `cryptography` has its own.

    Raises:
        BuiltinError: One is unknown, or has the wrong form.
    """
    now_ns, uses, host = None, SERVER, ""
    for name, value in options.items():
        if type(name) is not str:
            continue
        if name == "DNSName":
            if type(value) is not str:
                raise BuiltinError("'DNSName' should be a string")
            host = value.strip('"')
        elif name == "CurrentTime":
            now_ns = _integer(name, value, "a valid int64 number")
        elif name == "MaxConstraintComparisons":
            _integer(name, value, "a valid number")
        elif name == "KeyUsages":
            uses = _uses(value) or SERVER
        else:
            raise BuiltinError("invalid key option")
    return Options(now_ns, uses, host)


def _integer(name: str, value: Value, wanted: str) -> int:
    if not is_number(value):
        raise BuiltinError(f"'{name}' should be a number")
    try:
        return int64(value, 2)
    except BuiltinError:
        raise BuiltinError(f"'{name}' should be {wanted}") from None


def _uses(value: Value) -> frozenset[str]:
    if type(value) is not list and type(value) is not RegoSet:
        raise BuiltinError("'KeyUsages' should be an Array or Set")
    names = [item.strip('"') for item in value if type(item) is str]
    unknown = [name for name in names if name not in USES]
    if unknown:
        raise BuiltinError(f"invalid entries for 'KeyUsages' found: [{' '.join(unknown)}]")
    return frozenset(USES[name] for name in names)
