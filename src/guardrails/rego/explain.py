"""Why an evaluation gave what it gave: the rules that ran, and what made the others undefined.

The interpreter is observed, not changed: :class:`_Tracer` runs the same statements and notes
each in the words of the policy as far as the plan still has them. Names of variables are
not in a plan, so an expression is told by its path (``input.tool.operation``) or by its value;
where the sources are given, parameters have their names, and an expression that was planned as
a function of its own is told as it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.errors import EvaluationError
from guardrails.rego import ir
from guardrails.rego.definitions import blocks_of, head_writes
from guardrails.rego.evaluation import Evaluation
from guardrails.rego.explanation import MAX_ENTRIES, Mode, RuleTrace, Step, Trace, shortened
from guardrails.rego.source_words import SourceWords, is_lifted
from guardrails.rego.values import UNDEFINED, RegoSet, dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrails.rego.builtins.base import EvaluationContext
    from guardrails.rego.evaluation import Action, Frame, Limits, Routine, Signal
    from guardrails.rego.interpreter import Interpreter
    from guardrails.rego.values import Value


def trace(  # noqa: PLR0913  # an evaluation's inputs; the last one by name
    interpreter: Interpreter,
    plan: ir.Plan,
    document: Value,
    data: Value,
    context: EvaluationContext,
    *,
    strict_builtin_errors: bool = False,
    sources: Mapping[str, str] | None = None,
) -> Trace:
    """The trace of one evaluation; arguments as ``Interpreter.run``, which it equals.

    With `sources`, Rego by file name, it is told in the author's words where the plan has none.
    """
    linked = interpreter.linked(_observed)
    tracer = _Tracer(
        linked.functions,
        context,
        interpreter.limits,
        strict_builtin_errors=strict_builtin_errors,
        policy=interpreter.policy,
        words=SourceWords(sources or {}),
    )
    results: list[Value] = []
    error: EvaluationError | None = None
    try:
        results = tracer.run(linked.plans[plan.name], document, data)
    except EvaluationError as failure:
        error = tracer.placed(failure)
    calls = tuple(entry for entry in tracer.finish() if isinstance(entry, RuleTrace))
    return Trace(plan.name, results, error, calls, complete=tracer.room > 0)


_OPERATORS: Final = {
    "equal": "==",
    "neq": "!=",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
    "plus": "+",
    "minus": "-",
    "mul": "*",
    "div": "/",
    "rem": "%",
    "and": "&",
    "or": "|",
    "internal.member_2": "in",
}


class _Open:
    """A rule that is running: its entries so far, and what its locals stand for."""

    __slots__ = (
        "body",
        "entries",
        "held",
        "leaves",
        "name",
        "negations",
        "places",
        "texts",
        "where",
    )

    def __init__(self, name: str, where: ir.Location) -> None:
        self.name = name
        self.where = where
        self.entries: list[Step | RuleTrace] = []
        self.texts: dict[int, str] = {ir.INPUT: "input", ir.DATA: "data"}
        # Of a local that holds a builtin's result: what went into it; of any that holds what an
        # expression gave: its place.
        self.leaves: dict[int, dict[str, str]] = {}
        self.places: dict[int, ir.Location] = {}
        self.negations = 0
        self.body = 0
        self.held: set[int] = set()

    def close(self, value: Value) -> RuleTrace:
        return RuleTrace(self.name, self.where, value, tuple(self.entries), frozenset(self.held))


class _Tracer(Evaluation):
    """An evaluation that notes what it does."""

    def __init__(  # noqa: PLR0913  # what an evaluation takes, and what tells of it, by name
        self,
        functions: Mapping[str, Routine],
        context: EvaluationContext,
        limits: Limits,
        *,
        strict_builtin_errors: bool,
        policy: ir.Policy,
        words: SourceWords,
    ) -> None:
        super().__init__(context, limits, strict_builtin_errors=strict_builtin_errors)
        self.functions = functions
        self.heads = head_writes(policy.functions)
        self.blocks = blocks_of(policy.functions)
        self.words = words
        self.open = [_Open("", ir.NOWHERE)]
        self.room = MAX_ENTRIES

    def invoke(self, routine: Routine, args: Iterable[Value]) -> Value:
        if not routine.path:
            return super().invoke(routine, args)
        args = tuple(args)
        opened = _Open(self.title(routine, args[ir.RULE_PARAMETERS :]), routine.where)
        names = self.words.parameters(routine.where.file, routine.path[-1])
        for local, name in enumerate(names, ir.RULE_PARAMETERS):
            if name is not None and local < len(args):
                opened.texts[local] = name
        self.open.append(opened)
        value = super().invoke(routine, args)
        self.note(self.open.pop().close(value))
        return value

    def title(self, routine: Routine, args: tuple[Value, ...]) -> str:
        """What a rule, or one call of a function, is called."""
        if is_lifted(routine.path[-1]):
            return self.words.expression(routine.where) or _LIFTED
        name = _name(routine)
        return name if routine.is_rule else f"{name}({', '.join(map(_shown, args))})"

    def placed(self, error: EvaluationError) -> EvaluationError:
        """`error` with the place of the rule in which it came about, where it has none itself."""
        where = self.open[-1].where
        if error.file is not None or where.file is None:
            return error
        return EvaluationError(error.code, error.message, file=where.file, row=where.row)

    def note(self, entry: Step | RuleTrace) -> None:
        # Rules are kept beyond the limit if something in them was: their number is bounded by it.
        if self.room > 0 or (isinstance(entry, RuleTrace) and entry.entries):
            self.room -= 1
            self.open[-1].entries.append(entry)

    def finish(self) -> list[Step | RuleTrace]:
        """The entries of the plan; rules in which the evaluation ended are closed as undefined."""
        while len(self.open) > 1:
            self.note(self.open.pop().close(UNDEFINED))
        return self.open[0].entries

    def observe(self, statement: ir.Statement, action: Action, frame: Frame) -> Signal:
        """Run one statement, and note what it did."""
        here = self.open[-1]
        here.body = self.blocks.get(id(statement), here.body)
        if isinstance(statement, ir.Not):
            here.negations += 1
            signal = action(self, frame)
            here.negations -= 1
        else:
            if isinstance(statement, ir.Scan):
                here.texts.pop(statement.key, None)
                here.texts[statement.value] = f"{self.text(statement.source, frame)}[_]"
            self.suppressed = None
            signal = action(self, frame)
        if signal is None and id(statement) in self.heads:
            here.held.add(here.body)
        told = self.tell(statement, frame)
        if isinstance(statement, ir.CallBuiltin) and statement.name in _NOTES:
            said = self.said(statement, frame)
            self.note(Step(statement.where, said, held=True, negated=False, note=True))
        elif told is not None:
            held = signal is None
            text = told if held else self.reason(statement, frame, told)
            if not (held and self.says_nothing(statement, frame)):
                where = self.place(statement)
                self.note(Step(where, text, held, here.negations > 0, body=here.body))
        self.learn(statement, frame)
        return signal

    def said(self, statement: ir.CallBuiltin, frame: Frame) -> str:
        """What `trace` or `print` tells; of `print`, each argument is the set of its values."""
        (operand,) = statement.args
        value = operand.value if isinstance(operand, ir.Constant) else frame[operand.index]
        if statement.name == "trace" or not isinstance(value, list):
            return _plain(value)
        return " ".join(
            ", ".join(map(_plain, part))
            if isinstance(part, RegoSet) and len(part)
            else "<undefined>"
            for part in value
        )

    def text(self, operand: ir.Operand, frame: Frame) -> str:
        """What an operand stands for: a path, an expression, or its value."""
        if isinstance(operand, ir.Constant):
            return dumps(operand.value)
        known = self.open[-1].texts.get(operand.index)
        return known if known is not None else _shown(frame[operand.index])

    def says_nothing(self, statement: ir.Statement, frame: Frame) -> bool:
        """Whether another statement of the same expression tells what this one, which held, did."""
        if isinstance(statement, ir.CallBuiltin):
            return type(frame[statement.target]) is bool
        if isinstance(statement, ir.NotEqual) and statement.b == ir.Constant(value=False):
            return not (
                isinstance(statement.a, ir.Local) and statement.a.index in self.open[-1].leaves
            )
        return isinstance(statement, ir.Dot)

    def place(self, statement: ir.Statement) -> ir.Location:
        """Where `statement` stands; a test of what an expression gave stands where that does."""
        if isinstance(statement, ir.NotEqual) and isinstance(statement.a, ir.Local):
            return self.open[-1].places.get(statement.a.index, statement.where)
        return statement.where

    def values(self, statement: ir.Statement, frame: Frame) -> dict[str, str]:
        """The values that `statement` reads, by the texts for which they stand."""
        found: dict[str, str] = {}
        for local in ir.reads(statement):
            leaves = self.open[-1].leaves.get(local)
            if leaves is not None:
                found.update(leaves)
            elif local not in {ir.INPUT, ir.DATA}:
                found[self.text(ir.Local(local), frame)] = _shown(frame[local])
        return {text: shown for text, shown in found.items() if text != shown}

    def learn(self, statement: ir.Statement, frame: Frame) -> None:
        """Note what the locals that `statement` wrote stand for."""
        here = self.open[-1]
        texts = here.texts
        for local in ir.writes(statement):
            here.leaves.pop(local, None)
            here.places.pop(local, None)
        if isinstance(statement, ir.CallBuiltin):
            here.leaves[statement.target] = self.values(statement, frame)
        if isinstance(statement, _GIVE_A_VALUE):
            here.places[statement.target] = statement.where
        match statement:
            case ir.AssignVar(source=source, target=target) if source != ir.Local(target):
                if isinstance(source, ir.Local) and source.index not in texts:
                    texts.pop(target, None)
                else:
                    texts[target] = self.text(source, frame)
            case ir.Dot() | ir.CallBuiltin() | ir.CallFunction() | ir.Len():
                texts[statement.target] = self.expression(statement, frame) or ""
            case ir.Scan(value=value):
                texts.pop(value, None)
            case ir.Own() | ir.With():
                pass
            case _:
                for local in ir.writes(statement):
                    texts.pop(local, None)

    def expression(self, statement: ir.Statement, frame: Frame) -> str | None:
        """`statement` as Rego would write it; None for one that only moves values."""
        match statement:
            case ir.Dot(source=source, key=key):
                return self.text(source, frame) + self.step_into(key, frame)
            case ir.Equal(a=a, b=b):
                return f"{self.text(a, frame)} == {self.text(b, frame)}"
            case ir.NotEqual(a=a, b=ir.Constant(value=False)):
                return self.text(a, frame)
            case ir.NotEqual(a=a, b=b):
                return f"{self.text(a, frame)} != {self.text(b, frame)}"
            case ir.CallBuiltin(name=name, args=args):
                return _call(name, [self.text(arg, frame) for arg in args])
            case ir.CallFunction(function=function, args=args):
                called = self.functions[function]
                if is_lifted(called.path[-1]):
                    return self.words.expression(called.where) or _LIFTED
                path = _name(called)
                given = [self.text(arg, frame) for arg in args[2:]]
                return f"{path}({', '.join(given)})" if given else path
            case ir.CallDynamic(path=(_, *parts)) | ir.Reference(path=parts):
                return "data" + "".join(self.step_into(part, frame) for part in parts)
            case ir.IsArray(source=source) | ir.IsObject(source=source) | ir.IsSet(source=source):
                kind = type(statement).__name__.removeprefix("Is").lower()
                return f"is_{kind}({self.text(source, frame)})"
            case ir.Len(source=source):
                return f"count({self.text(source, frame)})"
        return None

    def step_into(self, key: ir.Operand, frame: Frame) -> str:
        value = key.value if isinstance(key, ir.Constant) else frame[key.index]
        if type(value) is str and value.isidentifier():
            return f".{value}"
        return f"[{_shown(value)}]"

    def tell(self, statement: ir.Statement, frame: Frame) -> str | None:
        """The words for a statement that can fail; None for the plan's own bookkeeping."""
        match statement:
            case ir.Not(body=body):
                told = [self.expression(inner, frame) for inner in body]
                return f"not {next((text for text in reversed(told) if text), '…')}"
            case ir.Scan(source=source):
                return f"{self.text(source, frame)}[_]"
        return self.expression(statement, frame)

    def reason(self, statement: ir.Statement, frame: Frame, told: str) -> str:
        """`told`, and the values that made it fail."""
        if self.suppressed is not None:
            return f"{told}  (undefined: {self.suppressed})"
        if isinstance(statement, ir.Scan):
            return f"{told}  (undefined: there is no collection)"
        values = self.values(statement, frame)
        given = ", ".join(f"{text} is {shown}" for text, shown in values.items())
        if isinstance(statement, _GIVE_A_VALUE):
            return f"{told}  (undefined{'; ' + given if given else ''})"
        return f"{told}  ({given})" if given else told


_GIVE_A_VALUE: Final = (ir.Dot, ir.CallFunction, ir.CallDynamic, ir.Reference, ir.CallBuiltin)


_NOTES: Final = frozenset({"internal.print", "trace"})

_LIFTED: Final = "an expression with `with`, or within `every`"
"""What is said of an expression that was planned as a function, where there is no source."""


def _name(routine: Routine) -> str:
    return ".".join(("data", *routine.path[1:]))


def _shown(value: Value) -> str:
    return "undefined" if value is UNDEFINED else shortened(value)


def _plain(value: Value) -> str:
    return value if type(value) is str else _shown(value)


def _call(name: str, args: list[str]) -> str:
    operator = _OPERATORS.get(name)
    if operator is not None and len(args) == len(("left", "right")):
        return f"{args[0]} {operator} {args[1]}"
    return f"{name}({', '.join(args)})"


def _observed(statement: ir.Statement, action: Action) -> Action:
    """What the linker puts around each statement; see :meth:`_Tracer.observe`."""

    def observe(tracer: _Tracer, frame: Frame) -> Signal:
        return tracer.observe(statement, action, frame)

    return observe  # type: ignore[return-value]  # it is run by a _Tracer alone


__all__ = ["MAX_ENTRIES", "Mode", "RuleTrace", "Step", "Trace", "trace"]
