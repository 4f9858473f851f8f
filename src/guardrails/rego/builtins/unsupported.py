"""The builtins of OPA that no policy here can call, why, and what to do instead."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Unsupported:
    """One builtin that is refused where a policy is loaded.

    Attributes:
        why: Why it is not there.
        instead: What to do instead.
    """

    why: str
    instead: str


UNSUPPORTED: Final[Mapping[str, Unsupported]] = MappingProxyType(
    {
        "http.send": Unsupported(
            "a decision waits for no network, and must be the same when it is replayed",
            "fetch before the call, and give the answer in the input or as data",
        ),
        "net.lookup_ip_addr": Unsupported(
            "a decision waits for no name server, and must be the same when it is replayed",
            "look the name up before the call, and give the addresses in the input or as data",
        ),
        "rego.metadata.chain": Unsupported(
            "OPA's compiler replaces it by what it read; regopy's does not",
            "plan with an OPA binary, or write the annotations into the rule as a value",
        ),
        "rego.metadata.rule": Unsupported(
            "OPA's compiler replaces it by what it read; regopy's does not",
            "plan with an OPA binary, or write the annotations into the rule as a value",
        ),
        "rego.parse_module": Unsupported(
            "it gives the syntax tree of OPA's own parser",
            "parse modules outside the policy, with `opa parse`",
        ),
    }
)
"""By the name in Rego. OPA's ``print`` is not here: its compiler makes ``internal.print`` of it."""


def advice(name: str) -> str:
    """What a refusal says about the builtin `name`, if there is more to say than that."""
    entry = UNSUPPORTED.get(name)
    return f" ({entry.why}: {entry.instead})" if entry else ""
