"""The smallest part of a plan document of which something still holds."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Raw = dict[str, Any]


def smallest(document: Raw, holds: Callable[[Raw], bool]) -> Raw:
    """A part of `document` of which `holds`, and of no part of it that has a statement less."""
    while True:
        part = next((part for part in _parts(document) if holds(part)), None)
        if part is None:
            return document
        document = part


def _parts(document: Raw) -> Iterator[Raw]:
    for table, name in (("plans", "plans"), ("funcs", "funcs")):
        for place in range(len(document[table][name])):
            part = copy.deepcopy(document)
            del part[table][name][place]
            if part["plans"]["plans"]:
                yield part
    for number in range(len(_lists(document))):
        size = len(_lists(document)[number])
        for place in range(size):
            part = copy.deepcopy(document)
            del _lists(part)[number][place]
            yield part
        for place in range(size):
            if "stmt" not in _lists(document)[number][place]:
                continue
            for inner in _inner(_lists(document)[number][place]["stmt"]):
                part = copy.deepcopy(document)
                _lists(part)[number][place : place + 1] = copy.deepcopy(inner)
                yield part


def _inner(statement: Raw) -> list[list[Raw]]:
    blocks = statement.get("blocks", [])
    blocks = [*blocks, statement["block"]] if "block" in statement else blocks
    return [block["stmts"] for block in blocks]


def _lists(document: Raw) -> list[list[Any]]:
    """Every list of blocks or statements."""
    found: list[list[Any]] = []
    waiting: list[Any] = [document["plans"], document["funcs"]]
    while waiting:
        here = waiting.pop(0)
        if isinstance(here, dict):
            for key, below in here.items():
                if key in {"stmts", "blocks"}:
                    found.append(below)
                waiting.append(below)
        elif isinstance(here, list):
            waiting.extend(here)
    return found
