"""The nodes of a planned policy: OPA's intermediate representation, checked and normalised.

Nodes are made by :func:`~guardrails.rego.decoder.decode` alone. What it promises, the
stages that work on them (analysis, interpreter, explanation) do not check again:

* Locals are numbered densely from 0 in each function and plan. Local 0 is the input and
  local 1 is data, also in every function, whose first two parameters they are. No
  statement but :class:`With` changes them.
* A local that is read stands as a :class:`Local`; a local that is written is an ``int``.
* A :class:`Break` never leaves more blocks than there are; :class:`ReturnLocal` stands
  only at the top of a function, :class:`ResultSetAdd` only in a plan.
* :class:`CallFunction` names a function of the policy, with as many arguments as it has
  parameters, of which the first two are locals 0 and 1.
* :class:`ArrayAppend`, :class:`SetAdd` and the object inserts change only a collection that the
  same function has made; so data, input and memoised results are never changed in place.
* Numbers, strings and file names stand in the nodes; nothing refers to a table.

Source: https://www.openpolicyagent.org/docs/ir
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal

INPUT: Final = 0
"""The local that holds the input in every function and plan; the input may be undefined."""

DATA: Final = 1
"""The local that holds data in every function and plan."""

RULE_PARAMETERS: Final = 2
"""A rule takes input and data; a function takes more."""

UNDEFINED_CALL_LEAVES: Final = 2
"""The break that an undefined dynamic call takes, past the look-up in data that follows it."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a statement comes from; rows and columns from 1, None where a planner is silent."""

    file: str | None = None
    row: int | None = None
    col: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.row) if part is not None)


NOWHERE: Final = Location()
"""The place of a statement about which the planner says nothing."""


@dataclass(frozen=True, slots=True)
class Local:
    """An operand that is read from a local; its value may be undefined."""

    index: int


@dataclass(frozen=True, slots=True)
class Constant:
    """An operand that is a boolean or a string."""

    value: bool | str


Operand: TypeAlias = Local | Constant


@dataclass(frozen=True, slots=True)
class Statement:
    """The base of all statements. A statement that is undefined leaves its block."""

    WRITES: ClassVar[tuple[str, ...]] = ()
    """The fields that hold the number of a local which the statement writes."""

    where: Location


Body: TypeAlias = tuple[Statement, ...]
"""The statements of one block."""


@dataclass(frozen=True, slots=True)
class ArrayAppend(Statement):
    """Append `value` to the array in `array`, in place."""

    array: Local
    value: Operand


@dataclass(frozen=True, slots=True)
class AssignVar(Statement):
    """Copy `source`, also an undefined one, to `target`."""

    WRITES = ("target",)
    source: Operand
    target: int


@dataclass(frozen=True, slots=True)
class AssignVarOnce(Statement):
    """As :class:`AssignVar`; a conflict if `target` holds a different value."""

    WRITES = ("target",)
    source: Operand
    target: int


@dataclass(frozen=True, slots=True)
class Block(Statement):
    """Run each body; one that is left with break 0 goes on with the next."""

    blocks: tuple[Body, ...]


@dataclass(frozen=True, slots=True)
class Break(Statement):
    """Leave `index` + 1 enclosing blocks."""

    index: int


@dataclass(frozen=True, slots=True)
class CallBuiltin(Statement):
    """Call the builtin `name`; undefined if an argument or the result is."""

    WRITES = ("target",)
    name: str
    args: tuple[Operand, ...]
    target: int


@dataclass(frozen=True, slots=True)
class CallFunction(Statement):
    """Call a function of the policy; undefined if the result is. Arguments may be undefined."""

    WRITES = ("target",)
    function: str
    args: tuple[Operand, ...]
    target: int


@dataclass(frozen=True, slots=True)
class CallDynamic(Statement):
    """Call the rule at `path`; undefined if there is none.

    Where its result is undefined: break :data:`UNDEFINED_CALL_LEAVES`.
    """

    WRITES = ("target",)
    path: tuple[Operand, ...]
    args: tuple[Operand, ...]
    target: int


@dataclass(frozen=True, slots=True)
class Reference(Statement):
    """What stands at `path` below `data`: a rule's value or a part of it, a package, base data.

    What regopy means by a dynamic call; OPA's plan spells it out.
    """

    WRITES = ("target",)
    path: tuple[Operand, ...]
    args: tuple[Operand, ...]
    target: int


@dataclass(frozen=True, slots=True)
class Dot(Statement):
    """Look `key` up in an object, an array or a set."""

    WRITES = ("target",)
    source: Operand
    key: Operand
    target: int


@dataclass(frozen=True, slots=True)
class Equal(Statement):
    """Undefined unless `a` equals `b`."""

    a: Operand
    b: Operand


@dataclass(frozen=True, slots=True)
class NotEqual(Statement):
    """Undefined if `a` equals `b`."""

    a: Operand
    b: Operand


@dataclass(frozen=True, slots=True)
class IsArray(Statement):
    """Undefined unless `source` is an array."""

    source: Operand


@dataclass(frozen=True, slots=True)
class IsObject(Statement):
    """Undefined unless `source` is an object."""

    source: Operand


@dataclass(frozen=True, slots=True)
class IsSet(Statement):
    """Undefined unless `source` is a set."""

    source: Operand


@dataclass(frozen=True, slots=True)
class IsDefined(Statement):
    """Undefined unless `source` is defined."""

    source: Local


@dataclass(frozen=True, slots=True)
class IsUndefined(Statement):
    """Undefined if `source` is defined."""

    source: Local


@dataclass(frozen=True, slots=True)
class Len(Statement):
    """The size of an array, object, set or string."""

    WRITES = ("target",)
    source: Operand
    target: int


@dataclass(frozen=True, slots=True)
class MakeArray(Statement):
    """A new, empty array."""

    WRITES = ("target",)
    target: int


@dataclass(frozen=True, slots=True)
class MakeObject(Statement):
    """A new, empty object."""

    WRITES = ("target",)
    target: int


@dataclass(frozen=True, slots=True)
class MakeSet(Statement):
    """A new, empty set."""

    WRITES = ("target",)
    target: int


@dataclass(frozen=True, slots=True)
class MakeNull(Statement):
    """Null."""

    WRITES = ("target",)
    target: int


@dataclass(frozen=True, slots=True)
class MakeNumber(Statement):
    """A number (OPA's AssignInt, MakeNumberInt and MakeNumberRef)."""

    WRITES = ("target",)
    value: int | Decimal
    target: int


@dataclass(frozen=True, slots=True)
class Not(Statement):
    """Undefined if `body` reaches its end; goes on if it is undefined."""

    body: Body


@dataclass(frozen=True, slots=True)
class ObjectInsert(Statement):
    """Put `value` at `key` of the object in `object`, in place."""

    key: Operand
    value: Operand
    object: Local


@dataclass(frozen=True, slots=True)
class ObjectInsertOnce(Statement):
    """As :class:`ObjectInsert`; a conflict if the key holds a different value."""

    key: Operand
    value: Operand
    object: Local


@dataclass(frozen=True, slots=True)
class ObjectMerge(Statement):
    """A new object with the keys of both, recursively; where both have one, `a` wins."""

    WRITES = ("target",)
    a: Local
    b: Local
    target: int


@dataclass(frozen=True, slots=True)
class Own(Statement):
    """Put a shallow copy of a collection in its place; it may be changed in place later.

    No planner writes this; the decoder inserts it where a value comes from elsewhere.
    """

    WRITES = ("target",)
    target: int


@dataclass(frozen=True, slots=True)
class ResetLocal(Statement):
    """Make `target` undefined."""

    WRITES = ("target",)
    target: int


@dataclass(frozen=True, slots=True)
class ResultSetAdd(Statement):
    """Add a value to the result set of the plan."""

    value: Local


@dataclass(frozen=True, slots=True)
class ReturnLocal(Statement):
    """Leave the function with the value in `source`, which may be undefined."""

    source: Local


@dataclass(frozen=True, slots=True)
class Scan(Statement):
    """Run `body` for each item of a collection; undefined for what is no collection."""

    WRITES = ("key", "value")
    source: Local
    key: int
    value: int
    body: Body


@dataclass(frozen=True, slots=True)
class SetAdd(Statement):
    """Add `value` to the set in `set`, in place."""

    value: Operand
    set: Local


@dataclass(frozen=True, slots=True)
class With(Statement):
    """Run `body` with `value` at `path` of a local: the input (0), data (1), or a mocked result."""

    WRITES = ("local",)
    local: int
    path: tuple[str, ...]
    value: Operand
    body: Body


@dataclass(frozen=True, slots=True)
class Function:
    """A rule (two parameters: input and data) or a function (more).

    Attributes:
        name: As ``g0.data.guardrails.decision``.
        path: As ``("g0", "guardrails", "decision")``; dynamic calls find it by this.
        params: The locals of its parameters.
        locals: How many locals it has.
        where: The place of its first statement that has one.
    """

    name: str
    path: tuple[str, ...]
    params: tuple[int, ...]
    blocks: tuple[Body, ...]
    locals: int
    where: Location


@dataclass(frozen=True, slots=True)
class Plan:
    """What an entrypoint runs.

    Attributes:
        name: As ``guardrails/decision``.
        locals: How many locals it has.
    """

    name: str
    blocks: tuple[Body, ...]
    locals: int


@dataclass(frozen=True, slots=True)
class Policy:
    """A decoded plan document.

    Attributes:
        plans: By name, in the order of the document.
        functions: By name, in the order of the document.
        by_path: The same functions by their path, for dynamic calls.
        files: The Rego files that it was planned from.
        planner: ``opa`` or ``regopy``.
    """

    plans: Mapping[str, Plan]
    functions: Mapping[str, Function]
    by_path: Mapping[tuple[str, ...], Function]
    files: tuple[str, ...]
    planner: str


def bodies(statement: Statement) -> tuple[Body, ...]:
    """The blocks that stand directly in `statement`."""
    if isinstance(statement, Block):
        return statement.blocks
    if isinstance(statement, Scan | Not | With):
        return (statement.body,)
    return ()


def statements(blocks: tuple[Body, ...]) -> Iterator[Statement]:
    """Every statement in `blocks` at any depth, in the order of the document."""
    for body in blocks:
        for statement in body:
            yield statement
            yield from statements(bodies(statement))


def reads(statement: Statement) -> Iterator[int]:
    """The locals that `statement` itself reads, without those of its bodies."""
    if isinstance(statement, Own | AssignVarOnce):
        yield statement.target  # also what stood there before
    for field in fields(statement):
        value = getattr(statement, field.name)
        if type(value) is Local:
            yield value.index
        elif field.name in {"args", "path"}:
            for item in value:
                if type(item) is Local:
                    yield item.index


def writes(statement: Statement) -> Iterator[int]:
    """The locals that `statement` itself writes, without those of its bodies."""
    for name in statement.WRITES:
        yield getattr(statement, name)
