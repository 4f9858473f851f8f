"""Why an evaluation gave what it gave: the rules that ran, and what made the others undefined.

The interpreter is observed, not changed: :class:`_Tracer` runs the same statements and notes
each in the words of the policy as far as the plan still has them. Names of variables are
not in a plan, so an expression is told by its path (``input.tool.operation``) or by its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from guardrails.errors import EvaluationError
from guardrails.rego import ir
from guardrails.rego.evaluation import Evaluation
from guardrails.rego.values import UNDEFINED, RegoSet, dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from guardrails.rego.builtins.base import EvaluationContext
    from guardrails.rego.evaluation import Action, Frame, Limits, Routine, Signal
    from guardrails.rego.interpreter import Interpreter
    from guardrails.rego.values import Value

Mode: TypeAlias = Literal["notes", "fails", "full"]
"""How much is told: the rules and their values; also what failed in those without a value
or with an empty one; or every statement."""

MAX_ENTRIES: Final = 20_000
"""Statements and rules that one trace keeps."""

_SHORT: Final = 100
"""Characters of a value that are shown."""

_MAX_FAILURES: Final = 8
"""Failures that are told of one rule, outside of the mode `full`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement that ran.

    Attributes:
        where: Its place in the Rego file.
        text: The statement in the words of the policy, with the values in it.
        held: Whether it went on.
        negated: Whether it stood under a `not`, where to fail is to succeed.
    """

    where: ir.Location
    text: str
    held: bool
    negated: bool


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One run of a rule or function.

    Attributes:
        name: As ``data.guardrails.rules.access.allow``, a function with its arguments.
        where: The file and row of its first definition.
        value: What it gave; UNDEFINED if nothing, or if the evaluation ended in it.
        entries: The statements and the other rules that it ran, in order.
    """

    name: str
    where: ir.Location
    value: Value
    entries: tuple[Step | RuleTrace, ...]

    @property
    def contributes(self) -> bool:
        """Whether its value is something: neither undefined nor false nor an empty collection."""
        if self.value is UNDEFINED or self.value is False:
            return False
        return not (isinstance(self.value, list | dict | RegoSet) and len(self.value) == 0)

    @property
    def failures(self) -> tuple[Step, ...]:
        """The statements at which its bodies ended, each once; loops end many a round."""
        failed = (
            entry
            for entry in self.entries
            if isinstance(entry, Step) and not entry.held and not entry.negated
        )
        return tuple(dict.fromkeys(failed))

    def rules(self) -> Iterator[RuleTrace]:
        """This rule, and those that ran within it, in the order in which they began."""
        yield self
        for entry in self.entries:
            if isinstance(entry, RuleTrace):
                yield from entry.rules()


@dataclass(frozen=True, slots=True)
class Trace:
    """What an evaluation did.

    Attributes:
        entrypoint: What was evaluated.
        results: The result set, as :meth:`Program.run` gives it.
        error: What ended the evaluation instead.
        calls: The rules that the entrypoint ran.
        complete: Whether everything was kept (:data:`MAX_ENTRIES`).
    """

    entrypoint: str
    results: list[Value]
    error: EvaluationError | None
    calls: tuple[RuleTrace, ...]
    complete: bool

    def rules(self) -> Iterator[RuleTrace]:
        """Every rule and function that ran, in the order in which they began."""
        for call in self.calls:
            yield from call.rules()

    def render(self, mode: Mode = "fails") -> str:
        """The trace as text, a line each, indented as the rules ran within one another."""
        lines = [line for call in self.calls for line in _lines(call, mode, 0)]
        if not self.complete:
            lines.append(f"(only the first {MAX_ENTRIES} statements are shown)")
        if self.error is not None:
            lines.append(f"error: {self.error}")
        elif not self.results:
            lines.append(f"{self.entrypoint} is undefined")
        else:
            shown = [_short(result.get("result", result)) for result in self.results]
            lines.append(f"{self.entrypoint} = {', '.join(shown)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()


def trace(  # noqa: PLR0913  # an evaluation's inputs; the last one by name
    interpreter: Interpreter,
    plan: ir.Plan,
    document: Value,
    data: Value,
    context: EvaluationContext,
    *,
    strict_builtin_errors: bool = False,
) -> Trace:
    """The trace of one evaluation; arguments as ``Interpreter.run``, which it equals."""
    linked = interpreter.linked(_observed)
    tracer = _Tracer(
        linked.functions, context, interpreter.limits, strict_builtin_errors=strict_builtin_errors
    )
    results: list[Value] = []
    error: EvaluationError | None = None
    try:
        results = tracer.run(linked.plans[plan.name], document, data)
    except EvaluationError as failure:
        error = failure
    calls = tuple(entry for entry in tracer.finish() if isinstance(entry, RuleTrace))
    return Trace(plan.name, results, error, calls, complete=tracer.room > 0)


def _lines(rule: RuleTrace, mode: Mode, depth: int) -> Iterator[str]:
    margin = "  " * depth
    value = "undefined" if rule.value is UNDEFINED else f"= {_short(rule.value)}"
    yield f"{margin}{rule.where}  {rule.name}  {value}".rstrip()
    for entry in rule.entries:
        if isinstance(entry, RuleTrace):
            yield from _lines(entry, mode, depth + 1)
        elif mode == "full":
            mark = "holds" if entry.held else "fails"
            yield f"{margin}    {entry.where}  {mark}: {entry.text}"
    if mode == "fails" and not rule.contributes:
        for step in rule.failures[:_MAX_FAILURES]:
            yield f"{margin}    {step.where}  fails: {step.text}"
        if len(rule.failures) > _MAX_FAILURES:
            yield f"{margin}    and {len(rule.failures) - _MAX_FAILURES} more"


def _short(value: Value) -> str:
    text = dumps(value)
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


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

    __slots__ = ("entries", "leaves", "name", "negations", "places", "texts", "where")

    def __init__(self, name: str, where: ir.Location) -> None:
        self.name = name
        self.where = where
        self.entries: list[Step | RuleTrace] = []
        self.texts: dict[int, str] = {ir.INPUT: "input", ir.DATA: "data"}
        # Of a local that holds a builtin's result: what went into it, and its place.
        self.leaves: dict[int, dict[str, str]] = {}
        self.places: dict[int, ir.Location] = {}
        self.negations = 0

    def close(self, value: Value) -> RuleTrace:
        return RuleTrace(self.name, self.where, value, tuple(self.entries))


class _Tracer(Evaluation):
    """An evaluation that notes what it does."""

    def __init__(
        self,
        functions: Mapping[str, Routine],
        context: EvaluationContext,
        limits: Limits,
        *,
        strict_builtin_errors: bool = False,
    ) -> None:
        super().__init__(context, limits, strict_builtin_errors=strict_builtin_errors)
        self.functions = functions
        self.open = [_Open("", ir.NOWHERE)]
        self.room = MAX_ENTRIES

    def invoke(self, routine: Routine, args: Iterable[Value]) -> Value:
        if not routine.path:
            return super().invoke(routine, args)
        args = tuple(args)
        name = _name(routine)
        if not routine.is_rule:
            name += f"({', '.join(map(_shown, args[ir.RULE_PARAMETERS :]))})"
        self.open.append(_Open(name, routine.where))
        value = super().invoke(routine, args)
        self.note(self.open.pop().close(value))
        return value

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
        told = self.tell(statement, frame)
        if told is not None:
            held = signal is None
            text = told if held else self.reason(statement, frame, told)
            if not (held and self.says_nothing(statement, frame)):
                where = self.place(statement)
                self.note(Step(where, text, held, negated=here.negations > 0))
        self.learn(statement, frame)
        return signal

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
        """Where `statement` stands; a test of a builtin's result stands where the builtin does."""
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
                path = _name(self.functions[function])
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


def _name(routine: Routine) -> str:
    return ".".join(("data", *routine.path[1:]))


def _shown(value: Value) -> str:
    return "undefined" if value is UNDEFINED else _short(value)


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
