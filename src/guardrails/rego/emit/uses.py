"""What is asked for how often: the ground on which rules are written in place, or never made."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from guardrails.rego import ir
from guardrails.rego.emit import residual
from guardrails.rego.emit.calls import returned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.rego.emit.program import Emitted, Program
    from guardrails.rego.emit.residual import Body, Text
    from guardrails.rego.emit.unit import Unit


def reached(unit: Unit, entries: Iterable[Emitted]) -> set[str]:
    """The functions that are called, by their names."""
    by_name = {each.name: each for each in unit.functions.values()}
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        for name in (*_calls(body := waiting.pop().body), *_tabled(unit, body)):
            if name in by_name and name not in found:
                found.add(name)
                waiting.append(by_name[name])
    return found


def _calls(body: Body) -> list[str]:
    return [
        name
        for node in residual.walk(body)
        for text in residual.texts(node)
        for name in residual.globals_in(text)
        if name[0] == "F"
    ]


def _tabled(unit: Unit, body: Body) -> list[str]:
    """The functions in the tables and look-ups that are used in `body`."""
    found: list[str] = []
    for node in residual.walk(body):
        for text in residual.texts(node):
            for name in residual.globals_in(text):
                if name[0] == "T":
                    found += unit.tables[name].values()
                elif name[0] == "L":
                    found.append(unit.lookups[name].function)
    return found


def uses(program: Program) -> tuple[frozenset[str], frozenset[str]]:
    """The functions that one place calls, and the sets among them that it only goes through."""
    calls: Counter[str] = Counter()
    scanned: set[str] = set()
    for each in (*program.functions, *program.entries.values()):
        calls.update(_calls(each.body))
        scanned.update(_scanned(each.body))
    variants = Counter(program.origins[each.name] for each in program.functions)
    once = {
        program.origins[name]
        for name, count in calls.items()
        if count == 1 and variants[program.origins[name]] == 1
    }
    return frozenset(once), frozenset(program.origins[name] for name in scanned)


_CHEAP: Final = 6
"""Statements of a rule that is worked out although it is perhaps not asked for."""


def cheap(unit: Unit, program: Program) -> frozenset[str]:
    """The rules that cannot fail, and do no more than look a few things up."""
    found = set()
    for each in program.functions:
        function = unit.policy.functions[program.origins[each.name]]
        nodes = list(residual.walk(each.body))
        texts = [text for node in nodes for text in residual.texts(node)]
        if (
            len(function.params) == ir.RULE_PARAMETERS
            and returned(function) is not None
            and len(nodes) <= _CHEAP
            and not any(residual.fallible(text) for text in texts)
            and not any(map(_calls_something, texts))
            and not any(isinstance(node, residual.For | residual.Group) for node in nodes)
            and not each.raw
        ):
            found.add(function.name)
    return frozenset(found)


def _calls_something(text: Text) -> bool:
    """Whether `text` calls more than a look-up."""
    return re.search(r"\w\(", re.sub(r"\.get\(|\btype\(", "", text)) is not None


def _scanned(body: Body) -> set[str]:
    """The functions whose value is only gone through."""
    results: dict[str, str] = {}
    uses: Counter[str] = Counter()
    scans: set[str] = set()
    for node in residual.walk(body):
        if isinstance(node, residual.Set):
            calls = [name for name in residual.globals_in(node.value) if name[0] == "F"]
            if calls and node.value.startswith(f"{calls[0]}("):
                results[node.name] = calls[0]
        for text in residual.texts(node):
            uses.update(residual.names(text))
        if isinstance(node, residual.For):
            scans.update(residual.names(node.source)[:1])
    # The test whether it is in the memo is a use, and so is keeping it there.
    kept = {_ONCE, _ONCE + 2}
    return {call for name, call in results.items() if name in scans and uses[name] in kept}


_ONCE: Final = 1


def missed(program: Program) -> set[str]:
    """The variables of sets that are asked for although they were never made."""
    return {
        name
        for each in (*program.functions, *program.entries.values())
        for node in residual.walk(each.body)
        for text in residual.texts(node)
        for name in residual.names(text)
        if name[0] == _GONE
    }


_GONE: Final = "g"
