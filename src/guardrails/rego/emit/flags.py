"""Conditions that were kept in a flag, drawn to where the flag is asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from guardrails.rego.emit import residual
from guardrails.rego.emit.conditions import negated
from guardrails.rego.emit.residual import If, Set

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from guardrails.rego import ir
    from guardrails.rego.emit.residual import Body, Node
    from guardrails.rego.emit.unit import Unit


def draw_in_flag(unit: Unit, before: Body, node: If, uses: Counter[str]) -> None:
    """Draw the condition under which a flag was set into the place that asks for it.

    ``n = True; if a: n = False; if n: body`` is ``if not (a): body``, and so for a value that
    is there or not.
    """
    asked = re.fullmatch(r"(not )?([a-z]\d+)( is U| is not U)?", node.condition)
    if asked is None or (asked[1] and asked[3]):
        return
    name = asked[2]
    place = _setting(unit, before, name) if uses[name] == 1 else None
    if place is None:
        return
    setting = before[place]
    start = _start(before[:place], name)
    if start is None:
        return
    pair = (before[start].value, setting.body[0].value)  # type: ignore[attr-defined]  # both Set
    wanted = _BY_FLAG.get(((asked[1] or asked[3] or "").strip(), *pair))
    if wanted is None:
        return
    condition = setting.condition  # type: ignore[attr-defined]  # an If, which has one
    where = joint_place([setting, *before[start : start + 1]])
    node.condition = condition if wanted else negated(condition)
    if residual.fallible(condition) and where is not None:
        node.where = where
    del before[place]
    del before[start]
    uses[name] = 0


def joint_place(nodes: Sequence[Node]) -> ir.Location | None:
    """The place of the one that may fail; None if several may that stand in different ones."""
    found = [
        node.where
        for node in nodes
        if any(residual.fallible(text) for text in residual.texts(node))
    ]
    if any(where != found[0] for where in found):
        return None
    return found[0] if found else nodes[0].where


def begins(node: Node) -> bool:
    """Whether `node` gives a local its first value, which is always there."""
    return isinstance(node, Set) and node.value in _FIRST


def _setting(unit: Unit, before: Body, name: str) -> int | None:
    """Where `name` is set under a condition that may as well be asked behind `before`."""
    assigned: set[str] = set()
    read: set[str] = set()
    for place in range(len(before) - 1, -1, -1):
        node = before[place]
        inside = list(residual.walk([node]))
        if any(name in residual.assigned(each) for each in inside):
            given = node.body[0] if isinstance(node, If) and len(node.body) == 1 else None
            if not isinstance(node, If) or not isinstance(given, Set) or node.orelse:
                return None
            condition = node.condition
            if set(residual.names(condition)) & assigned or set(residual.assigned(node)) & read:
                return None
            moved = not all(map(begins, before[place + 1 :]))
            return None if moved and unit.may_raise(condition) else place
        for each in inside:
            assigned.update(residual.assigned(each))
            for text in residual.texts(each):
                read.update(residual.names(text))
    return None


_FIRST: Final = frozenset({"{}", "U", "True", "False"})

_BY_FLAG: Final = {
    ("", "True", "False"): False,
    ("", "False", "True"): True,
    ("not", "True", "False"): True,
    ("not", "False", "True"): False,
    ("is U", "U", "True"): False,
    ("is U", "U", "False"): False,
    ("is not U", "U", "True"): True,
    ("is not U", "U", "False"): True,
}


def _start(before: Body, name: str) -> int | None:
    """Where `name` gets its first value; None where something else gives it one, too."""
    for place in range(len(before) - 1, -1, -1):
        node = before[place]
        if isinstance(node, Set) and node.name == name:
            return place
        if any(name in residual.assigned(each) for each in residual.walk([node])):
            return None
    return None


__all__ = ["begins", "draw_in_flag", "joint_place"]
