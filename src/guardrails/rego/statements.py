"""The statements of one function or plan, from the document to checked nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from guardrails.rego import ir
from guardrails.rego.numerals import parse_number
from guardrails.rego.plan_reader import MAX_INTEGER, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.rego.plan_reader import PlanReader, Raw

MAX_DEPTH: Final = 100
"""Deepest nesting of blocks that is accepted; OPA's conformance cases reach 13."""

_TAKEN_FOR_FUNCTIONS: Final = frozenset({"strings.split_n", "trace"})
"""Builtins that regopy does not know: it calls them as functions of the policy, with input and
data first. What else it does not know OPA refuses, or regopy itself does."""


class StatementDecoder:
    """Decodes the blocks of one function or plan, and numbers its locals densely.

    Args:
        reader: The document.
        arities: How many parameters each function of the policy has, by its name.
        params: The locals of the parameters, as the document numbers them.
        function: Whether these are a function's statements; else a plan's.

    Attributes:
        numbers: The locals, from the document's numbers to the new ones.
    """

    def __init__(
        self,
        reader: PlanReader,
        arities: Mapping[str, int],
        params: tuple[int, ...],
        *,
        function: bool,
    ) -> None:
        self.reader = reader
        self.arities = arities
        self.function = function
        self.params = len(params)
        self.numbers = {param: number for number, param in enumerate(params)}
        self.depth = 0
        self.where = ir.NOWHERE
        self.shared: set[int] = set()
        self.replaced: set[int] = set()
        self.changed: dict[int, str] = {}

    def whole(self, raw: Raw) -> tuple[ir.Body, ...]:
        """The blocks of the function or plan, in which only what it made is changed in place.

        OPA also changes what it finds by a DotStmt in an object that it builds, and inserts it
        again. It may find there what a rule copied from data; and it uses one local for several
        things. So what comes into such a local from elsewhere is copied.

        INVARIANT: input, data, arguments and memoised results are never changed in place.
        """
        blocks = self.blocks(raw)
        for local, place in self.changed.items():
            if local < self.params or local in self.replaced:
                self.reader.place = [place]
                self.reader.fail("a parameter, or what WithStmt replaces, is changed in place")
        shared = self.shared.intersection(self.changed)
        return _owning(blocks, shared) if shared else blocks

    def blocks(self, raw: Raw) -> tuple[ir.Body, ...]:
        """The blocks in the field `blocks`."""
        return tuple(
            self.body(block, f"blocks[{number}]")
            for number, block in enumerate(self.reader.listing(raw, "blocks"))
        )

    def body(self, raw: object, name: str) -> ir.Body:
        """The statements of one block; `name` is the field that held it."""
        reader = self.reader
        reader.place.append(name)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            reader.fail(f"blocks are nested deeper than {MAX_DEPTH}")
        found = []
        for number, item in enumerate(reader.listing(reader.mapping(raw), "stmts")):
            reader.place.append(f"stmts[{number}]")
            statement = self.statement(reader.mapping(item))
            if statement is not None:
                found.append(statement)
            reader.place.pop()
        self.depth -= 1
        reader.place.pop()
        return tuple(found)

    def statement(self, raw: Raw) -> ir.Statement | None:
        """One statement; None for one that does nothing."""
        name = self.reader.string(raw, "type")
        make = _MAKERS.get(name)
        if make is None:
            self.reader.fail(f"unknown statement `{name}`; known are {', '.join(sorted(_MAKERS))}")
        content = self.reader.mapping(self.reader.need(raw, "stmt"), "stmt")
        where = self.reader.location(content)
        if where is ir.NOWHERE:
            # regopy places no bookkeeping: it belongs to what was before it.
            where = self.where
        self.where = where
        return make(self, content, where)

    # Locals and operands.

    def number(self, value: object, name: str) -> int:
        """The new number of a local."""
        local = self.reader.local_number(value, name)
        return self.numbers.setdefault(local, len(self.numbers))

    def local(self, raw: Raw, name: str) -> ir.Local:
        """A local that is read, from the field `name`."""
        return ir.Local(self.number(self.reader.need(raw, name), name))

    def target(self, raw: Raw, name: str = "target") -> int:
        """A local that gets a value which something else may hold, too."""
        found = self.new(raw, name)
        self.shared.add(found)
        return found

    def new(self, raw: Raw, name: str = "target") -> int:
        """A local that gets a value of its own."""
        found = self.number(self.reader.need(raw, name), name)
        if found in {ir.INPUT, ir.DATA}:
            self.reader.fail(f"`{name}` is {found}; input and data are changed by WithStmt alone")
        return found

    def collection(self, raw: Raw, name: str) -> ir.Local:
        """A local whose collection the statement changes in place."""
        found = self.local(raw, name)
        self.changed.setdefault(found.index, ".".join(self.reader.place))
        return found

    def operand(self, raw: Raw, name: str) -> ir.Operand:
        """The operand in the field `name`."""
        return self.operand_of(self.reader.need(raw, name), name)

    def operand_of(self, raw: object, name: str) -> ir.Operand:
        """The operand that `raw` describes."""
        reader = self.reader
        content = reader.mapping(raw, name)
        kind = reader.string(content, "type")
        value = reader.need(content, "value")
        if kind == "local":
            return ir.Local(self.number(value, name))
        if kind == "string_index":
            return ir.Constant(reader.static_string(value, name))
        if kind != "bool":
            reader.fail(f"`{name}` has the type `{kind}`; known are bool, local, string_index")
        if type(value) is not bool:
            reader.fail(f"`{name}` is {kind_of(value)}; a boolean is needed")
        return ir.Constant(value)

    def arguments(self, raw: Raw) -> tuple[ir.Operand, ...]:
        """The arguments of a call, of either dialect."""
        return tuple(
            ir.Local(self.number(item, "args"))
            if type(item) is int
            else self.operand_of(item, f"args[{number}]")
            for number, item in enumerate(self.reader.listing(raw, "args"))
        )

    def call_arguments(self, raw: Raw) -> tuple[ir.Operand, ...]:
        """The arguments of a call of a rule or function."""
        found = self.arguments(raw)
        if found[:2] != (ir.Local(ir.INPUT), ir.Local(ir.DATA)):
            self.reader.fail("the first two arguments of a call must be locals 0 and 1")
        return found

    # Statements that need more than their fields read.

    def leave(self, raw: Raw, where: ir.Location) -> ir.Break:
        """A BreakStmt."""
        index = self.reader.need(raw, "index")
        return ir.Break(where, self.reader.integer(index, "index", below=self.depth))

    def call(self, raw: Raw, where: ir.Location) -> ir.Statement:
        """A CallStmt: of the policy's function of that name, else of a builtin."""
        name = self.reader.string(raw, "func")
        arity = self.arities.get(name)
        if arity is None:
            given = self.arguments(raw)
            if self.reader.planner == "regopy" and name in _TAKEN_FOR_FUNCTIONS:
                given = self.call_arguments(raw)[ir.RULE_PARAMETERS :]
            return ir.CallBuiltin(where, name, given, self.target(raw, "result"))
        args = self.call_arguments(raw)
        if self.reader.planner == "regopy" and arity == ir.RULE_PARAMETERS:
            # A function that is mocked by a rule is called with its arguments all the same.
            args = args[:arity]
        if len(args) != arity:
            self.reader.fail(f"`{name}` takes {arity} arguments and is called with {len(args)}")
        return ir.CallFunction(where, name, args, self.target(raw, "result"))

    def call_dynamic(self, raw: Raw, where: ir.Location) -> ir.CallDynamic | ir.Reference:
        """A CallDynamicStmt, by what the planner means with it."""
        parts = self.reader.listing(raw, "path")
        path = tuple(self.operand_of(part, f"path[{number}]") for number, part in enumerate(parts))
        args = self.call_arguments(raw)
        if len(args) != ir.RULE_PARAMETERS:
            self.reader.fail("a dynamic call takes input and data alone")
        if self.reader.planner == "regopy":
            if path[:1] != (ir.Constant("data"),):
                self.reader.fail("the path of a dynamic call must begin with `data`")
            return ir.Reference(where, path[1:], args, self.target(raw, "result"))
        if self.depth <= ir.UNDEFINED_CALL_LEAVES:
            self.reader.fail("CallDynamicStmt needs three blocks around it, which it may leave")
        return ir.CallDynamic(where, path, args, self.target(raw, "result"))

    def number_reference(self, raw: Raw, where: ir.Location) -> ir.MakeNumber:
        """A MakeNumberRefStmt."""
        name = "index" if "index" in raw else "Index"
        text = self.reader.static_string(self.reader.need(raw, name), name)
        try:
            value = parse_number(text)
        except ValueError as error:
            self.reader.fail(str(error))
        return ir.MakeNumber(where, value, self.target(raw))

    def integer(self, raw: Raw, where: ir.Location) -> ir.MakeNumber:
        """A MakeNumberIntStmt or AssignIntStmt."""
        value = self.reader.integer(
            self.reader.need(raw, "value"), "value", below=MAX_INTEGER, least=-MAX_INTEGER
        )
        return ir.MakeNumber(where, value, self.target(raw))

    def add_result(self, raw: Raw, where: ir.Location) -> ir.ResultSetAdd:
        """A ResultSetAddStmt."""
        if self.function:
            self.reader.fail("ResultSetAddStmt stands in a function; only plans have results")
        return ir.ResultSetAdd(where, self.local(raw, "value"))

    def returns(self, raw: Raw, where: ir.Location) -> ir.ReturnLocal:
        """A ReturnLocalStmt."""
        if not self.function or self.depth != 1:
            self.reader.fail("ReturnLocalStmt stands elsewhere than at the top of a function")
        return ir.ReturnLocal(where, self.local(raw, "source"))

    def scan(self, raw: Raw, where: ir.Location) -> ir.Scan:
        """A ScanStmt."""
        source = self.local(raw, "source")
        key, value = self.target(raw, "key"), self.target(raw, "value")
        return ir.Scan(where, source, key, value, self.nested(raw))

    def with_statement(self, raw: Raw, where: ir.Location) -> ir.With:
        """A WithStmt."""
        local = self.number(self.reader.need(raw, "local"), "local")
        self.replaced.add(local)
        path = tuple(
            self.reader.static_string(item, "path") for item in self.reader.listing(raw, "path")
        )
        return ir.With(where, local, path, self.operand(raw, "value"), self.nested(raw))

    def nested(self, raw: Raw) -> ir.Body:
        """The one block in the field `block`."""
        return self.body(self.reader.need(raw, "block"), "block")


_MAKERS: Final[dict[str, Callable[[StatementDecoder, Raw, ir.Location], ir.Statement | None]]] = {
    "ArrayAppendStmt": lambda f, r, w: ir.ArrayAppend(
        w, f.collection(r, "array"), f.operand(r, "value")
    ),
    "AssignIntStmt": StatementDecoder.integer,
    "AssignVarStmt": lambda f, r, w: ir.AssignVar(w, f.operand(r, "source"), f.target(r)),
    "AssignVarOnceStmt": lambda f, r, w: ir.AssignVarOnce(w, f.operand(r, "source"), f.target(r)),
    "BlockStmt": lambda f, r, w: ir.Block(w, f.blocks(r)),
    "BreakStmt": StatementDecoder.leave,
    "CallStmt": StatementDecoder.call,
    "CallDynamicStmt": StatementDecoder.call_dynamic,
    "DotStmt": lambda f, r, w: ir.Dot(w, f.operand(r, "source"), f.operand(r, "key"), f.target(r)),
    "EqualStmt": lambda f, r, w: ir.Equal(w, f.operand(r, "a"), f.operand(r, "b")),
    "IsArrayStmt": lambda f, r, w: ir.IsArray(w, f.operand(r, "source")),
    "IsDefinedStmt": lambda f, r, w: ir.IsDefined(w, f.local(r, "source")),
    "IsObjectStmt": lambda f, r, w: ir.IsObject(w, f.operand(r, "source")),
    "IsSetStmt": lambda f, r, w: ir.IsSet(w, f.operand(r, "source")),
    "IsUndefinedStmt": lambda f, r, w: ir.IsUndefined(w, f.local(r, "source")),
    "LenStmt": lambda f, r, w: ir.Len(w, f.operand(r, "source"), f.target(r)),
    "MakeArrayStmt": lambda f, r, w: ir.MakeArray(w, f.new(r)),
    "MakeNullStmt": lambda f, r, w: ir.MakeNull(w, f.target(r)),
    "MakeNumberIntStmt": StatementDecoder.integer,
    "MakeNumberRefStmt": StatementDecoder.number_reference,
    "MakeObjectStmt": lambda f, r, w: ir.MakeObject(w, f.new(r)),
    "MakeSetStmt": lambda f, r, w: ir.MakeSet(w, f.new(r)),
    "NopStmt": lambda _f, _r, _w: None,
    "NotEqualStmt": lambda f, r, w: ir.NotEqual(w, f.operand(r, "a"), f.operand(r, "b")),
    "NotStmt": lambda f, r, w: ir.Not(w, f.nested(r)),
    "ObjectInsertStmt": lambda f, r, w: ir.ObjectInsert(
        w, f.operand(r, "key"), f.operand(r, "value"), f.collection(r, "object")
    ),
    "ObjectInsertOnceStmt": lambda f, r, w: ir.ObjectInsertOnce(
        w, f.operand(r, "key"), f.operand(r, "value"), f.collection(r, "object")
    ),
    "ObjectMergeStmt": lambda f, r, w: ir.ObjectMerge(
        w, f.local(r, "a"), f.local(r, "b"), f.new(r)
    ),
    "ResetLocalStmt": lambda f, r, w: ir.ResetLocal(w, f.new(r)),
    "ResultSetAddStmt": StatementDecoder.add_result,
    "ReturnLocalStmt": StatementDecoder.returns,
    "ScanStmt": StatementDecoder.scan,
    "SetAddStmt": lambda f, r, w: ir.SetAdd(w, f.operand(r, "value"), f.collection(r, "set")),
    "WithStmt": StatementDecoder.with_statement,
}


def _owning(blocks: tuple[ir.Body, ...], shared: set[int]) -> tuple[ir.Body, ...]:
    """`blocks` with an Own after each statement that puts a value into a local of `shared`."""
    return tuple(_owning_body(body, shared) for body in blocks)


def _owning_body(body: ir.Body, shared: set[int]) -> ir.Body:
    found: list[ir.Statement] = []
    for statement in body:
        owns = [ir.Own(statement.where, n) for n in ir.writes(statement) if n in shared]
        if isinstance(statement, ir.Block):
            found.append(replace(statement, blocks=_owning(statement.blocks, shared)))
        elif isinstance(statement, ir.Scan):
            inner = _owning_body(statement.body, shared)
            found.append(replace(statement, body=(*owns, *inner)))
        elif isinstance(statement, ir.Not | ir.With):
            found.append(replace(statement, body=_owning_body(statement.body, shared)))
        elif isinstance(statement, _MAKE_THEIR_OWN):
            found.append(statement)
        else:
            found += [statement, *owns]
    return tuple(found)


_MAKE_THEIR_OWN: Final = (ir.MakeArray, ir.MakeObject, ir.MakeSet, ir.ObjectMerge, ir.ResetLocal)
