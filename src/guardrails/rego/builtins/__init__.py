"""The builtin functions of Rego that a policy may call.

:data:`BUILTINS` is the whole table. A name that is not in it is refused where
the policy is loaded. What takes more than a function of its arguments (HTTP,
name look-ups) is not there. A heavy family (JSON Web Tokens and X.509, JSON
schema, GraphQL) needs an extra: its entry names it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins import (
    aggregates,
    arithmetic,
    arrays,
    aws,
    bits,
    certificates,
    comparison,
    digests,
    documents,
    encoding,
    formatting,
    glob,
    gql,
    graphs,
    interpolation,
    jsontext,
    net,
    numbers,
    objects,
    regex,
    schemas,
    semver,
    sets,
    strings,
    templates,
    time,
    tokens,
    types,
    units,
    uri,
    uuids,
    yamltext,
)
from guardrails.rego.builtins.base import (
    Builtin,
    BuiltinError,
    BuiltinTypeError,
    EvaluationContext,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_FAMILIES: Final = (
    aggregates,
    arithmetic,
    arrays,
    aws,
    bits,
    certificates,
    comparison,
    digests,
    documents,
    encoding,
    formatting,
    glob,
    gql,
    graphs,
    interpolation,
    jsontext,
    net,
    numbers,
    objects,
    regex,
    schemas,
    semver,
    sets,
    strings,
    templates,
    time,
    tokens,
    types,
    units,
    uri,
    uuids,
    yamltext,
)

BUILTINS: Final[Mapping[str, Builtin]] = MappingProxyType(
    {
        entry.name: entry
        for family in _FAMILIES
        for entry in vars(family).values()
        if isinstance(entry, Builtin)
    }
)
"""Every builtin, by its name in Rego."""

__all__ = ["BUILTINS", "Builtin", "BuiltinError", "BuiltinTypeError", "EvaluationContext"]
