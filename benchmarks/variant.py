"""One way to make the decisions of a workload, and the check that all ways decide alike."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from guardrails.rego.values import UNDEFINED, equal, from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.workload import Case

Decide: TypeAlias = "Callable[[Any], Any]"
"""Gives the decision about one input."""


class NotThereError(Exception):
    """A variant cannot run here: its package, its server or its code is not there."""


class DisagreementError(Exception):
    """Two variants that should do the same work decide differently, or one changes its input."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to decide.

    Attributes:
        name: Its row in the tables.
        bind: For an input, the callable that decides and the argument that it takes; what this
            does (choose a specialised program, convert a document) is not timed.
        answer: A decision as plain JSON values, so that different engines compare.
        remark: What differs from the others, if anything does.
    """

    name: str
    bind: Callable[[Mapping[str, Any]], tuple[Decide, Any]]
    answer: Callable[[Any], Any]
    remark: str = ""


def _unchanged(value: Any) -> Any:
    return value


def variant(
    name: str,
    decide: Decide,
    *,
    prepare: Callable[[Mapping[str, Any]], Any] = _unchanged,
    answer: Callable[[Any], Any] = _unchanged,
    remark: str = "",
) -> Variant:
    """A variant that decides about every input by one function.

    Args:
        name: Its row in the tables.
        decide: Takes what `prepare` gives, and is timed.
        prepare: Gives an input in the form that `decide` takes; not timed.
        answer: See :class:`Variant`.
        remark: See :class:`Variant`.
    """
    return Variant(name, lambda input: (decide, prepare(input)), answer, remark)


def check_agreement(variants: Sequence[Variant], cases: Iterable[Case]) -> None:
    """Nothing, if all variants give equal answers on all cases and leave the inputs as they are.

    Raises:
        DisagreementError: they do not; the message has both answers.
    """
    for case in cases:
        before = copy.deepcopy(case.input)
        expected = None
        for each in variants:
            decide, argument = each.bind(case.input)
            found = each.answer(decide(argument))
            if case.input != before:
                msg = f"`{each.name}` changes its input `{case.name}`"
                raise DisagreementError(msg)
            if expected is None:
                expected = (each.name, found)
            elif not _same(expected[1], found):
                msg = (
                    f"on `{case.name}` `{expected[0]}` gives {expected[1]!r},"
                    f" and `{each.name}` {found!r}"
                )
                raise DisagreementError(msg)


def _same(one: Any, two: Any) -> bool:
    if one is UNDEFINED or two is UNDEFINED:
        return one is two
    return equal(from_json(one), from_json(two))
