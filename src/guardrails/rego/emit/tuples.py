"""Sets of a few known texts as tuples: nothing is made until there is a member.

What denies adds one text for each of its reasons, and mostly adds none. Where each of the texts
can be added once at most, and the set is asked for no more than whether it is empty and for its
members in order, a tuple does as well: the empty one is there already, and takes no time to make.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from guardrails.rego.emit import residual
from guardrails.rego.emit.residual import Do, For, Group, If, Jump, Return, Set, Stop

if TYPE_CHECKING:
    from guardrails.rego.emit.residual import Body, Node, Text
    from guardrails.rego.emit.unit import Unit

_MANY: Final = 2
"""More often than once, however often."""


def tuples(unit: Unit, nodes: Body) -> None:
    """Keep such sets as tuples, in place."""
    for name in sorted({node.name for node in residual.walk(nodes) if isinstance(node, Set)}):
        if name[0] == "v" and _is_one(unit, nodes, name):
            _as_tuple(nodes, name)


def _is_one(unit: Unit, nodes: Body, name: str) -> bool:
    """Whether the set `name` is made once, and used as this module's first lines say."""
    texts: list[Text] = []
    made = 0
    for node in residual.walk(nodes):
        if name in residual.assigned(node):
            texts += _literal(node) or ()
            made += 1 if _literal(node) is not None else _MANY
        elif (added := _added(node, name)) is not None:
            texts.append(added)
        elif not _is_use(node, name):
            return False
    if made != 1 or not all(map(unit.is_text, texts)):
        return False
    return all(_most(nodes, name, text) < _MANY for text in set(texts))


def _literal(node: Node) -> list[Text] | None:
    """The constants that a set holds where it is made; None if it is not made of constants."""
    if not isinstance(node, Set) or re.fullmatch(r"\{(?:K\d+: K\d+(?:, )?)*\}", node.value) is None:
        return None
    return re.findall(r"(K\d+):", node.value)


def _added(node: Node, name: str) -> Text | None:
    """The constant that `node` adds to the set `name`, and does nothing else."""
    if not isinstance(node, Do) or not node.idempotent:
        return None
    found = re.fullmatch(rf"{name}\.setdefault\((K\d+), \1\)", node.value)
    return None if found is None else found[1]


def _is_use(node: Node, name: str) -> bool:
    """Whether `node` only asks for the truth of `name`, or for its members in order, or not."""
    texts = residual.texts(node)
    if not any(name in residual.names(text) for text in texts):
        return True
    if isinstance(node, If):
        return node.condition in (name, f"not {name}", f"not ({name})")
    if not isinstance(node, Return | Set) or len(texts) > 1:
        return False
    used = residual.names(node.value).count(name)
    return node.value.count(f"sorted({name})") == used


def _most(nodes: Body, name: str, text: Text) -> int:
    """How often `nodes` add `text` to the set `name`, at most."""
    found = 0
    for node in nodes:
        if isinstance(node, If):
            found += max(_most(node.body, name, text), _most(node.orelse, name, text))
        elif isinstance(node, For):
            found += _most_in_rounds(node.body.body, name, text)
        elif isinstance(node, Group):
            found += _most(node.body, name, text)
        elif isinstance(node, Set) and node.name == name:
            found += (_literal(node) or []).count(text)
        elif _added(node, name) == text:
            found += 1
        elif isinstance(node, Jump | Return | Stop):
            return found
    return found


def _most_in_rounds(nodes: Body, name: str, text: Text) -> int:
    """The same of what is done over and over, unless it ends with that."""
    for body in residual.bodies(nodes):
        for place, node in enumerate(body):
            if _added(node, name) == text:
                behind = body[place + 1 :]
                while behind and _added(behind[0], name) is not None:
                    behind = behind[1:]
                if not behind or not isinstance(behind[0], Stop):
                    return _MANY
    # Each place that adds it leaves a loop, which has to be this one.
    inner = [node for node in residual.walk(nodes) if isinstance(node, For | Group)]
    return _MANY if any(_holds(node, name, text) for node in inner) else _most(nodes, name, text)


def _holds(loop: For | Group, name: str, text: Text) -> bool:
    return any(_added(node, name) == text for node in residual.walk([loop]))


def _as_tuple(nodes: Body, name: str) -> None:
    for body in residual.bodies(nodes):
        for place, node in enumerate(body):
            if isinstance(node, Set) and node.name == name:
                held = [f"{text}," for text in _literal(node) or ()]
                node.value = f"({' '.join(held)})"
            elif (text := _added(node, name)) is not None:
                body[place] = Set(node.where, name, f"{name} + ({text},)")
            elif isinstance(node, Return | Set):
                # What has one member is in order.
                given = f"(list({name}) if len({name}) == 1 else sorted({name}))"
                node.value = node.value.replace(f"sorted({name})", given)
