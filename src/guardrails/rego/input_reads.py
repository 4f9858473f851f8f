"""Which parts of the input a plan may read: what it cannot read changes no result.

The answer errs on one side: a part that is not named is never read, one that is named may not
be. It follows copies of parts of the input from local to local and from call to call, whatever
the order of the statements is; what is compared, counted, looped over, handed to a builtin or
put into a collection counts as read with all that is below it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.rego import ir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Path: TypeAlias = tuple[str, ...]

_Names: TypeAlias = tuple[Path, bool]
"""The names that are known, and whether these are all."""

_NONE: Final[frozenset[Path]] = frozenset()

_DEEPEST: Final = 16
"""Names of a path that are followed; with more, all that is below is read."""

_MOST: Final = 200
"""Paths of one local that are told apart; of more, all below what they have in common is read."""


@dataclass(frozen=True, slots=True)
class InputReads:
    """The parts of the input that one plan may read.

    Attributes:
        whole: What is read with all that is below it.
        looked_up: Where it is looked whether something is there, and nothing below is named.
    """

    whole: frozenset[Path]
    looked_up: frozenset[Path]

    def touch(self, path: Sequence[str]) -> bool:
        """Whether another value at `path`, or none, may make another result.

        Args:
            path: Names of members, from the input down; numbers of items as text.
        """
        path = tuple(path)
        return any(_overlap(path, read) for read in self.whole) or any(
            read[: len(path)] == path for read in self.looked_up
        )


def input_reads(policy: ir.Policy, plan: ir.Plan) -> InputReads:
    """The parts of the input that a plan may read.

    Args:
        policy: The policy.
        plan: Its plan.
    """
    found = _Followed(policy, plan)
    whole = frozenset(path for path in found.whole if not found.whole & _above(path))
    above = frozenset[Path]().union(*map(_above, found.whole | found.looked_up))
    looked_up = found.looked_up - found.whole - above
    return InputReads(whole, frozenset(path for path in looked_up if not whole & _above(path)))


def _above(path: Path) -> frozenset[Path]:
    return frozenset(path[:end] for end in range(len(path)))


def _common(paths: frozenset[Path]) -> Path:
    """The names with which all of some paths begin."""
    first, last = min(paths), max(paths)
    return first[: next((at for at, name in enumerate(first) if name != last[at]), len(first))]


class _Followed:
    """What a plan does with its input, followed until nothing new is found.

    Args:
        policy: The policy.
        plan: Its plan.

    Attributes:
        whole: What is read with all that is below it.
        looked_up: Where it is looked whether something is there.
    """

    def __init__(self, policy: ir.Policy, plan: ir.Plan) -> None:
        self._policy = policy
        self.whole: set[Path] = set()
        self.looked_up: set[Path] = set()
        self._held: dict[tuple[str, int], frozenset[Path]] = {}
        self._returned: dict[str, frozenset[Path]] = {}
        self._callers: dict[str, set[str]] = {}
        self._contested: dict[str, frozenset[int]] = {}
        self._names: dict[str, dict[int, _Names]] = {}
        # No function is called "".
        self._units = {"": plan.blocks}
        self._statements: dict[str, tuple[ir.Statement, ...]] = {}
        # Units of which something is known that they have not been followed with.
        self._stale: dict[str, None] = {"": None}
        self._hold("", ir.INPUT, [()])
        while self._stale:
            unit = next(iter(self._stale))
            del self._stale[unit]
            for statement in self._of_unit(unit):
                self._follow(unit, statement)

    def _of_unit(self, unit: str) -> tuple[ir.Statement, ...]:
        if unit not in self._statements:
            self._statements[unit] = tuple(ir.statements(self._units[unit]))
        return self._statements[unit]

    def _follow(self, unit: str, statement: ir.Statement) -> None:  # noqa: C901, PLR0912  # a statement each
        match statement:
            case ir.AssignVar(source=source, target=target):
                self._hold(unit, target, self._of(unit, source))
            case ir.AssignVarOnce(source=source, target=target):
                self._hold(unit, target, self._of(unit, source))
                if target in self._contested_in(unit):  # it is compared with what is there
                    self._read(self._of(unit, ir.Local(target)))
            case ir.Dot(source=source, key=ir.Constant(value=str() as key), target=target):
                found = [(*path, key) for path in self._of(unit, source)]
                self.looked_up.update(found)
                self._hold(unit, target, found)
            case ir.CallBuiltin(name="object.get", args=(source, key, default), target=target) if (
                names := self._names_in(unit).get(id(statement))
            ) is not None:
                known, is_whole = names
                found = [(*path, *known) for path in self._of(unit, source)]
                (self.looked_up if is_whole else self.whole).update(found)
                self._hold(unit, target, (*found, *self._of(unit, default)))
                self._read(self._of(unit, key))
            case ir.CallFunction(function=function, args=args, target=target):
                self._enter(unit, function)
                for number, each in enumerate(args):
                    self._hold(function, number, self._of(unit, each))
                self._hold(unit, target, self._returned.get(function, _NONE))
            case ir.CallDynamic(path=parts) | ir.Reference(path=parts):
                # Its arguments are the input and data themselves.
                for each in parts:
                    self._read(self._of(unit, each))
                for function in self._named(statement):
                    self._enter(unit, function)
                    self._read(self._returned.get(function, _NONE))
            case ir.ReturnLocal(source=source):
                before = self._returned.get(unit, _NONE)
                self._returned[unit] = before | self._of(unit, source)
                if self._returned[unit] != before:
                    self._stale.update(dict.fromkeys(self._callers.get(unit, ())))
            case ir.With(value=value):
                self._read(self._of(unit, value))
            case ir.Own() | ir.IsDefined() | ir.IsUndefined():
                pass  # whether it is there is known from where it was looked up
            case _:
                for local in ir.reads(statement):
                    self._read(self._of(unit, ir.Local(local)))

    def _of(self, unit: str, operand: ir.Operand) -> frozenset[Path]:
        if isinstance(operand, ir.Constant):
            return _NONE
        return self._held.get((unit, operand.index), _NONE)

    def _hold(self, unit: str, local: int, paths: Iterable[Path]) -> None:
        before = self._held.get((unit, local), _NONE)
        found = before.union(paths)
        if len(found) == len(before):
            return
        self._read(path for path in found if len(path) >= _DEEPEST)
        # All that is below what is read whole is read, so there is nothing to follow there.
        found = before.union(path for path in found if not self._is_read(path))
        if len(found) > _MOST:
            self._read([_common(found)])
        elif len(found) > len(before):
            self._held[unit, local] = found
            self._stale[unit] = None

    def _is_read(self, path: Path) -> bool:
        return any(path[:end] in self.whole for end in range(len(path) + 1))

    def _read(self, paths: Iterable[Path]) -> None:
        self.whole.update(paths)

    def _enter(self, unit: str, function: str) -> None:
        if function not in self._units:
            self._units[function] = self._policy.functions[function].blocks
            self._stale[function] = None
        self._callers.setdefault(function, set()).add(unit)
        # A rule is given the input of whoever calls it.
        self._hold(function, ir.INPUT, self._of(unit, ir.Local(ir.INPUT)))

    def _named(self, call: ir.CallDynamic | ir.Reference) -> Iterator[str]:
        """The rules that a path may lead to, above or below it; locals may hold any name."""
        skipped = int(isinstance(call, ir.Reference))
        for name, function in self._policy.functions.items():
            if len(function.params) == ir.RULE_PARAMETERS and all(
                isinstance(part, ir.Local) or part.value == step
                for part, step in zip(call.path, function.path[skipped:], strict=False)
            ):
                yield name

    def _names_in(self, unit: str) -> dict[int, _Names]:
        """By the identity of calls of `object.get` in a unit: the names that they look up."""
        if unit not in self._names:
            nested = (body for each in self._of_unit(unit) for body in ir.bodies(each))
            self._names[unit] = {
                call: names
                for body in (*self._units[unit], *nested)
                for call, names in _looked_up(body)
            }
        return self._names[unit]

    def _contested_in(self, unit: str) -> frozenset[int]:
        """The locals of a unit that may be assigned more than once."""
        if unit not in self._contested:
            counts = Counter(_written(self._units[unit]))
            for each in self._of_unit(unit):
                if isinstance(each, ir.Scan):
                    counts.update(_written((each.body,)))
            self._contested[unit] = frozenset(each for each, times in counts.items() if times > 1)
        return self._contested[unit]


def _looked_up(body: ir.Body) -> Iterator[tuple[int, _Names]]:
    """The calls of `object.get` that stand in `body` itself, whose names are made there, too."""
    texts: dict[int, str] = {}
    lists: dict[int, list[str | None]] = {}

    def text_of(operand: ir.Operand) -> str | None:
        found = texts.get(operand.index) if isinstance(operand, ir.Local) else operand.value
        return found if type(found) is str else None

    for statement in body:
        match statement:
            case ir.CallBuiltin(name="object.get", args=(_, key, _)):
                text = text_of(key)
                if text is not None:
                    yield id(statement), ((text,), True)
                elif isinstance(key, ir.Local) and key.index in lists:
                    names = lists[key.index]
                    is_whole = None not in names
                    end = len(names) if is_whole else names.index(None)
                    known = tuple(name for name in names[:end] if name is not None)
                    yield id(statement), (known, is_whole)
            case ir.ArrayAppend(array=array, value=value) if array.index in lists:
                lists[array.index].append(text_of(value))
                continue
        for local in _changed(statement):
            texts.pop(local, None)
            lists.pop(local, None)
        match statement:
            case ir.MakeArray(target=target):
                lists[target] = []
            case ir.AssignVar(source=ir.Constant(value=str() as text), target=target):
                texts[target] = text


def _changed(statement: ir.Statement) -> Iterator[int]:
    """The locals that a statement writes or changes in place, with those in its bodies."""
    for each in (statement, *ir.statements(ir.bodies(statement))):
        if not isinstance(each, ir.Own):  # a copy of the same
            yield from ir.writes(each)
        for name in _IN_PLACE:
            local = getattr(each, name, None)
            if type(local) is ir.Local:
                yield local.index


_IN_PLACE: Final = ("array", "object", "set")
"""The fields that hold a local whose collection is changed."""


def _written(blocks: tuple[ir.Body, ...]) -> Iterator[int]:
    for statement in ir.statements(blocks):
        if not isinstance(statement, ir.ResetLocal | ir.Own):
            yield from ir.writes(statement)


def _overlap(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


__all__ = ["InputReads", "input_reads"]
