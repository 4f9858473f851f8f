"""What is done where it turns out, in place of a flag that is asked for behind.

``every`` and ``not`` leave flags behind: whether a loop found something, whether a condition
held. Where one place asks for such a flag and does little, it is done on the spot.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING

from guardrails.rego.emit import residual
from guardrails.rego.emit.conditions import negated
from guardrails.rego.emit.residual import Do, For, If, Set, Stop

if TYPE_CHECKING:
    from guardrails.rego.emit.residual import Body, Node, Text
    from guardrails.rego.emit.unit import Unit


def branches(unit: Unit, nodes: Body) -> None:
    """Do what can be done on the spot, in place."""
    uses = Counter(
        name
        for node in residual.walk(nodes)
        for text in residual.texts(node)
        for name in residual.names(text)
    )
    for body in list(residual.bodies(nodes)):
        place = 0
        while place + 2 < len(body):
            first, second, third = body[place : place + 3]
            flag = _flag(unit, first, third, uses)
            if (
                flag
                and isinstance(third, If)
                and (
                    _is_either_way(second, third, flag)
                    or (isinstance(second, For) and _is_found(second, third, flag))
                )
            ):
                del body[place + 2], body[place]
                place = max(place - 1, 0)
            else:
                place += 1


def _flag(unit: Unit, first: Node, third: Node, uses: Counter[str]) -> Text:
    """The flag that is set in between, if `third` alone asks for it and does little; else ""."""
    if not isinstance(first, Set) or first.value != "U" or uses[first.name] != 1:
        return ""
    if not isinstance(third, If) or third.orelse or len(third.body) != 1:
        return ""
    (does,) = third.body
    if not isinstance(does, Do) or not does.idempotent or unit.may_raise(does.value):
        return ""
    return first.name if first.name in residual.names(third.condition) else ""


def _is_either_way(second: Node, third: If, flag: Text) -> bool:
    """``a = U; if c: …; if d: a = True``, then ``if a is U: e``: e in the two other ways."""
    if not isinstance(second, If) or second.orelse or third.condition != f"{flag} is U":
        return False
    last = second.body[-1] if second.body else None
    inside = list(residual.walk([second]))
    if sum(flag in residual.assigned(each) for each in inside) != 1:
        return False
    if not isinstance(last, If) or last.orelse or not _sets(last.body, flag):
        return False
    if any(isinstance(each, residual.Jump | Stop | residual.Return) for each in _outside(second)):
        return False
    last.condition, last.body = negated(last.condition), third.body
    second.orelse = copy.deepcopy(third.body)
    return True


def _outside(node: If) -> list[Node]:
    """What stands in `node`, but for what stands in loops."""
    found: list[Node] = []
    waiting: list[Node] = list(node.body)
    while waiting:
        each = waiting.pop()
        found.append(each)
        if not isinstance(each, For):
            waiting.extend(inner for body in residual.children(each) for inner in body)
    return found


def _is_found(second: For, third: If, flag: Text) -> bool:
    """``b = U; for …: if c: b = True``, then ``if b is not U: e``: e where c holds."""
    if third.condition != f"{flag} is not U":
        return False
    setting = [
        (body, place)
        for body in residual.bodies(second.body.body)
        for place, each in enumerate(body)
        if flag in residual.assigned(each)
    ]
    if len(setting) != 1:
        return False
    body, place = setting[0]
    if not _sets(body[place : place + 1], flag):
        return False
    changing = {name for each in residual.walk([second]) for name in residual.assigned(each)}
    if any(
        set(residual.names(text)) & changing for each in third.body for text in residual.texts(each)
    ):
        return False
    body[place : place + 1] = third.body
    return True


def _sets(body: Body, flag: Text) -> bool:
    return [(each.name, each.value) for each in body if isinstance(each, Set)] == [
        (flag, "True")
    ] and len(body) == 1
