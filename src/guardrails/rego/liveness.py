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
        self._needed: set[int] = set()
        self._changing = True
        self._wanted: dict[int, Locals] = {}
        self._blocks(blocks, _NONE)
        self.behind.clear()
        self.before.clear()
        self._changing = False
        self._wanted.clear()
        self._blocks(blocks, _NONE)

    def needs(self, own: ir.Own) -> bool:
        """Whether the collection that `own` copies may be changed before it is replaced."""
        return id(own) in self._needed

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
        live = (after - written) | self._wants(statement)
        match statement:
            case ir.Own(target=target):
                if self._changing and target in after:
                    self._needed.add(id(statement))
            case ir.Break(index=index):
                return self._exits[-1 - index]
            case ir.ReturnLocal(source=source):
                return _NONE if self._changing else frozenset((source.index,))
            case ir.Block(blocks=blocks):
                return self._blocks(blocks, after)
            case ir.Scan(body=body):
                # The next round reads what this one left, but for what the loop itself gives.
                once = self._exposed(body) - written
                again = self._body(body, after | once) - (written - after)
                live = after | again | self._wants(statement)
            case ir.Not(body=body):
                live = self._body(body, after)
            case ir.With(body=body):
                live = self._body(body, after) | self._wants(statement)
                live |= {statement.local}
            case ir.AssignVarOnce(target=target):
                live |= {target}
        # It may be undefined, and leave its block.
        return live | self._exits[-1]

    def _exposed(self, body: ir.Body) -> Locals:
        """What `body` wants of what was written before it. Linear: each body is asked once."""
        found = self._wanted.get(id(body))
        if found is None:
            live = _NONE
            for statement in reversed(body):
                live = (live - frozenset(ir.writes(statement))) | self._wants(statement)
                for inner in ir.bodies(statement):
                    live |= self._exposed(inner) - frozenset(
                        ir.writes(statement) if isinstance(statement, ir.Scan) else ()
                    )
                if isinstance(statement, ir.AssignVarOnce):
                    live |= {statement.target}
            found = self._wanted[id(body)] = live
        return found

    def _wants(self, statement: ir.Statement) -> Locals:
        """The locals that `statement` reads; or changes, where that is what is asked for."""
        if self._changing:
            return frozenset(_changed(statement))
        return frozenset(ir.reads(statement))


def _changed(statement: ir.Statement) -> tuple[int, ...]:
    match statement:
        case ir.ArrayAppend(array=held) | ir.SetAdd(set=held):
            return (held.index,)
        case ir.ObjectInsert(object=held) | ir.ObjectInsertOnce(object=held):
            return (held.index,)
    return ()


def changes(body: ir.Body) -> Mapping[int, None]:
    """The locals whose collections are changed in place in `body`, in their order."""
    return dict.fromkeys(n for each in ir.statements((body,)) for n in _changed(each))


def written(body: ir.Body) -> Mapping[int, None]:
    """The locals that `body` leaves written, in their order: `with` puts back what was there."""
    return dict.fromkeys(
        local
        for each in ir.statements((body,))
        if not isinstance(each, ir.With)
        for local in ir.writes(each)
    )
