"""Which locals are still read behind a block: the others need not survive it.

A block can be left at any statement that may be undefined, so what is live behind it is
live at each of those, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.rego import ir

if TYPE_CHECKING:
    from collections.abc import Mapping

Locals: TypeAlias = frozenset[int]

_NONE: Final[Locals] = frozenset()


class Liveness:
    """For the blocks of one function or plan.

    Attributes:
        behind: For each body, by its identity: the locals that are read after it was left.
        before: For each body, by its identity: the locals that are read in it or after it,
            and were written before it.
        changed: The locals whose collections are changed in place somewhere.
    """

    def __init__(self, blocks: tuple[ir.Body, ...]) -> None:
        self.behind: dict[int, Locals] = {}
        self.before: dict[int, Locals] = {}
        self._exits: list[Locals] = []
        self._kept = blocks  # the identities stay valid
        self.changed = frozenset(local for body in blocks for local in changes(body))
        self._blocks(blocks, _NONE)

    def _blocks(self, blocks: tuple[ir.Body, ...], after: Locals) -> Locals:
        for body in reversed(blocks):
            after = self._body(body, after)
        return after

    def _body(self, body: ir.Body, after: Locals) -> Locals:
        self.behind[id(body)] = self.behind.get(id(body), _NONE) | after
        self._exits.append(after)
        live = after
        for statement in reversed(body):
            live = self._statement(statement, live)
        self._exits.pop()
        self.before[id(body)] = self.before.get(id(body), _NONE) | live
        return live

    def _statement(self, statement: ir.Statement, after: Locals) -> Locals:
        written = frozenset(ir.writes(statement))
        live = (after - written) | frozenset(ir.reads(statement))
        match statement:
            case ir.Break(index=index):
                return self._exits[-1 - index]
            case ir.ReturnLocal(source=source):
                return frozenset((source.index,))
            case ir.Block(blocks=blocks):
                return self._blocks(blocks, after)
            case ir.Scan(body=body):
                # The next round reads what this one left.
                once = self._body(body, after)
                again = self._body(body, after | once)
                live = (after | again) - (written - after) | {statement.source.index}
            case ir.Not(body=body):
                live = self._body(body, after)
            case ir.With(body=body):
                live = self._body(body, after) | frozenset(ir.reads(statement))
                live |= {statement.local}
            case ir.AssignVarOnce(target=target):
                live |= {target}
        # It may be undefined, and leave its block.
        return live | self._exits[-1]


def changes(body: ir.Body) -> Mapping[int, None]:
    """The locals whose collections are changed in place in `body`, in their order."""
    found: dict[int, None] = {}
    for statement in ir.statements((body,)):
        match statement:
            case ir.ArrayAppend(array=held) | ir.SetAdd(set=held):
                found[held.index] = None
            case ir.ObjectInsert(object=held) | ir.ObjectInsertOnce(object=held):
                found[held.index] = None
    return found


def written(body: ir.Body) -> Mapping[int, None]:
    """The locals that are written in `body`, in their order."""
    return dict.fromkeys(n for each in ir.statements((body,)) for n in ir.writes(each))
