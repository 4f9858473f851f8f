"""The extras that bring the heavy builtins their packages, and which of them are not there.

A builtin with an extra imports its packages inside its functions, at first use: a program that
calls none of them loads none of them.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "graphql": ("graphql",),
        "jsonschema": ("jsonschema",),
        "jwt": ("cryptography",),
    }
)
"""Extra to the names that its builtins import."""


def is_installed(extra: str) -> bool:
    """Whether all that `extra` brings can be imported; nothing is imported to find out."""
    return all(find_spec(package) is not None for package in PACKAGES[extra])
