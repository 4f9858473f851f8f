"""The same program, shorter: nothing that has no effect, conditions in one place.

Each step keeps what the program gives and which error it ends in, if it does.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from guardrails.rego.emit import residual
from guardrails.rego.emit.branches import branches
from guardrails.rego.emit.columns import columns
from guardrails.rego.emit.conditions import shorter
from guardrails.rego.emit.early import stop_early
from guardrails.rego.emit.flags import begins, draw_in_flag, joint_place
from guardrails.rego.emit.residual import Do, For, Group, If, Jump, Node, Return, Set, Slot, Stop
from guardrails.rego.emit.truths import truths

if TYPE_CHECKING:
    from guardrails.rego.emit.residual import Body, Text
    from guardrails.rego.emit.unit import Unit

_LONGEST: Final = 600
"""Characters of a condition beyond which nothing is drawn into it."""


def simplified(unit: Unit, nodes: Body) -> Body:
    """`nodes` without what changes nothing."""
    left = {id(node.group) for node in residual.walk(nodes) if isinstance(node, Jump)}
    nodes = _flat(nodes, left)
    if not unit.settings.optimised:
        return nodes
    for node in residual.walk(nodes):
        if isinstance(node, Group | For):
            group = node.body if isinstance(node, For) else node
            _fall_through(group.body, group)
    left = {id(node.group) for node in residual.walk(nodes) if isinstance(node, Jump)}
    nodes = _flat(nodes, left)
    nodes = _in_rounds(unit, nodes)
    truths(unit, nodes)
    nodes = _in_rounds(unit, nodes)
    columns(nodes)
    _sink(nodes)
    for node in list(residual.walk(nodes)):
        if isinstance(node, For):
            stop_early(unit, node)
    branches(unit, nodes)
    uses = _uses(nodes)
    for node in residual.walk(nodes):
        if isinstance(node, If):
            node.condition = shorter(node.condition, uses)
            node.condition = _WEIGHED.sub(lambda found: _by_type(unit, found), node.condition)
    return nodes


_WEIGHED: Final = re.compile(r"(?<![<>=] )\b(x\d+) (>=|<=|>|<) (K\d+)\b(?! [<>=])")


def _by_type(unit: Unit, found: re.Match[str]) -> Text:
    """A comparison of a number with a whole one, which Python makes a decimal of each time."""
    name, operator, constant = found.groups()
    decimal = unit.as_decimal(constant)
    if decimal is None:
        return found[0]
    return f"({found[0]} if type({name}) is int else {name} {operator} {decimal})"


def _fall_through(body: Body, group: Group) -> None:
    """Leave out jumps behind `group` from where its code ends anyway."""
    last = body[-1] if body else None
    if isinstance(last, Jump) and last.group is group:
        body.pop()
    elif isinstance(last, If):
        _fall_through(last.body, group)
        _fall_through(last.orelse, group)


def _in_rounds(unit: Unit, nodes: Body) -> Body:
    """`nodes`, shortened until nothing more is found."""
    for _ in range(_MOST_ROUNDS):
        size = _size(nodes)
        uses = _uses(nodes)
        nodes = _without_idle(unit, nodes, uses)
        uses = _uses(nodes)
        nodes = _folded(unit, nodes, uses)
        if _size(nodes) == size:
            break
    return nodes


def _sink(nodes: Body) -> None:
    """Work out what only one place reads, and no loop, in that place."""
    uses = _uses(nodes)
    for place in range(len(nodes) - 1, -1, -1):
        node = nodes[place]
        if not isinstance(node, Set) or not node.hoisted or uses[node.name] != 1:
            continue
        if _put_in(nodes, node.name, node.value):
            del nodes[place]


def _put_in(nodes: Body, name: str, value: Text) -> bool:
    """Put `value` where `name` is read; whether that was possible."""
    for node in nodes:
        if isinstance(node, For | Group):
            if isinstance(node, For) and name in residual.names(node.source):
                node.source = re.sub(rf"\b{name}\b", value, node.source)
                return True
            continue
        for text in residual.texts(node)[:1]:
            if name in residual.names(text):
                given = re.sub(rf"\b{name}\b", value, text)
                if isinstance(node, If):
                    node.condition = given
                elif isinstance(node, Set | Do | Return):
                    node.value = given
                return True
        for body in residual.children(node):
            if _put_in(body, name, value):
                return True
    return False


_MOST_ROUNDS: Final = 12


def _size(nodes: Body) -> int:
    return sum(1 for _ in residual.walk(nodes))


def _uses(nodes: Body) -> Counter[str]:
    """How often each local is read."""
    return Counter(
        name
        for node in residual.walk(nodes)
        for text in residual.texts(node)
        for name in residual.names(text)
    )


def _flat(nodes: Body, left: set[int]) -> Body:
    """`nodes` without slots, and without groups that no jump leaves."""
    found: Body = []
    for node in nodes:
        if isinstance(node, Slot) or (isinstance(node, Group) and id(node) not in left):
            found += _flat(node.body, left)
            continue
        if isinstance(node, If):
            node.body, node.orelse = _flat(node.body, left), _flat(node.orelse, left)
        elif isinstance(node, Group):
            node.body = _flat(node.body, left)
        elif isinstance(node, For):
            node.body.body = _flat(node.body.body, left)
        found.append(node)
        if isinstance(node, Jump | Return | Stop):
            break  # nothing behind it is reached
    return found


def _without_idle(  # noqa: C901, PLR0912  # one branch a kind of statement
    unit: Unit, nodes: Body, uses: Counter[str]
) -> Body:
    """`nodes` without values that nobody reads and conditions that decide nothing."""
    found: Body = []
    skip = -1
    for place, node in enumerate(nodes):
        if place == skip:
            continue
        if isinstance(node, Set) and _is_kept_for_nobody(unit, node, nodes[place + 1 :], uses):
            skip = place + 1
            continue
        if isinstance(node, Set) and residual.names(node.name) == [node.name]:
            if not uses[node.name]:
                if unit.may_raise(node.value) and not _is_weighed(node, nodes[place + 1 :]):
                    found.append(Do(node.where, node.value))
                continue
            if node.value == node.name:
                continue
            before = found[-1] if found else None
            if (
                isinstance(before, Set)
                and before.name == node.name
                and node.name not in residual.names(node.value)
                and not unit.may_raise(before.value)
            ):
                found.pop()
        elif isinstance(node, If):
            node.body = _without_idle(unit, node.body, uses)
            node.orelse = _without_idle(unit, node.orelse, uses)
            if not node.body and not node.orelse:
                if unit.may_raise(node.condition):
                    found.append(Do(node.where, node.condition))
                continue
        elif isinstance(node, For):
            node.body.body = _without_idle(unit, node.body.body, uses)
            if not node.body.body:
                if unit.may_raise(node.source):
                    found.append(Do(node.where, node.source))
                continue
        elif isinstance(node, Group):
            node.body = _without_idle(unit, node.body, uses)
            if not node.body:
                continue
        elif isinstance(node, Do) and not unit.may_raise(node.value) and _is_pure(node.value):
            continue
        found.append(node)
    return found


def _is_kept_for_nobody(unit: Unit, node: Set, behind: Body, uses: Counter[str]) -> bool:
    """Whether `node` begins the call of a rule that goes through the memo, and is not read."""
    work = behind[0] if behind else None
    return (
        isinstance(work, If)
        and work.condition == f"{node.name} is N"
        and uses[node.name] == _KEEPING
        and not any(
            unit.may_raise(text)
            for each in residual.walk(work.body)
            for text in residual.texts(each)
        )
    )


_KEEPING: Final = 2
"""How often a value is read only to be kept in the memo."""


def _is_weighed(node: Set, behind: Body) -> bool:
    """Whether the same difference is worked out right behind `node`, or what is needed of it."""
    if not node.value.startswith("difference(") or not behind:
        return False
    wanted = [node.value.replace("difference(", helper, 1) for helper in ("gap(", "covers(")]
    return any(each in text for text in residual.texts(behind[0]) for each in wanted)


def _is_pure(text: Text) -> bool:
    return re.search(r"\.(?:add|append|setdefault|__setitem__)\(", text) is None


def _folded(unit: Unit, nodes: Body, uses: Counter[str]) -> Body:
    """`nodes` with conditions drawn together, and without flags that only say how one went."""
    found: Body = []
    for node in nodes:
        for body in residual.children(node):
            body[:] = _folded(unit, body, uses)
        _hand_on(found, node, uses)
        if isinstance(node, If) and not node.orelse:
            _draw_in(node, uses)
            if _is_otherwise(found, node):
                continue
            if _is_copy(found, node):
                continue
            draw_in_flag(unit, found, node, uses)
            if _is_either(unit, found, node, uses):
                continue
        if isinstance(node, Return) and _is_given_back(found, node):
            continue
        found.append(node)
    return found


def _hand_on(before: Body, node: Node, uses: Counter[str]) -> None:
    """``a = b; c = … a …`` is ``c = … b …``, where nothing else reads a."""
    place = len(before) - 1
    passed = set()
    while place > 0 and begins(before[place]):
        passed.update(residual.assigned(before[place]))
        place -= 1
    last = before[place] if before else None
    if not isinstance(last, Set) or uses[last.name] != 1 or last.hoisted:
        return
    if passed & {last.name, *residual.names(last.value)}:
        return
    if not isinstance(node, Set | Do | Return | If):
        return
    text = residual.texts(node)[0]
    if last.name not in residual.names(text):
        return
    where = joint_place([last, node])
    if where is None:
        return
    given = re.sub(rf"\b{last.name}\b", last.value, text)
    if text != last.name and re.fullmatch(r"\w+", last.value) is None:
        # What is worked out there before it must not end in another error first.
        failing = residual.fallible(last.value) or len(text) + len(last.value) > _LONGEST
        first = None if failing else with_assignment(text, last.name, last.value, 1)
        if first is None:
            return
        given = first
    node.where = where
    if isinstance(node, If):
        node.condition = given
    else:
        node.value = given
    del before[place]


def _is_otherwise(before: Body, node: If) -> bool:
    """``v = U; if a: v = x; if v is U: v = y`` is ``if a: v = x; else: v = y``, if x is defined."""
    if not before[:-1] or not node.body:
        return False
    first, second, last = before[-2], before[-1], node.body[-1]
    if not isinstance(first, Set) or first.value != "U" or not isinstance(second, If):
        return False
    name = first.name
    given = second.body[-1] if second.body and not second.orelse else None
    if not isinstance(given, Set) or given.name != name or given.value[:1] not in "{[K":
        return False
    if node.condition != f"{name} is U" or not isinstance(last, Set) or last.name != name:
        return False
    inner = [*residual.walk(second.body[:-1]), *residual.walk(node.body[:-1])]
    if any(name in residual.assigned(each) for each in inner) or name in residual.names(
        second.condition
    ):
        return False
    if any(name in residual.names(text) for each in inner for text in residual.texts(each)):
        return False
    second.orelse = node.body
    before[-2:] = [second]
    return True


def _is_copy(before: Body, node: If) -> bool:
    """``v = U; if t is not U: v = t`` is ``v = t``."""
    first = before[-1] if before else None
    given = node.body[0] if len(node.body) == 1 else None
    if not isinstance(first, Set) or not isinstance(given, Set) or first.value != "U":
        return False
    if first.name != given.name or node.condition != f"{given.value} is not U":
        return False
    first.value = given.value
    return True


def _is_given_back(before: Body, node: Return) -> bool:
    """``if v is not U: return v; return U`` is ``return v``; and so where v has two values."""
    last = before[-1] if before else None
    if isinstance(last, If) and last.orelse and re.fullmatch(r"[a-z]\d+", node.value):
        one, two = last.body[-1] if last.body else None, last.orelse[-1]
        if isinstance(one, Set) and isinstance(two, Set) and one.name == two.name == node.value:
            last.body[-1] = Return(one.where, one.value)
            last.orelse[-1] = Return(two.where, two.value)
            return True
    given = last.body[0] if isinstance(last, If) and len(last.body) == 1 else None
    if not isinstance(last, If) or last.orelse or not isinstance(given, Return):
        return False
    if node.value != "U" or last.condition != f"{given.value} is not U":
        return False
    before[-1] = given
    return True


def _is_either(unit: Unit, before: Body, node: If, uses: Counter[str]) -> bool:
    """``if a: v = x; if b: v = x`` is ``if a or b: v = x``, where b cannot fail."""
    last = before[-1] if before else None
    if not isinstance(last, If) or last.orelse or len(last.body) != 1 or len(node.body) != 1:
        return False
    one, two = last.body[0], node.body[0]
    if not isinstance(one, Set) or not isinstance(two, Set):
        return False
    if (one.name, one.value) != (two.name, two.value) or residual.names(one.value):
        return False
    # Asked only where the first did not hold, it may fail as it may behind an `or`.
    asked = f"{one.name} is U and "
    condition = node.condition.removeprefix(asked)
    first = condition == node.condition
    if (first and unit.may_raise(condition)) or one.name in residual.names(condition):
        return False
    where = joint_place([last, node])
    if where is None or residual.fallible(last.condition):
        return False
    own = Counter(residual.names(condition))
    if any(uses[name] > own[name] for name in residual.assigned(node)):
        return False
    condition = f"{_operand(last.condition)} or {_operand(condition)}"
    if len(condition) > _LONGEST:
        return False
    last.condition, last.where = condition, where
    return True


def _draw_in(outer: If, uses: Counter[str]) -> None:
    """``if a: t = e; if t …: body`` as ``if a and (t := e) …: body``."""
    while outer.body and isinstance(outer.body[-1], If) and not outer.body[-1].orelse:
        inner = outer.body[-1]
        condition = inner.condition
        for node in reversed(outer.body[:-1]):
            if not isinstance(node, Set) or residual.names(node.name) != [node.name]:
                return
            drawn = with_assignment(condition, node.name, node.value, uses[node.name])
            if drawn is None:
                return
            condition = drawn
        where = joint_place([outer, *outer.body[:-1], inner])
        condition = f"{_operand(outer.condition)} and {_operand(condition)}"
        if len(condition) > _LONGEST or where is None:
            return
        outer.condition, outer.body, outer.where = condition, inner.body, where


def with_assignment(condition: Text, name: str, value: Text, uses: int) -> Text | None:
    """`condition`, giving `name` its value where it is first read; None if that is not sure."""
    place = re.search(rf"\b{name}\b", condition)
    if name[0] != "t":
        return None  # others may be read behind the condition, whichever way it goes
    if place is None or f"({name} :=" in condition:
        return None
    before = condition[: place.start()]
    if re.search(r" (?:and|or|if|else) ", before) or " if " in condition:
        return None
    # What is evaluated before it must not be what it changes: these are all locals.
    given = f"({value})" if uses == 1 else f"({name} := {value})"
    if uses == 1 and (re.fullmatch(r"[\w.\[\]]+(?:\([\w., \[\]]*\))?", value)):
        given = value
    return f"{before}{given}{condition[place.end() :]}"


def _operand(condition: Text) -> Text:
    outside = condition
    while (inner := _IN_PARENTHESES.sub("", outside)) != outside:
        outside = inner
    return f"({condition})" if re.search(r" (?:or|if) ", outside) else condition


_IN_PARENTHESES: Final = re.compile(r"\([^()]*\)")
