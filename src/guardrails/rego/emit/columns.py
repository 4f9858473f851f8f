"""Sets of objects with the same names: their members are told apart by the values alone.

The key form of an object pairs its names with its values. Where all members of a set have the
same names, and nobody looks for a member by its key, the tuple of the values does as well, and
takes a fraction of the time to make.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from guardrails.rego.emit import residual
from guardrails.rego.emit.residual import Do, For, If, Return, Set
from guardrails.rego.values import ARRAY_TAG, OBJECT_TAG

if TYPE_CHECKING:
    from guardrails.rego.emit.residual import Body, Node, Text

    Adding = tuple[Do, dict[Text, Text], Text]
    """Where a member is added, the values of its key by their names, and the member."""


def columns(nodes: Body) -> None:
    """Give the members of such sets the shorter keys, in place."""
    added: dict[str, list[Adding]] = {}
    other: set[str] = set()
    for node in residual.walk(nodes):
        adding = _adding(node)
        if adding is not None:
            added.setdefault(adding[0], []).append(adding[1])
        for text in residual.texts(node)[:1] if adding is None else ():
            other.update(name for name in residual.names(text) if not _goes_through(node, name))
    for name, members in added.items():
        names = {tuple(sorted(key)) for _, key, _ in members}
        if name not in other and len(names) == 1 and _is_made_here(nodes, name):
            _shorten(name, members)


def _adding(node: Node) -> tuple[str, Adding] | None:
    """The set that `node` adds to, and what it adds."""
    if not isinstance(node, Do) or ".setdefault((" not in node.value:
        return None
    match ast.parse(node.value, mode="eval").body:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name), attr="setdefault"),
            args=[
                ast.Tuple(
                    elts=[
                        ast.Constant(value=tag),
                        ast.Call(func=ast.Name(id="frozenset"), args=[pairs]),
                    ]
                ),
                member,
            ],
        ) if tag == OBJECT_TAG and isinstance(pairs, ast.Tuple) and pairs.elts:
            key = {}
            for pair in pairs.elts:
                match pair:
                    case ast.Tuple(elts=[name_of, value]):
                        key[ast.unparse(name_of)] = ast.unparse(value)
                    case _:
                        return None
            return name, (node, key, ast.unparse(member))
    return None


def _goes_through(node: Node, name: str) -> bool:
    """Whether `node` uses the set `name` in a way in which its keys do not show."""
    match node:
        case If(condition=condition):
            return condition == name
        case For(source=source):
            return source == f"{name}.values()"
        case Set(value=value) | Return(value=value):
            ordered = re.search(rf"\b(?:arranged|members)\({name}[,)]", value)
            return ordered is not None and residual.names(value).count(name) == 1
    return False


def _is_made_here(nodes: Body, name: str) -> bool:
    """Whether the set begins empty wherever it begins."""
    return all(
        isinstance(node, Set) and node.value == "{}"
        for node in residual.walk(nodes)
        if name in residual.assigned(node)
    )


def _shorten(name: str, members: list[Adding]) -> None:
    columns = sorted(members[0][1])
    for column in columns:
        arrays = [_ARRAY.fullmatch(key[column]) for _, key, _ in members]
        if all(arrays):
            for (_, key, _), array in zip(members, arrays, strict=True):
                key[column] = array[1]  # type: ignore[index]  # all matched
    for node, key, member in members:
        values = ", ".join(key[column] for column in columns)
        node.value = f"{name}.setdefault(({values},), {member})"


_ARRAY: Final = re.compile(rf"\({ARRAY_TAG}, (tuple\(\w+\))\)")
