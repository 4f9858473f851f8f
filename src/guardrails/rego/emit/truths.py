"""Sets of which nobody asks more than whether they are empty, and questions already answered.

A rule that adds one text to a set, as ``deny`` of most rule packages, is asked for no more than
whether it did. Such a set becomes True or False.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from guardrails.rego.emit import residual
from guardrails.rego.emit.residual import Do, For, If, Set

if TYPE_CHECKING:
    from collections.abc import Collection

    from guardrails.rego.emit.residual import Body, Node, Text
    from guardrails.rego.emit.unit import Unit


def truths(unit: Unit, nodes: Body) -> None:
    """Make `nodes` ask less, in place."""
    _join_names(nodes, nodes)
    _as_booleans(unit, nodes)
    _answer(nodes, frozenset())


# One name for one set.


def _join_names(nodes: Body, whole: Body) -> None:
    """``b = {}; if c: a = {}; b = a; …a…`` is ``b = {}; if c: …b…``."""
    for place, node in enumerate(nodes):
        if isinstance(node, Set) and node.value == "{}":
            _join_name(node.name, nodes[place + 1 :], whole)
        for body in residual.children(node):
            _join_names(body, whole)


def _join_name(name: str, behind: Body, whole: Body) -> None:
    for node in behind:
        if any(_touches(each, name) for each in residual.walk([node])):
            if isinstance(node, If) and not node.orelse and not _touches(node, name):
                _rename_in(node.body, name, whole)
            return


def _rename_in(body: Body, name: str, whole: Body) -> None:
    for place, (first, second) in enumerate(itertools.pairwise(body)):
        if any(_touches(each, name) for each in residual.walk([first])):
            return
        if not isinstance(first, Set) or first.value != "{}" or not isinstance(second, Set):
            continue
        if (second.name, second.value) != (name, first.name):
            continue
        other = first.name
        times = Counter(each for node in residual.walk(whole) for each in residual.assigned(node))
        rest = list(residual.walk(body[place + 2 :]))
        if times[other] != 1 or any(name in residual.assigned(node) for node in rest):
            return
        del body[place : place + 2]
        for node in residual.walk(whole):
            _replace(node, other, name)
        return


def _touches(node: Node, name: str) -> bool:
    return name in residual.assigned(node) or any(
        name in residual.names(text) for text in residual.texts(node)
    )


def _replace(node: Node, name: str, value: Text) -> None:
    if isinstance(node, Set | Do | residual.Return):
        node.value = re.sub(rf"\b{name}\b", value, node.value)
    elif isinstance(node, If):
        node.condition = re.sub(rf"\b{name}\b", value, node.condition)
    elif isinstance(node, For):
        node.source = re.sub(rf"\b{name}\b", value, node.source)


# From sets to booleans.


def _as_booleans(unit: Unit, nodes: Body) -> None:
    made = {node.name for node in residual.walk(nodes) if isinstance(node, Set)}
    asked = {name for name in made if name[0] == "v"}
    for node in residual.walk(nodes):
        for name in residual.assigned(node):
            if not isinstance(node, Set) or node.name != name or node.value != "{}":
                asked.discard(name)
        for text in residual.texts(node):
            for name in set(residual.names(text)) & asked:
                if not (_adds(unit, node, name) or _only_asks(node, text, name)):
                    asked.discard(name)
    _to_booleans(nodes, asked)
    _join_booleans(nodes, asked)


def _adds(unit: Unit, node: Node, name: str) -> bool:
    """Whether `node` adds to the set `name`, and does nothing else."""
    if not isinstance(node, Do) or not node.idempotent:
        return False
    method = f"{name}.setdefault("
    rest = node.value.removeprefix(method)
    return rest != node.value and name not in residual.names(rest) and not unit.may_raise(rest)


def _only_asks(node: Node, text: Text, name: str) -> bool:
    """Whether a condition asks for nothing but the truth of `name`."""
    if not isinstance(node, If):
        return False
    return len(re.findall(_TRUTH.format(name), text)) == residual.names(text).count(name)


_TRUTH: Final = (
    r"(?:^|(?<=\band )|(?<=\bor )|(?<=\bnot )|(?<=[^\w]\()|(?<=^\()){}(?=$|\)| and | or )"
)


def _to_booleans(nodes: Body, asked: Collection[str]) -> None:
    for body in residual.bodies(nodes):
        for place, node in enumerate(body):
            if isinstance(node, Set) and node.name in asked:
                node.value = "False"
            elif isinstance(node, Do):
                name = node.value.partition(".")[0]
                if name in asked:
                    body[place] = Set(node.where, name, "True")


def _join_booleans(nodes: Body, booleans: Collection[str]) -> None:
    """``b = False; if a: b = True`` is no more than another name for ``a``."""
    place = 0
    while place + 1 < len(nodes):
        first, second = nodes[place : place + 2]
        name = second.condition if isinstance(second, If) else ""
        if (
            isinstance(first, Set)
            and isinstance(second, If)
            and first.value == "False"
            and first.name in booleans
            and name in booleans
            and not second.orelse
            and [_given(each) for each in second.body] == [(first.name, "True")]
        ):
            behind = list(residual.walk(nodes[place + 2 :]))
            if not any({first.name, name} & set(residual.assigned(each)) for each in behind):
                for each in behind:
                    _replace(each, first.name, name)
                del nodes[place : place + 2]
                continue
        place += 1


def _given(node: Node) -> tuple[str, Text] | None:
    return (node.name, node.value) if isinstance(node, Set) else None


# What is known where it is asked.


def _answer(nodes: Body, known: frozenset[str]) -> None:
    """Leave out questions whether something is true that is known to be.

    Args:
        nodes: The statements.
        known: Locals that are true here. What is in a collection stays in it.
    """
    place = 0
    while place < len(nodes):
        node = nodes[place]
        changed = {name for each in residual.walk([node]) for name in residual.assigned(each)}
        if isinstance(node, If):
            inside = known - set(residual.assigned(node))
            asked = frozenset(node.condition.split(" and "))
            if not node.orelse and asked <= inside:
                nodes[place : place + 1] = node.body
                continue
            simple = re.search(r"[()]| or | if ", node.condition) is None
            answers = {part for part in asked if simple and residual.names(part) == [part]}
            _answer(node.body, inside | answers)
            _answer(node.orelse, inside)
        else:
            for body in residual.children(node):
                _answer(body, known - changed)
        known -= changed
        place += 1
