"""Random plans, as documents in OPA's dialect: whatever the decoder takes, also what nobody plans.

Locals are few, so that they are overwritten, aliased, reset, carried through loops and changed in
place. Which ones are changed in place is settled before (the decoder refuses more: a parameter, or
what WithStmt replaces). Functions call earlier ones only. Rows count statements, so that a place
names one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.rego.emit.vocabulary import BUILTINS, NUMBERS, STRINGS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

Raw = dict[str, Any]

FIELDS: Final = (
    "amount",
    "name",
    "tags",
    "flags",
    "items",
    "nested",
    "any",
    "on",
    "at",
    "few",
    "missing",
)
FIRST: Final = 2
"""Locals 0 and 1 are input and data."""

FACTS: Final = ("limits", "owners", "table", "names", "deep", "on", "none")


@dataclass(slots=True)
class Frame:
    """The locals of the function or plan that is being made.

    Attributes:
        values: Locals that are never changed in place.
        collections: Those that are.
        kinds: What was put last into a local, as far as that is known.
        depth: Blocks around here.
        loops: Scans around here.
        budget: Statements that may still be made.
        fresh: The last local that only one statement writes.
    """

    values: list[int]
    collections: list[int]
    function: bool
    kinds: dict[int, str] = field(default_factory=dict)
    depth: int = 0
    loops: int = 0
    budget: int = 0
    fresh: int = 1_000


class Maker:
    """Draws one plan document.

    Args:
        chance: Where the choices come from.
        size: About how many statements a function has.
        tame: What may be undefined is written to locals of its own, as planners do.
    """

    def __init__(self, chance: random.Random, size: int = 14, *, tame: bool = False) -> None:
        self.chance = chance
        self.tame = tame
        self.size = size
        self.strings: list[str] = []
        self.functions: list[Raw] = []
        self.row = 0
        self.frame: Frame

    def pick(self, options: Any) -> Any:
        return options[self.chance.randrange(len(options))]

    def flip(self, odds: int = 2) -> bool:
        return self.chance.randrange(odds) == 0

    def document(self) -> Raw:
        """The document."""
        for number in range(self.chance.randint(0, 4)):
            self.functions.append(self.function(number))
        plans = [self.plan(number) for number in range(self.chance.randint(1, 2))]
        return {
            "static": {
                "strings": [{"value": text} for text in self.strings],
                "files": [{"value": "p.rego"}],
            },
            "plans": {"plans": plans},
            "funcs": {"funcs": self.functions},
        }

    # Functions and plans.

    def begin(self, params: list[int], *, function: bool) -> list[int]:
        first = FIRST + len(params)
        values = [*params, *range(first, first + self.chance.randint(2, 5))]
        last = values[-1] + 1 if values else first
        collections = list(range(last, last + self.chance.randint(1, 3)))
        budget = self.chance.randint(3, 2 * self.size)
        self.frame = Frame(values, collections, function, budget=budget)
        self.frame.kinds[0] = self.frame.kinds[1] = "obj"
        return values[len(params) :]

    def function(self, number: int) -> Raw:
        params = list(range(FIRST, FIRST + self.pick([0, 0, 0, 1, 2])))
        values = self.begin(params, function=True)
        result = self.pick([*values, *self.frame.collections])
        blocks = []
        if self.flip():
            # As planners begin: what a rule is made of is undefined, or an empty collection.
            start = self.pick(["ResetLocalStmt", "MakeSetStmt", "MakeObjectStmt", "MakeArrayStmt"])
            if result in self.frame.collections or start == "ResetLocalStmt":
                blocks.append({"stmts": [self.statement_of(start, target=result)]})
                self.frame.kinds[result] = _MADE.get(start, "any")
        for _ in range(self.chance.randint(1, 3)):
            blocks.append(self.block())
            if self.flip(8):
                blocks[-1]["stmts"].append(self.statement_of("ReturnLocalStmt", source=result))
        if not self.flip(10):
            blocks.append({"stmts": [self.statement_of("ReturnLocalStmt", source=result)]})
        return {
            "name": f"g0.data.p.r{number}",
            "path": ["g0", "p", f"r{number}"],
            "params": [0, 1, *params],
            "return": result,
            "blocks": blocks,
        }

    def plan(self, number: int) -> Raw:
        values = self.begin([], function=False)
        blocks = [self.block() for _ in range(self.chance.randint(1, 2))]
        held = [*values, *self.frame.collections]
        if self.flip(4):
            added = self.statement_of("ResultSetAddStmt", value=self.pick(held))
            blocks.append({"stmts": self.apart(added) if self.tame else [added]})
        else:
            made = max(self.frame.collections) + 1
            body = [
                self.statement_of("MakeObjectStmt", target=made),
                self.statement_of(
                    "ObjectInsertStmt",
                    key=self.text("result"),
                    value={"type": "local", "value": self.pick(held)},
                    object=made,
                ),
                self.statement_of("ResultSetAddStmt", value=made),
            ]
            blocks.append({"stmts": body})
        return {"name": f"p/main{number}", "blocks": blocks}

    # Operands.

    def text(self, value: str) -> Raw:
        if value not in self.strings:
            self.strings.append(value)
        return {"type": "string_index", "value": self.strings.index(value)}

    def local(self, kind: str = "") -> int:
        frame = self.frame
        written = [n for n in frame.kinds if not kind or frame.kinds[n] in {kind, "any"}]
        if written and not self.flip(8):
            return int(self.pick(written))
        return int(self.pick([0, 1, *frame.values, *frame.collections]))

    def operand(self, kind: str = "") -> Raw:
        if kind in {"", "str"} and self.flip(4):
            return self.text(self.pick(STRINGS))
        if kind in {"", "bool"} and self.flip(5):
            return {"type": "bool", "value": self.flip()}
        return {"type": "local", "value": self.local(kind)}

    def key(self, source: int) -> Raw:
        """What may stand in `source`, most of the time."""
        if not self.flip(4):
            if source == 0:
                return self.text(self.pick(FIELDS))
            if source == 1:
                return self.text(self.pick(FACTS))
        if self.flip(3):
            return self.text(self.pick([*FIELDS, *STRINGS]))
        return self.operand()

    def target(self, kind: str = "any") -> int:
        frame = self.frame
        pool = frame.collections if self.flip(6) else frame.values
        found = int(self.pick(pool or frame.collections))
        frame.kinds[found] = kind
        return found

    # Statements.

    def statement_of(self, name: str, **fields: Any) -> Raw:
        self.row += 1
        return {"type": name, "stmt": {**fields, "file": 0, "row": self.row, "col": 1}}

    def block(self, *, loop: bool = False) -> Raw:
        frame = self.frame
        frame.depth += 1
        frame.loops += loop
        stmts = []
        for _ in range(self.chance.randint(0 if self.flip(12) else 1, 5)):
            if frame.budget <= 0:
                break
            stmts += self.statement()
        frame.depth -= 1
        frame.loops -= loop
        return {"stmts": stmts}

    def statement(self) -> list[Raw]:
        """One statement; where plans are tame, with copies of what it writes."""
        self.frame.budget -= 1
        made: Raw | None = None
        while made is None:
            made = self.pick(_STATEMENTS)(self)
        return self.apart(made) if self.tame else [made]

    def apart(self, made: Raw) -> list[Raw]:
        content = made["stmt"]
        if made["type"] == "ResultSetAddStmt":
            return [self.statement_of("IsDefinedStmt", source=content["value"]), made]
        copies = []
        for name in ("target", "result", "key", "value"):
            if name not in _WRITTEN.get(made["type"], ()):
                continue
            self.frame.fresh += 1
            source = {"type": "local", "value": self.frame.fresh}
            copies.append(self.statement_of("AssignVarStmt", source=source, target=content[name]))
            content[name] = self.frame.fresh
        if made["type"] == "ScanStmt":
            content["block"]["stmts"][:0] = copies
            return [made]
        return [made, *copies]

    def assign(self) -> Raw:
        operand = self.operand()
        kind = (
            self.frame.kinds.get(operand["value"], "any") if operand["type"] == "local" else "str"
        )
        name = self.pick(["AssignVarStmt", "AssignVarStmt", "AssignVarOnceStmt"])
        return self.statement_of(name, source=operand, target=self.target(kind))

    def make(self) -> Raw:
        name = self.pick(["MakeArrayStmt", "MakeObjectStmt", "MakeSetStmt"])
        frame = self.frame
        target = self.pick(frame.collections)
        frame.kinds[target] = _MADE[name]
        return self.statement_of(name, target=target)

    def scalar(self) -> Raw:
        name = self.pick(
            ["MakeNullStmt", "MakeNumberIntStmt", "MakeNumberRefStmt", "ResetLocalStmt"]
        )
        if name == "MakeNumberIntStmt":
            return self.statement_of(
                name, value=self.pick([0, 1, 2, 3, -1]), target=self.target("num")
            )
        if name == "MakeNumberRefStmt":
            index = self.text(self.pick(NUMBERS))["value"]
            return self.statement_of(name, Index=index, target=self.target("num"))
        return self.statement_of(name, target=self.target())

    def dot(self) -> Raw:
        source = self.local(self.pick(["", "obj", "arr", "set"]))
        key = self.key(source)
        found = {"type": "local", "value": source}
        if self.flip(20):
            found = self.operand()
        kind = (
            _FIELD_KINDS.get(self.strings[key["value"]], "any")
            if key["type"] == "string_index"
            else "any"
        )
        return self.statement_of("DotStmt", source=found, key=key, target=self.target(kind))

    def compare(self) -> Raw:
        kind = self.pick(["", "num", "str", "obj", "set", "arr"])
        name = self.pick(["EqualStmt", "NotEqualStmt", "NotEqualStmt"])
        return self.statement_of(name, a=self.operand(kind), b=self.operand(kind))

    def ask(self) -> Raw:
        name = self.pick(
            ["IsDefinedStmt", "IsUndefinedStmt", "IsArrayStmt", "IsObjectStmt", "IsSetStmt"]
        )
        if name.endswith(("definedStmt", "DefinedStmt")):
            return self.statement_of(name, source=self.local())
        return self.statement_of(name, source=self.operand(_ASKED[name]))

    def length(self) -> Raw:
        return self.statement_of("LenStmt", source=self.operand(), target=self.target("num"))

    def grow(self) -> Raw:
        frame = self.frame
        name = self.pick(["array", "set", "set", "insert", "insert", "once"])
        kind = {"array": "arr", "set": "set"}.get(name, "obj")
        fitting = [n for n in frame.collections if frame.kinds.get(n) == kind]
        held = self.pick(fitting if fitting and not self.flip(8) else frame.collections)
        value = self.operand()
        if name == "array":
            return self.statement_of("ArrayAppendStmt", value=value, array=held)
        if name == "set":
            return self.statement_of("SetAddStmt", value=value, set=held)
        once = "Once" if name == "once" else ""
        key = self.operand(self.pick(["", "str", "num"]))
        return self.statement_of(f"ObjectInsert{once}Stmt", key=key, value=value, object=held)

    def merge(self) -> Raw:
        a, b = self.local("obj"), self.local("obj")
        frame = self.frame
        target = self.pick([*frame.collections, *frame.values])
        frame.kinds[target] = "obj"
        return self.statement_of("ObjectMergeStmt", a=a, b=b, target=target)

    def scan(self) -> Raw | None:
        frame = self.frame
        if frame.loops >= 2 or frame.budget < 1:
            return None
        source = self.local(self.pick(["arr", "set", "obj", ""]))
        key, value = self.target(), self.target()
        body = self.block(loop=True)
        return self.statement_of("ScanStmt", source=source, key=key, value=value, block=body)

    def inner(self) -> Raw | None:
        if self.frame.depth >= 5:
            return None
        blocks = [self.block() for _ in range(self.chance.randint(1, 3))]
        return self.statement_of("BlockStmt", blocks=blocks)

    def negation(self) -> Raw | None:
        if self.frame.depth >= 5:
            return None
        return self.statement_of("NotStmt", block=self.block())

    def leave(self) -> Raw:
        index = self.chance.randrange(min(self.frame.depth, 3))
        return self.statement_of("BreakStmt", index=index)

    def replace(self) -> Raw | None:
        frame = self.frame
        if frame.depth >= 5 or frame.loops > 1:
            return None
        local = self.pick([0, 0, 0, 1, 1, self.pick(frame.values or [0])])
        names = FIELDS if local == 0 else FACTS
        path = None
        if self.flip():
            path = [self.text(self.pick(names))["value"]]
            path += [self.text(self.pick(STRINGS))["value"]] if self.flip(3) else []
        value = self.operand()
        return self.statement_of(
            "WithStmt", local=local, path=path, value=value, block=self.block()
        )

    def call(self) -> Raw | None:
        if not self.functions:
            return None
        function = self.pick(self.functions)
        args = [{"type": "local", "value": 0}, {"type": "local", "value": 1}]
        args += [self.operand() for _ in function["params"][FIRST:]]
        return self.statement_of("CallStmt", func=function["name"], args=args, result=self.target())

    def dynamic(self) -> Raw | None:
        if not self.functions or self.frame.depth < 3:
            return None
        path = [self.text("g0"), self.text("p"), self.text(self.pick(self.functions)["path"][-1])]
        if self.flip():
            path[2] = self.operand("str")
        return self.statement_of("CallDynamicStmt", path=path, args=[0, 1], result=self.target())

    def builtin(self) -> Raw:
        name = self.pick(tuple(BUILTINS))
        kinds, result = BUILTINS[name]
        args = [self.operand(kind if not self.flip(12) else "") for kind in kinds]
        return self.statement_of("CallStmt", func=name, args=args, result=self.target(result))


_MADE: Final = {"MakeArrayStmt": "arr", "MakeObjectStmt": "obj", "MakeSetStmt": "set"}
_WRITTEN: Final = {
    "DotStmt": ("target",),
    "CallStmt": ("result",),
    "CallDynamicStmt": ("result",),
    "ScanStmt": ("key", "value"),
}
"""What these statements write; they may be undefined, or another round may write it."""

_ASKED: Final = {"IsArrayStmt": "arr", "IsObjectStmt": "obj", "IsSetStmt": "set"}
_FIELD_KINDS: Final = {
    "amount": "num",
    "at": "num",
    "few": "num",
    "name": "str",
    "tags": "arr",
    "flags": "obj",
    "items": "arr",
    "nested": "obj",
    "on": "bool",
    "limits": "obj",
    "owners": "obj",
    "table": "arr",
    "names": "arr",
    "deep": "obj",
}
_STATEMENTS: Final[list[Callable[[Maker], Raw | None]]] = [
    *[Maker.assign] * 4,
    *[Maker.make] * 3,
    *[Maker.scalar] * 4,
    *[Maker.dot] * 5,
    *[Maker.compare] * 2,
    Maker.ask,
    Maker.length,
    *[Maker.grow] * 5,
    Maker.merge,
    *[Maker.scan] * 3,
    *[Maker.inner] * 4,
    *[Maker.negation] * 2,
    Maker.leave,
    Maker.replace,
    *[Maker.call] * 4,
    Maker.dynamic,
    *[Maker.builtin] * 5,
]
"""How often each kind of statement is drawn."""
