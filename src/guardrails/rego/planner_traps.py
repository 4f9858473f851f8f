"""What regopy's planner gets wrong about ``with`` and ``data``, found in the syntax tree.

Each of these is plain Rego that OPA plans rightly:

* ``x with input as {...}`` aborts the process when ``x`` holds a call or a comparison;
* ``x with input.a as rule`` drops the ``with``: the rule comes out undefined;
* ``with data as ...`` is refused;
* a rule that reads all of ``data``, as ``data[_]``, crashes the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrails.rego.syntax import declared, rule_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.syntax import Module, Node


@dataclass(frozen=True, slots=True)
class Trap:
    """One construct that regopy may get wrong.

    Attributes:
        start: Its first byte in the source.
        rule: The rule in which it stands.
        certain: Whether it is always planned wrongly; else only over some rules.
        message: What it is, and what to write instead.
    """

    file: str
    row: int
    col: int
    start: int
    rule: Node
    certain: bool
    message: str


def traps(module: Module) -> Iterator[Trap]:
    """Every trap in `module`, in the order of the source."""
    names = {path[0] for rule in module.rules if (path := rule_path(rule))} | set(module.aliases)
    for rule in module.rules:
        own = declared(rule)
        for node in rule.walk():
            if node.kind == "with":
                found = _with_trap(node, names - own)
            elif node.kind == "ref":
                found = _data_trap(node)
            else:
                continue
            if found is not None:
                row, col = module.place(node)
                yield Trap(module.file, row, col, node.start or 0, rule, *found)


def _with_trap(node: Node, rules: set[str]) -> tuple[bool, str] | None:
    target, value = node.children[0], node.children[1]
    whole = target.children[0] if target.kind == "term" and target.children else target
    if whole.kind == "var" and whole.text in {"input", "data"}:
        fields = (
            "`with input.tool as …`"
            if whole.text == "input"
            else "`with data.guardrails_data.x as …`"
        )
        return (
            whole.text == "data",
            f"`with {whole.text} as …` cannot be planned without OPA; set fields, as {fields}",
        )
    named = _head(value)
    if named is not None and (named == "data" or named in rules):
        return (
            True,
            (
                f"`with … as {named}…` takes a rule's value, which cannot be planned without OPA;"
                " give it a name first, as `value := …`, and write `with … as value`"
            ),
        )
    return None


def _data_trap(node: Node) -> tuple[bool, str] | None:
    head, steps = node.child("refhead"), node.child("refargseq")
    if head is None or not head.children or head.children[0].text != "data" or steps is None:
        return None
    first = steps.children[0] if steps.children else None
    if first is not None and first.kind == "refargbrack" and not any(first.find("STRING")):
        return False, "a reference to all of `data` cannot be planned without OPA; name the path"
    return None


def _head(value: Node) -> str | None:
    """The first name of a value that is a variable or a reference and nothing more."""
    node = value
    while node.kind in {"expr", "term", "exprparens"} and len(node.children) == 1:
        node = node.children[0]
    if node.kind == "ref":
        head = node.child("refhead")
        node = head.children[0] if head is not None and head.children else node
    return node.text if node.kind == "var" else None


__all__ = ["Trap", "traps"]
