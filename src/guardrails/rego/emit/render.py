"""The text of the functions, line by line with the places in the policy.

Python has no jump out of several loops at once; a jump that needs one sets a flag and leaves
the innermost, and behind each loop on the way the flag is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from guardrails.rego import ir
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.residual import Do, For, Group, If, Jump, Node, Return, Set, Slot, Stop

if TYPE_CHECKING:
    from guardrails.rego.emit.residual import Body

_STEP: Final = " "
_DEEPEST_INDENT: Final = 90
"""Levels; Python takes 100."""

_OFTEN_EMPTY: Final = re.compile(
    r"([a-z]\d+)\.(?:values|items)\(\)|(?:sorted|fields)\(([a-z]\d+)\)"
)

_MOST_LOOPS: Final = 18
"""Loops within one another; Python takes 20."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One function.

    Attributes:
        name: As ``F5``.
        text: Its source.
        places: For each line, the place in the policy.
    """

    name: str
    text: str
    places: tuple[ir.Location, ...]


@dataclass(slots=True, eq=False)
class _Loop:
    """A loop of Python around what is being written."""

    group: Group
    is_for: bool
    start: int
    depth: int
    passing: list[_Loop] = field(default_factory=list)
    flag: str = ""


def render(name: str, params: tuple[str, ...], body: Body) -> Rendered:
    """The text of one function."""
    writer = _Writer()
    writer.line(0, f"def {name}({', '.join(params)}):", ir.NOWHERE)
    writer.body(body, 1)
    if not body or not isinstance(body[-1], Return):
        writer.line(1, "return U", ir.NOWHERE)
    kept = [(text, where) for text, where in writer.lines if text is not None]
    return Rendered(
        name, "\n".join(text for text, _ in kept) + "\n", tuple(where for _, where in kept)
    )


class _Writer:
    def __init__(self) -> None:
        self.lines: list[tuple[str | None, ir.Location]] = []
        self.loops: list[_Loop] = []
        self.asked: list[str] = []
        self.flags = 0

    def line(self, depth: int, text: str, where: ir.Location) -> None:
        if depth > _DEEPEST_INDENT:
            msg = f"a function is nested deeper than {_DEEPEST_INDENT}"
            raise CannotEmit(msg)
        self.lines.append((_STEP * depth + text, where))

    def body(self, body: Body, depth: int) -> None:
        for node in body:
            self.node(node, depth)
        if not body:
            self.line(depth, "pass", ir.NOWHERE)

    def node(self, node: Node, depth: int) -> None:
        where = node.where
        match node:
            case Set(name=name, value=value):
                self.line(depth, f"{name} = {value}", where)
            case Do(value=value):
                self.line(depth, value, where)
            case Return(value=value):
                self.line(depth, f"return {value}", where)
            case Stop():
                self.line(depth, "break", where)
            case Slot(body=body):
                for each in body:
                    self.node(each, depth)
            case If(condition=condition, body=body, orelse=orelse):
                self.line(depth, f"if {condition}:", where)
                self.asked.append(condition)
                self.body(body, depth + 1)
                self.asked.pop()
                if orelse:
                    self.line(depth, "else:", where)
                    self.body(orelse, depth + 1)
            case For(target=target, source=source, body=group):
                inner = self.unless_empty(source, depth, where)
                self.loop(group, f"for {target} in {source}:", inner, where, is_for=True)
            case Group():
                self.loop(node, "while True:", depth, where, is_for=False)
            case Jump(group=group):
                self.jump(group, depth, where)

    def unless_empty(self, source: str, depth: int, where: ir.Location) -> int:
        """Begin a loop: that something is empty costs less to ask than to go through it."""
        held = _OFTEN_EMPTY.fullmatch(source)
        if held is None or depth > _DEEPEST_INDENT // 2:
            return depth
        if held[1] in self.asked and held[1][0] == "t":
            return depth  # it stands in such a question already
        self.line(depth, f"if {held[1] or held[2]}:", where)
        return depth + 1

    def loop(
        self, group: Group, head: str, depth: int, where: ir.Location, *, is_for: bool
    ) -> None:
        if len(self.loops) >= _MOST_LOOPS:
            msg = f"more than {_MOST_LOOPS} loops stand within one another"
            raise CannotEmit(msg)
        outside = len(self.lines)
        self.lines.append((None, where))  # a flag begins here, if one is needed
        self.line(depth, head, where)
        start = len(self.lines) if is_for else outside
        if is_for:
            self.lines.append((None, where))
        loop = _Loop(group, is_for, start, depth + is_for)
        self.loops.append(loop)
        self.body(group.body, depth + 1)
        if not is_for:
            self.line(depth + 1, "break", where)
        self.loops.pop()
        for target in loop.passing:
            self.line(depth, f"if {target.flag}:", where)
            self.jump(target.group, depth + 1, where)

    def jump(self, group: Group, depth: int, where: ir.Location) -> None:
        place = next(i for i in range(len(self.loops) - 1, -1, -1) if self.loops[i].group is group)
        target, innermost = self.loops[place], self.loops[-1]
        if target is innermost:
            self.line(depth, "continue" if target.is_for else "break", where)
            return
        if not target.flag:
            self.flags += 1
            target.flag = f"j{self.flags}"
            self.lines[target.start] = (_STEP * target.depth + f"{target.flag} = False", where)
        if target not in innermost.passing:
            innermost.passing.append(target)
        self.line(depth, f"{target.flag} = True", where)
        self.line(depth, "break", where)
