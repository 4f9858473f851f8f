"""What a builtin function is: its entry in the table, its errors, what it may ask its evaluation.

A builtin is pure: Rego values in, a Rego value (or
:data:`~guardrails.rego.values.UNDEFINED`) out, no argument changed. The few
that are not functions of their arguments alone (the time, random numbers)
take an :class:`EvaluationContext`, which answers the same question the same
way for the whole of one evaluation.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from guardrails.rego.values import Key, Value

Function: TypeAlias = "Callable[..., Value]"

LARGEST_RANGE: Final = 1_000_000
"""Items that ``numbers.range`` may make, unless the context says otherwise."""


class BuiltinError(Exception):
    """A builtin refused its arguments; undefined in OPA, an error where builtin errors are strict.

    Args:
        message: What was wrong, in OPA's words where it has some.

    Attributes:
        code: OPA's code for this kind of error.
        builtin: The name of the builtin, set where it leaves the builtin.
    """

    code: ClassVar[str] = "eval_builtin_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.builtin = ""

    def __str__(self) -> str:
        return f"{self.builtin}: {self.message}" if self.builtin else self.message


class BuiltinTypeError(BuiltinError):
    """An argument has a type or form that the builtin does not take."""

    code = "eval_type_error"


class EvaluationContext:
    """What the builtins of one evaluation share: one time, one source of randomness, their limits.

    Args:
        clock: Gives the time in nanoseconds since 1970; read once, at first use.
        random: The source of ``rand.intn`` and ``uuid.rfc4122``.
        largest_range: Items that ``numbers.range`` may make.
    """

    __slots__ = ("_clock", "_now_ns", "_random", "integers", "largest_range", "uuids")

    def __init__(
        self,
        clock: Callable[[], int] = time.time_ns,
        *,
        random: Random | None = None,
        largest_range: int = LARGEST_RANGE,
    ) -> None:
        self._clock = clock
        self._now_ns: int | None = None
        self._random = random
        self.largest_range = largest_range
        self.uuids: dict[Key, str] = {}
        self.integers: dict[tuple[str, int], int] = {}

    @property
    def now_ns(self) -> int:
        """Nanoseconds since 1970, the same throughout the evaluation."""
        if self._now_ns is None:
            self._now_ns = self._clock()
        return self._now_ns

    @property
    def random(self) -> Random:
        """The source of randomness: the operating system's, unless one was given."""
        if self._random is None:
            self._random = SystemRandom()
        return self._random


@dataclass(frozen=True, slots=True)
class Builtin:
    """One builtin function.

    Attributes:
        name: Its name in Rego, as ``array.concat``.
        arity: How many arguments it takes.
        call: Takes the arguments, after the context if `needs_context`. Refuses them with a
            :class:`BuiltinError`, which then names the builtin.
        needs_context: Whether `call` wants an :class:`EvaluationContext` first.
        extra: The extra of this distribution that brings the packages `call` imports at its
            first use; empty where it needs none. A policy that calls it without them is refused
            where it is loaded.
    """

    name: str
    arity: int
    call: Function
    needs_context: bool = False
    extra: str = ""

    def named(self, name: str) -> Builtin:
        """The same function under another name, as OPA keeps some for old policies."""
        function: Function = getattr(self.call, "__wrapped__", self.call)
        return replace(self, name=name, call=_guarded(name, function))


def builtin(
    name: str, *, arity: int, needs_context: bool = False, extra: str = ""
) -> Callable[[Function], Builtin]:
    """A decorator that makes a function the builtin `name`.

    The families' modules hold the builtins as attributes; the package collects
    them into one table that nobody can change.
    """

    def make(function: Function) -> Builtin:
        return Builtin(name, arity, _guarded(name, function), needs_context, extra)

    return make


def _guarded(name: str, function: Function) -> Function:
    """`function`, whose refusals are :class:`BuiltinError` with the name of the builtin.

    Other faults leave it as they are, also a lack of room: they are not about the arguments,
    so no evaluation may take them for undefined.
    """

    @functools.wraps(function)
    def call(*arguments: Any) -> Value:
        try:
            return function(*arguments)
        except BuiltinError as error:
            error.builtin = name
            raise
        except (ArithmeticError, ValueError) as error:
            # What numbers and texts Python cannot work with, the builtin refuses.
            failure = BuiltinError(str(error) or type(error).__name__)
            failure.builtin = name
            raise failure from error

    return call
