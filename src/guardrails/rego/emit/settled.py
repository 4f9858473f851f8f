"""Rules that depend on nothing but data that is known: they are worked out while compiling.

What is done here is what the compiled rule would do, by its own functions. A rule that fails is
left to fail where it is asked for, and one that may be long at work is left to the evaluation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from guardrails.rego.emit import residual
from guardrails.rego.emit.abstract import Known
from guardrails.rego.emit.artefact import Artefact
from guardrails.rego.emit.linking import always as value_of
from guardrails.rego.emit.program import Program
from guardrails.rego.emit.uses import reached
from guardrails.rego.values import UNDEFINED, RegoSet

if TYPE_CHECKING:
    from guardrails.rego.emit.program import Emitted, Lookup
    from guardrails.rego.emit.unit import Unit


def always(unit: Unit, lookup: Lookup) -> Known | None:
    """The value of the rule of `lookup`, which has no path; None if it is not worked out here."""
    by_name = {each.name: each for each in unit.functions.values()}
    rule = by_name[lookup.function]
    called = reached(unit, [rule]) | {rule.name}
    functions = tuple(each for name, each in by_name.items() if name in called)
    if not all(map(_is_short, functions)):
        return None
    program = Program(
        functions,
        {},
        tuple(unit.constants.values()),
        {},
        len(unit.places),
        {},
        {},
        {name: each for name, each in unit.lookups.items() if each.function in called},
    )
    try:
        artefact = Artefact.from_program(program)
        value = value_of(artefact, unit.data, lookup, strict=unit.strict)
    except Exception:  # noqa: BLE001  # it ends so where it is asked for, too
        return None
    if value is UNDEFINED:
        return None
    if rule.raw:
        value = RegoSet(value.values())
    return Known(value) if unit.is_small(value) else None


def _is_short(emitted: Emitted) -> bool:
    """Whether a function does no more than go through some constants."""
    for node in residual.walk(emitted.body):
        if any(map(_CALLS.search, residual.texts(node))):
            return False
        if isinstance(node, residual.For) and any(
            isinstance(inner, residual.For) or any(map(_CALLED.search, residual.texts(inner)))
            for inner in residual.walk(node.body.body)
        ):
            return False
    return True


_CALLS: Final = re.compile(r"\b[BT][0-9]+\b")
"""A builtin that has no form, or a table of functions."""

_CALLED: Final = re.compile(r"\b[FL][0-9]+\b")
