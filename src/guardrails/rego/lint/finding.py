"""What a check gives: one thing that is wrong, its place and its mend."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guardrails.errors import PolicyLoadError
    from guardrails.rego.syntax import Module, Node


class Finding(NamedTuple):
    """One thing that is wrong. Findings sort by place.

    Attributes:
        file: The source.
        row: Its line, from 1; 0 where only the file is known.
        col: Its column, from 1; 0 where only the line is known.
        rule_id: The check's stable id, as ``not-without-import``.
        message: What is wrong.
        mend: What to do about it.
    """

    file: str
    row: int
    col: int
    rule_id: str
    message: str
    mend: str


def finding_at(module: Module, node: Node, rule_id: str, message: str, mend: str) -> Finding:
    """A finding at the place where `node` begins."""
    row, col = module.place(node)
    return Finding(module.file, row, col, rule_id, message, mend)


def finding_of(error: PolicyLoadError, rule_id: str, mend: str) -> Finding:
    """A finding of what a planner or the analysis refuses, at the error's place."""
    return Finding(error.file or "", error.row or 0, error.col or 0, rule_id, error.message, mend)


def written(module: Module, node: Node) -> str:
    """The source of a term; the parser's node of a reference ends before its last bracket."""
    text = module.text(node)
    text += "]" * (text.count("[") - text.count("]"))
    return text + ")" * (text.count("(") - text.count(")"))


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Names as a message lists them: each in backticks."""
    return ", ".join(f"`{name}`" for name in names)


__all__ = ["Finding", "finding_at", "finding_of", "listed", "written"]
