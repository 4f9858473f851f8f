"""Damage to plans: what a broken planner, a truncated file or an attacker could make of one."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

Place = tuple[Any, Any]
"""A container in the document, and a key or index in it."""

JUNK: Final[list[Any]] = [
    *[None, True, False, 0, 1, 2, 3, -1, 7, 2**31, 2**63, -(2**63), 10**30, 1.5, float("nan")],
    *["", "x", "0", "__import__('os')", "\ud800", "\x00", "data", "g0", "input", "a" * 10_000],
    *[[], {}, [[]], [None], {"type": "local", "value": 0}, {"type": "local", "value": 99}],
    *[{"type": "string_index", "value": 0}, {"type": "bool", "value": True}, {"stmts": []}],
    *[{"type": "BreakStmt", "stmt": {"index": 1, "file": 0, "row": 1, "col": 1}}],
]

NAMES: Final = [
    *["AssignVarStmt", "AssignVarOnceStmt", "AssignIntStmt", "BlockStmt", "BreakStmt", "CallStmt"],
    *["CallDynamicStmt", "DotStmt", "EqualStmt", "IsDefinedStmt", "IsUndefinedStmt", "LenStmt"],
    *["MakeArrayStmt", "MakeNullStmt", "MakeNumberIntStmt", "MakeNumberRefStmt", "MakeObjectStmt"],
    *["MakeSetStmt", "NopStmt", "NotStmt", "NotEqualStmt", "ObjectInsertStmt", "ObjectMergeStmt"],
    *["ObjectInsertOnceStmt", "ArrayAppendStmt", "SetAddStmt", "ScanStmt", "WithStmt"],
    *["ResetLocalStmt", "ResultSetAddStmt", "ReturnLocalStmt", "IsArrayStmt", "IsSetStmt", "Stmt"],
]
BUILTINS: Final = ["count", "numbers.range", "plus", "walk", "sprintf", "http.send", "regex.match"]

DEEPEST: Final = 20_000


def damaged(plan: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A copy of `plan` with one to four faults."""
    document = copy.deepcopy(plan)
    for _ in range(chance.randint(1, 4)):
        chance.choice(FAULTS)(document, chance)
    if chance.random() < 0.1:
        # The last one: what is nested that deep Python cannot copy.
        _nest(document, chance)
    return document


def places(document: Any) -> list[Place]:
    """Every place in the document."""
    found: list[Place] = []
    waiting = [document]
    while waiting:
        here = waiting.pop()
        keys: list[Any] = list(here) if isinstance(here, dict) else list(range(len(here)))
        for key in keys:
            found.append((here, key))
            if isinstance(here[key], dict | list):
                waiting.append(here[key])
    return found


def _drop(document: Any, chance: random.Random) -> None:
    container, key = chance.choice(places(document))
    del container[key]


def _replace(document: Any, chance: random.Random) -> None:
    container, key = chance.choice(places(document))
    container[key] = copy.deepcopy(chance.choice(JUNK))


def _move(document: Any, chance: random.Random) -> None:
    """One part of the plan in the place of another; a copy, so that the plan stays a tree."""
    (container, key), (other, name) = (
        chance.choice(places(document)),
        chance.choice(places(document)),
    )
    container[key] = copy.deepcopy(other[name])


def _field(names: frozenset[str], values: Callable[[random.Random], Any]) -> Callable[..., None]:
    def change(document: Any, chance: random.Random) -> None:
        fitting = [place for place in places(document) if place[1] in names]
        if fitting:
            container, key = chance.choice(fitting)
            container[key] = values(chance)

    return change


def _repeat(document: Any, chance: random.Random) -> None:
    """Statements again, or in another order."""
    lists = [each[key] for each, key in places(document) if key == "stmts" and each[key]]
    lists = [each for each in lists if isinstance(each, list)]
    if not lists:
        return
    statements = chance.choice(lists)
    if chance.random() < 0.5:
        chance.shuffle(statements)
    else:
        part = copy.deepcopy(statements)
        statements[len(part) // 2 : len(part) // 2] = part * chance.choice([1, 2, 50])
        del statements[5_000:]


def _nest(document: Any, chance: random.Random) -> None:
    """Blocks within blocks, or arrays within arrays, deeper than any plan has them."""
    depth = chance.choice([5, 90, 101, 500, DEEPEST])
    container, key = chance.choice(places(document))
    inner = container[key]
    where = {"file": 0, "row": 1, "col": 1}
    for _ in range(depth):
        if isinstance(inner, dict) and "stmts" in inner:
            block = {"type": "BlockStmt", "stmt": {"blocks": [inner], **where}}
            inner = {"stmts": [block]}
        else:
            inner = [inner]
    container[key] = inner


_LOCALS: Final = frozenset(
    {"target", "source", "local", "array", "object", "set", "value", "return"}
)

FAULTS: Final[list[Callable[[Any, random.Random], None]]] = [
    _drop,
    _replace,
    _replace,
    _move,
    _move,
    _repeat,
    _field(_LOCALS, lambda chance: chance.choice([0, 1, 2, 3, 4, 5, 8, -1, 2**31 - 1, 2**31])),
    _field(frozenset({"index", "Index"}), lambda chance: chance.choice([0, 1, 2, 3, -1, 10**9])),
    _field(frozenset({"type"}), lambda chance: chance.choice(NAMES)),
    _field(frozenset({"func"}), lambda chance: chance.choice(BUILTINS)),
    _field(frozenset({"row", "col", "file"}), lambda chance: chance.choice([0, 1, -1, 2**63, "1"])),
]


def as_text(document: Any) -> str:
    """The plan for a message, cut short."""
    try:
        return json.dumps(document)[:4_000]
    except RecursionError:
        return "a plan that is nested too deep to show"
