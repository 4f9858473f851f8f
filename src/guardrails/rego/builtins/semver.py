"""Semantic versions (semver.org 2.0.0), compared as OPA does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.operands import string
from guardrails.rego.builtins.text import quoted

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_IDENTIFIER: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")
_DIGITS: Final = frozenset("0123456789")
_INT64_DIGITS: Final = 19
_PARTS: Final = 3


class _Version(NamedTuple):
    numbers: tuple[int, ...]
    pre_release: str


def _parse(text: str) -> _Version | None:
    body, _, metadata = text.removeprefix("v").partition("+")
    body, _, pre_release = body.partition("-")
    parts = body.split(".")
    if len(parts) != _PARTS or not _identifiers(metadata) or not _identifiers(pre_release):
        return None
    numbers: list[int] = []
    for part in parts:
        digits = part[1:] if part[:1] in ("+", "-") else part
        if not digits or not _DIGITS.issuperset(digits) or len(digits) > _INT64_DIGITS:
            return None
        numbers.append(int(part))
    return _Version(tuple(numbers), pre_release)


def _identifiers(text: str) -> bool:
    return not text or all(part and _IDENTIFIER.issuperset(part) for part in text.split("."))


def _rank(identifier: str) -> tuple[int, int, str]:
    """Numeric identifiers come first, by value; the others by their characters."""
    if _DIGITS.issuperset(identifier):
        return (0, int(identifier[:_INT64_DIGITS]), "")
    return (1, 0, identifier)


def _compare(left: _Version, right: _Version) -> int:
    if left.numbers != right.numbers:
        return 1 if left.numbers > right.numbers else -1
    if left.pre_release == right.pre_release:
        return 0
    if not left.pre_release or not right.pre_release:
        return 1 if not left.pre_release else -1
    one = [_rank(part) for part in left.pre_release.split(".")]
    two = [_rank(part) for part in right.pre_release.split(".")]
    return (one > two) - (one < two)


@builtin("semver.compare", arity=2)
def compare(left: Value, right: Value) -> Value:
    """-1, 0 or 1: how two versions stand to each other."""
    texts = (string(left, 1), string(right, 2))
    versions: list[_Version] = []
    for position, text in enumerate(texts, start=1):
        version = _parse(text)
        if version is None:
            message = f"operand {position}: string {quoted(text)} is not a valid SemVer"
            raise BuiltinError(message)
        versions.append(version)
    return _compare(*versions)


@builtin("semver.is_valid", arity=1)
def is_valid(value: Value) -> Value:
    """Whether the value is a semantic version."""
    return type(value) is str and _parse(value) is not None
