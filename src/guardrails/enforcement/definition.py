"""What a tool's decorators say, checked where they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement.parameter import innermost
from guardrails.errors import ConfigError
from guardrails.model.budget import Budget, Usage
from guardrails.model.facts import KNOWN_LABELS
from guardrails.model.money import micro_usd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guardrails.enforcement.call_arguments import Arguments, ReadsArguments
    from guardrails.model.facts import ToolFacts

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}", re.ASCII)
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}", re.ASCII)
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST: Final = 366 * 86_400
_CLOSE: Final = 0.85


class _Missing:
    """The type of :data:`MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""Stands for a shadow stand-in that was not given; ``None`` is a stand-in."""


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """One ``@requires_approval``.

    Attributes:
        when: Whether these arguments need it; None where all do.
        approvers: Names of the groups that may answer.
        quorum: How many distinct people must agree.
        expires_in: Seconds until an unanswered request expires.
        reason: What the approver reads.
    """

    when: Callable[[Arguments], Any] | None
    approvers: tuple[str, ...]
    quorum: int
    expires_in: int
    reason: str


@dataclass(frozen=True, slots=True)
class Price:
    """One ``@budget``: what a call costs, and the tool's own limits in a run.

    Attributes:
        cost: Micro-dollars, or a function of the arguments that gives dollars.
        limits: The tool's limits in one run; None where it has none.
        fixed: What every call reserves; None where that depends on the arguments.
    """

    cost: int | Callable[[Arguments], Any] = 0
    limits: Budget | None = None
    fixed: Usage | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fixed = Usage(self.cost, 0, 1) if isinstance(self.cost, int) else None
        object.__setattr__(self, "fixed", fixed)

    def of(self, arguments: Arguments) -> Usage:
        """What one call with these arguments reserves.

        Raises:
            ValueError: the price is negative, no finite number, or finer than a micro-dollar.
            TypeError: it is no amount of money.
        """
        if isinstance(self.cost, int):
            return Usage(self.cost, 0, 1)
        return Usage(micro_usd(self.cost(arguments)), 0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A governed function and all that its decorators say. Frozen; decorating again replaces it.

    Attributes:
        function: The undecorated callable.
        facts: What policy sees.
        parameters: How its arguments are read.
        price: What a call costs.
        approvals: What its decorators want approved.
        shadow: The stand-in for a withheld call, a value or a function of the arguments.
        declared: Whether ``@governed_tool`` itself was applied.
        priced: Whether ``@budget`` was applied.
        isolation: ``process`` where each call has a process of its own.
    """

    function: Callable[..., Any]
    facts: ToolFacts
    parameters: ReadsArguments
    price: Price = field(default_factory=Price)
    approvals: tuple[ApprovalRule, ...] = ()
    shadow: Any = MISSING
    declared: bool = False
    priced: bool = False
    isolation: str | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """Where the function is defined: what tells two tools of one name apart."""
        function = innermost(self.function)
        name = str(getattr(function, "__qualname__", type(function).__qualname__))
        if name.endswith("<lambda>"):  # all of a module's are called so
            name += f" in line {function.__code__.co_firstlineno}"
        return str(getattr(function, "__module__", "")), name

    def __str__(self) -> str:
        return ".".join(self.identity)


def checked_name(value: object, *, what: str) -> str:
    """`value` as a tool's or resource's name.

    Raises:
        ConfigError: it is no name.
    """
    if type(value) is not str or not _NAME.fullmatch(value):
        msg = (
            f"{what} {value!r} is no name: letters, digits and `_ . : / -` are allowed, "
            "128 characters at most, beginning with a letter, a digit or `_`"
        )
        raise ConfigError(msg)
    return value


def checked_words(values: Iterable[str], *, what: str) -> tuple[str, ...]:
    """`values` as sorted, distinct words.

    Raises:
        ConfigError: one of them is no word, or a single string was given for them.
    """
    if isinstance(values, str):
        msg = f'{what}: a collection of words is needed, as {{"{values}"}}, not one string'
        raise ConfigError(msg)
    words = set(values)
    for word in words:
        if type(word) is not str or not _WORD.fullmatch(word):
            msg = (
                f"{what}: {word!r} is no word: lower-case letters, digits and `_ . : -` are allowed"
            )
            raise ConfigError(msg)
    return tuple(sorted(words))


def checked_labels(values: Iterable[str]) -> tuple[str, ...]:
    """`values` as a tool's labels.

    Raises:
        ConfigError: one is no word, or looks like a misspelt one of those that the policy
            library knows: it would silently not be asked about.
    """
    labels = checked_words(values, what="governed_tool: labels")
    for label in labels:
        for meant in get_close_matches(label, KNOWN_LABELS - set(labels), n=1, cutoff=_CLOSE):
            msg = (
                f"governed_tool: labels: `{label}` is not `{meant}`, which policies know; "
                "correct it, or choose a word that nobody takes for it"
            )
            raise ConfigError(msg)
    return labels


def checked_groups(approvers: str | Iterable[str]) -> tuple[str, ...]:
    """The approver groups that `approvers` names: one name or several.

    Raises:
        ConfigError: there is none, or one is no name.
    """
    names = (approvers,) if isinstance(approvers, str) else tuple(approvers)
    if not names:
        msg = "requires_approval: `approvers` names nobody who could answer"
        raise ConfigError(msg)
    return tuple(dict.fromkeys(checked_name(name, what="approver group") for name in names))


def seconds_of(duration: int | str, *, what: str) -> int:
    """Whole seconds of a duration, given as seconds or as ``"30s"``, ``"15m"``, ``"4h"``, ``"2d"``.

    Raises:
        ConfigError: it is no duration between a second and a year.
    """
    seconds = 0
    if type(duration) is int:
        seconds = duration
    elif isinstance(duration, str) and (match := _DURATION.fullmatch(duration)):
        seconds = int(match[1]) * _SECONDS[match[2]]
    if not 1 <= seconds <= _LONGEST:
        msg = (
            f"{what} {duration!r} is no duration: whole seconds, or "
            '"30s", "15m", "4h", "2d" (a year at most)'
        )
        raise ConfigError(msg)
    return seconds
