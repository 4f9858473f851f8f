"""A whole policy on its way to Python: its constants, its functions, what is written in place.

A policy is written twice. The first time every rule is a function of its own, which tells what
each gives and how often it is asked for. The second time rules that one place asks for are
written in that place.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from guardrails.rego import ir
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.determinate import search_for
from guardrails.rego.builtins.regex import compiled
from guardrails.rego.emit import residual
from guardrails.rego.emit.abstract import MISSING, Known, ObjectLiteral, Variable
from guardrails.rego.emit.calls import finished, new_frame, returned
from guardrails.rego.liveness import Liveness
from guardrails.rego.emit.outline import outlined
from guardrails.rego.emit.shapes import (
    ANYTHING,
    DOCUMENT,
    NOTHING,
    Kind,
    Shape,
    Shapes,
    join,
)
from guardrails.rego.emit.simplify import simplified
from guardrails.rego.emit.statements import Writer
from guardrails.rego.emit.walk import CannotEmit, Frame, Scope
from guardrails.rego.values import UNDEFINED, RegoSet, from_key, to_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.residual import Body, Text
    from guardrails.rego.emit.walk import Walk
    from guardrails.rego.values import Key, Value


@dataclass(frozen=True, slots=True)
class Settings:
    """What a policy is compiled for.

    Attributes:
        strict: Errors of builtins are errors of the evaluation; else they are undefined.
        optimised: Write rules in place, and drop what has no effect.
        input: The shape that every input is promised to have.
    """

    strict: bool = True
    optimised: bool = True
    input: Shape = ANYTHING


@dataclass(frozen=True, slots=True)
class Constant:
    """One entry of the table of constants.

    Attributes:
        name: As ``K5``.
        form: What is made of the value: ``value`` itself, its ``key`` form, the ``keys`` of its
            items, the ``pattern`` that it is, a ``path`` of names.
        value: The value; where there is an origin, it is not to be copied.
        origin: Where it stands in the bound data; None where it stands in the policy.
    """

    name: str
    form: str
    value: Value
    origin: tuple[str | int, ...] | None = None


@dataclass(slots=True, eq=False)
class Emitted:
    """One function of Python.

    Attributes:
        name: As ``F5``.
        params: The names of its parameters.
        body: Its statements.
        result: What it gives.
        raw: It gives the keys of a set.
        constant: What it always gives, where that is known and it cannot fail.
        entry: It is a plan: it gives results.
    """

    name: str
    params: tuple[str, ...] = ()
    body: Body = field(default_factory=list)
    result: Shape = ANYTHING
    raw: bool = False
    constant: Known | None = None

    def call(self, scope: Scope, args: Sequence[Text]) -> Text:
        """A call of it from a function that has `scope`."""
        given = {"i0": scope.input, "m0": scope.memo, "d0": scope.data, "c0": "c0"}
        implicit = [given[param] for param in self.params if param in given]
        return f"{self.name}({', '.join([*implicit, *args])})"


class Unit:
    """Compiles a policy.

    Args:
        policy: The plans and functions.
        data: The base documents; UNDEFINED where they are given with each evaluation.
        settings: What it is compiled for.
    """

    def __init__(self, policy: ir.Policy, data: Value, settings: Settings) -> None:
        self.policy = policy
        self.data = UNDEFINED if _replaces_data(policy) else data
        self.settings = settings
        self.strict = settings.strict
        self.once: frozenset[str] = frozenset()
        self.fusible: frozenset[str] = frozenset()
        self.cheap: frozenset[str] = frozenset()
        self.wanted: frozenset[str] = frozenset()
        self.assumed: dict[tuple[str, bool], tuple[Shape, ...]] = {}
        self._live: dict[str, Liveness] = {}
        self._shapes = Shapes()
        self.restart()

    def restart(self) -> None:
        """Begin to write anew."""
        self.constants: dict[object, Constant] = {}
        self.builtins: dict[str, str] = {}
        self.functions: dict[tuple[str, bool], Emitted] = {}
        self.tables: dict[str, dict[str, str]] = {}
        self.origins: dict[str, str] = {}
        self.fallible: set[str] = set()
        self.places: dict[str, int] = {}
        self.given: dict[tuple[str, bool], tuple[Shape, ...]] = {}
        self.lent: set[object] = set()
        self.gone: dict[str, set[str]] = {}
        self._open: list[tuple[str, bool]] = []

    # What is written where.

    def inlines(self, name: str) -> bool:
        """Whether the function `name` is written where it is called."""
        return name in self.once

    def fuses(self, name: str) -> bool:
        """Whether the set `name` is only gone through, once, behind its only call."""
        return name in self.fusible

    def used_once(self, name: str) -> bool:
        """Whether one place alone asks for the rule `name`."""
        return name in self.once

    def is_cheap(self, name: str) -> bool:
        """Whether the rule `name` cannot fail and costs next to nothing."""
        return name in self.cheap

    def place(self, name: str) -> int:
        """The place of a rule in the memo."""
        return self.places.setdefault(name, len(self.places))

    def new_memo(self) -> Text:
        """An expression for an empty memo."""
        return "MEMO.copy()"

    def liveness(self, function: ir.Function | ir.Plan) -> Liveness:
        """Which locals of `function` are still read, and where."""
        found = self._live.get(function.name)
        if found is None:
            found = self._live[function.name] = Liveness(function.blocks)
        return found

    def function(self, name: str, shaped: bool) -> Emitted:
        """The function of Python for a rule or function of the policy."""
        key = (name, shaped or self.settings.input == ANYTHING)
        found = self.functions.get(key)
        if found is None:
            if key in self._open:
                msg = f"`{name}` calls itself"
                raise CannotEmit(msg)
            self._open.append(key)
            emitted = _Function(self, self.policy.functions[name], shaped=shaped).emit()
            self._open.pop()
            found = self.functions[key] = emitted
            self.origins[found.name] = name
        return found

    def note_arguments(self, name: str, shaped: bool, shapes: Sequence[Shape]) -> None:
        """Note what a function of the policy is called with."""
        key = (name, shaped)
        before = self.given.get(key)
        joint = shapes if before is None else [join(a, b) for a, b in zip(before, shapes, strict=True)]
        self.given[key] = tuple(joint)

    def arguments(self, function: ir.Function, *, shaped: bool) -> tuple[Shape, ...]:
        """What the arguments of a function are, wherever it is called."""
        taken = self.assumed.get((function.name, shaped))
        if taken is not None:
            return taken
        return (ANYTHING,) * (len(function.params) - ir.RULE_PARAMETERS)

    def _is_as_assumed(self) -> bool:
        """Whether every call keeps what was taken for granted of the arguments."""
        return all(
            all(join(a, b) == a for a, b in zip(taken, self.given[key], strict=True))
            for key, taken in self.assumed.items()
            if key in self.given
        )

    # Constants.

    def constant(self, known: Known) -> Text:
        """An expression for a known value."""
        value = known.value
        if value is None or type(value) is bool:
            return repr(value)
        return self._constant("value", value, known.origin)

    def key_constant(self, key: Key) -> Text:
        """An expression for a key, in key form."""
        if type(key) is not tuple:
            return self.constant(Known(key))
        return self._constant("key", from_key(key), None)

    def key_of(self, known: Known) -> Key:
        """The key form of a known value."""
        return to_key(known.value)

    def constant_keys(self, known: Known) -> Text:
        """An expression for the keys of all items of a known collection."""
        return self._constant("keys", known.value, known.origin)

    def constant_path(self, path: tuple[str, ...]) -> Text:
        """An expression for the path of a ``with``."""
        return self._constant("path", list(path), None)

    def search(self, pattern: Value, text: Text) -> Text | None:
        """An expression for the search of a regular expression in `text`; None if it is none."""
        if type(pattern) is not str:
            return None
        try:
            compiled(pattern)
        except BuiltinError:
            return None  # it says so where it is run
        form = "pattern" if search_for(pattern) is None else "plain pattern"
        name = self._constant(form, pattern, None)
        return f"{name}({text})" if form == "plain pattern" else f"{name}(utf8({text}))"

    def _constant(self, form: str, value: Value, origin: tuple[str | int, ...] | None) -> Text:
        key: object = (form, origin) if origin is not None else (form, _digits(value))
        found = self.constants.get(key)
        if found is None:
            name = f"K{len(self.constants)}"
            found = self.constants[key] = Constant(name, form, value, origin)
        return found.name

    def builtin(self, name: str) -> Text:
        """An expression for the builtin `name`."""
        return self.builtins.setdefault(name, f"B{len(self.builtins)}")

    def context(self, walk: Walk) -> Text:
        """An expression for what the builtins of one evaluation share."""
        del walk
        return "c0"

    def is_small(self, value: Value) -> bool:
        """Whether a value may stand in the program part by part."""
        return _size(value) <= _SMALL

    def shape_of(self, known: Known) -> Shape:
        """What is known of a known value."""
        return self._shapes.of(known.value)

    def shape_of_items(self, known: Known) -> Shape:
        """What an item of a known collection is, whichever it is."""
        return self._shapes.of_items(known.value)

    def outcome(self, shape: Shape) -> Shape:
        """What a builtin gives that gives `shape` if it does not refuse its arguments."""
        if self.strict:
            return shape
        return replace(shape, kinds=shape.kinds | Kind.UNDEFINED)

    def either(self, a: Shape, b: Shape) -> Shape:
        """What holds of what stands somewhere, or else of what takes its place."""
        return join(a.without(Kind.UNDEFINED), b)

    def may_raise(self, text: Text) -> bool:
        """Whether evaluating `text` may end in an error."""
        return any(
            name[0] != "F" or name in self.fallible for name in residual.fallible(text)
        )

    # The whole.

    def emit(self) -> Program:
        """The program."""
        program = self._write()
        if not self.settings.optimised:
            return program
        for _ in range(_MOST_ROUNDS):
            once, scanned = _uses(self, program)
            known = (self.once, self.cheap, dict(self.assumed))
            self.once |= once
            self.assumed = dict(self.given)
            self.cheap |= _cheap(self, program)
            self.fusible |= (once & scanned) - self.wanted
            if known == (self.once, self.cheap, self.assumed):
                break
            program = self._again()
        return self._outline(program)

    def _again(self) -> Program:
        """The program, written anew by what is known of it now."""
        while True:
            self.restart()
            program = self._write()
            missed = {name for each in _missed(program) for name in self.gone[each]}
            if not self._is_as_assumed():
                self.assumed = {}
                continue
            if not missed:
                return program
            # They are asked for a second time, so they have to be made.
            self.fusible -= missed
            self.wanted |= missed

    def _outline(self, program: Program) -> Program:
        """The program with its large functions cut up."""
        for each in (*program.functions, *program.entries.values()):
            each.body = outlined(self, each.body)
        return self._program(program.entries)

    def outline(self, params: tuple[str, ...], body: Body) -> Text:
        """A new function of Python with `body`, which gives nothing."""
        name = f"F{len(self.functions)}"
        self.functions[name, True] = Emitted(name, params, body)
        return name

    def table(self, entries: Mapping[str, str]) -> Text:
        """An expression for a table: the names of functions by those of constants."""
        name = f"T{len(self.tables)}"
        self.tables[name] = dict(entries)
        return name

    def text_keys(self, name: str, *, several: bool) -> list[str] | None:
        """The constants of the texts that the constant `name` is, or has; None if it has others."""
        constant = next(each for each in self.constants.values() if each.name == name)
        if not several:
            is_text = constant.form == "value" and type(constant.value) is str
            return [self.constant(Known(constant.value))] if is_text else None
        if constant.form != "keys" or constant.origin is not None:
            return None
        held = constant.value.keys if type(constant.value) is RegoSet else constant.value
        if type(held) not in (set, list) or not all(type(key) is str for key in held):
            return None
        return [self.constant(Known(key)) for key in sorted(held)]

    def _write(self) -> Program:
        return self._program(
            {
                name: _entry(self, plan, number)
                for number, (name, plan) in enumerate(self.policy.plans.items())
            }
        )

    def _program(self, entries: dict[str, Emitted]) -> Program:
        reached = _reached(self, entries.values())
        functions = [each for each in self.functions.values() if each.name in reached]
        return Program(
            tuple(functions),
            entries,
            tuple(self.constants.values()),
            {text: name for name, text in self.builtins.items()},
            len(self.places),
            dict(self.origins),
            dict(self.tables),
        )


@dataclass(frozen=True, slots=True)
class Program:
    """What is left of a policy.

    Attributes:
        functions: The functions that others call, called ones first.
        entries: For each plan, its function.
        constants: The table of constants.
        builtins: The builtins by the names that they are called by.
        memo: How many rules have a place in the memo.
        origins: The function of the policy by the name of the function of Python.
        tables: Functions by constants, for each table by its name.
    """

    functions: tuple[Emitted, ...]
    entries: dict[str, Emitted]
    constants: tuple[Constant, ...]
    builtins: dict[str, str]
    memo: int
    origins: dict[str, str]
    tables: dict[str, dict[str, str]]


_SMALL: Final = 64


def _size(value: Value) -> int:
    if type(value) is dict:
        items: Iterable[Value] = value.values()
    elif type(value) is list:
        items = value
    elif type(value) is RegoSet:
        items = value.keys
    else:
        return 1 if type(value) is not str else 1 + len(value) // 1000
    total = 1
    for item in items:
        total += _size(item)
        if total > _SMALL:
            break
    return total


def _digits(value: Value) -> object:
    """Tells values apart that are equal, as 1 and 1.0 are, but not the same text."""
    kind = type(value)
    if kind is dict:
        return ("object", tuple((key, _digits(item)) for key, item in value.items()))
    if kind is list:
        return ("array", tuple(map(_digits, value)))
    if kind is RegoSet:
        return ("set", tuple(map(_digits, value)))
    return (kind.__name__, str(value))


class _Function(Writer):
    """Writes one rule or function of the policy as a function of Python."""

    def __init__(self, unit: Unit, function: ir.Function, *, shaped: bool) -> None:
        scope = Scope(data="" if unit.data is not UNDEFINED else "d0", shaped=shaped)
        super().__init__(unit, scope)
        self.function = function
        self.results: list[Abstract] = []

    def emit(self) -> Emitted:
        """The function."""
        shapes = self.unit.arguments(self.function, shaped=self.scope.shaped)
        args = [Variable(self.name("p"), shape) for shape in shapes]
        self.frame = Frame(self.function, _roots(self), self.unit.liveness(self.function))
        self.frame = new_frame(self, self.function, args)
        self.blocks(self.function.blocks)
        undefined = self.leaving is None
        name = f"F{len(self.unit.functions)}"  # those that it calls have theirs
        body = simplified(self.unit, self.nodes)
        result = NOTHING if undefined else None
        raws = {isinstance(value, Variable) and value.raw for value in self.results}
        for value in self.results:
            shape = self.shape(value)
            result = shape if result is None else join(result, shape)
        used = {name for node in residual.walk(body) for text in residual.texts(node) for name in residual.names(text)}
        used |= {name for node in residual.walk(body) if isinstance(node, residual.Set) for name in residual.names(node.name)}
        params = tuple(p for p in _IMPLICIT if p in used) + tuple(arg.name for arg in args)
        raw = raws == {True}
        emitted = Emitted(name, params, body, result or NOTHING, raw)
        if any(self.unit.may_raise(text) for node in residual.walk(body) for text in residual.texts(node)):
            self.unit.fallible.add(name)
        elif len(self.results) == 1 and isinstance(self.results[0], Known) and not undefined:
            if len(body) == 1:
                emitted.constant = self.results[0]
        return emitted

    def give_back(self, value: Abstract) -> None:
        """Leave the function with `value`."""
        value = finished(self, value)
        raw = self.raw_text(value)
        mixed = any(not (isinstance(each, Variable) and each.raw) for each in self.results)
        if raw is not None and not isinstance(value, Known) and not mixed and value is not MISSING:
            self.put(residual.Return(self.where, raw))
        else:
            if any(isinstance(each, Variable) and each.raw for each in self.results):
                msg = "a function gives sets in two forms"
                raise CannotEmit(msg)
            self.put(residual.Return(self.where, self.text(value)))
        self.results.append(value)
        self.leaving = len(self.frame.regions)


_IMPLICIT: Final = ("i0", "m0", "d0", "c0")


def _roots(walk: Walk) -> list[Abstract]:
    """What the input and data are where a function begins."""
    unit = walk.unit
    shape = unit.settings.input if walk.scope.shaped else ANYTHING
    data: Abstract = Known(unit.data, ()) if unit.data is not UNDEFINED else Variable("d0", DOCUMENT)
    return [Variable("i0", shape), data]


def _replaces_data(policy: ir.Policy) -> bool:
    callers = (*policy.functions.values(), *policy.plans.values())
    return any(
        isinstance(statement, ir.With) and statement.local == ir.DATA
        for caller in callers
        for statement in ir.statements(caller.blocks)
    )


class _NotOne(Exception):  # noqa: N818  # a signal: the plan has another form than it seemed
    """A plan that seemed to give one value gives something else."""


def _entry(unit: Unit, plan: ir.Plan, number: int) -> Emitted:
    """The function of a plan."""
    results = [each for each in ir.statements(plan.blocks) if isinstance(each, ir.ResultSetAdd)]
    loops = any(isinstance(each, ir.Scan) for each in ir.statements(plan.blocks))
    if len(results) == 1 and not loops:
        try:
            return _Plan(unit, plan, number, single=True).emit()
        except _NotOne:
            pass
    return _Plan(unit, plan, number, single=False).emit()


class _Plan(Writer):
    """Writes a plan as a function of Python.

    The plan of an entrypoint has one result, an object of one field; its function gives what
    stands in it. That of any other gives a list of its results.
    """

    def __init__(self, unit: Unit, plan: ir.Plan, number: int, *, single: bool) -> None:
        super().__init__(unit, Scope(data="" if unit.data is not UNDEFINED else "d0"))
        self.plan = plan
        self.number = number
        self.single = single

    def emit(self) -> Emitted:
        """The function."""
        env = _roots(self) + [MISSING] * (self.plan.locals - 2)
        self.frame = Frame(self.plan, env, self.unit.liveness(self.plan))
        memo = residual.Slot(ir.NOWHERE)
        self.out.append(memo)
        if not self.single:
            self.put(residual.Set(ir.NOWHERE, "r0", "set()"))
        self.blocks(self.plan.blocks)
        if not self.single:
            self.put(residual.Return(ir.NOWHERE, "members(r0)"))
        body = simplified(self.unit, self.nodes)
        used = {name for node in residual.walk(body) for text in residual.texts(node) for name in residual.names(text)}
        if "m0" in used:
            body.insert(0, residual.Set(ir.NOWHERE, "m0", "MEMO.copy()"))
        params = ("i0", "d0", "c0")
        return Emitted(f"E{self.number}{'' if self.single else 'S'}", params, body)

    def add_result(self, value: Abstract) -> None:
        """Give `value` as the result, or as one of them."""
        value = self.defined(value)
        if self.leaving is not None:
            return
        if not self.single:
            self.put(residual.Do(self.where, f"r0.add(to_key({self.text(value)}))"))
            return
        if not (isinstance(value, ObjectLiteral) and set(value.fields) == {"result"}):
            raise _NotOne
        self.put(residual.Return(self.where, self.fresh_text(value.fields["result"])))
        self.leaving = len(self.frame.regions)


def _reached(unit: Unit, entries: Iterable[Emitted]) -> set[str]:
    """The functions that are called, by their names."""
    by_name = {each.name: each for each in unit.functions.values()}
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        for name in (*_calls(body := waiting.pop().body), *_tabled(unit, body)):
            if name in by_name and name not in found:
                found.add(name)
                waiting.append(by_name[name])
    return found


def _calls(body: Body) -> list[str]:
    return [
        name
        for node in residual.walk(body)
        for text in residual.texts(node)
        for name in residual.globals_in(text)
        if name[0] == "F"
    ]


def _tabled(unit: Unit, body: Body) -> list[str]:
    """The functions in the tables that are used in `body`."""
    return [
        name
        for node in residual.walk(body)
        for text in residual.texts(node)
        for table in residual.globals_in(text)
        if table[0] == "T"
        for name in unit.tables[table].values()
    ]


def _uses(unit: Unit, program: Program) -> tuple[frozenset[str], frozenset[str]]:
    """The functions that one place calls, and the sets among them that it only goes through."""
    calls: Counter[str] = Counter()
    scanned: set[str] = set()
    for each in (*program.functions, *program.entries.values()):
        calls.update(_calls(each.body))
        scanned.update(_scanned(each.body))
    variants = Counter(program.origins[each.name] for each in program.functions)
    once = {
        program.origins[name]
        for name, count in calls.items()
        if count == 1 and variants[program.origins[name]] == 1
    }
    return frozenset(once), frozenset(program.origins[name] for name in scanned)


_MOST_ROUNDS: Final = 5
"""How often a program is written anew, at most."""

_CHEAP: Final = 6
"""Statements of a rule that is worked out although it is perhaps not asked for."""


def _cheap(unit: Unit, program: Program) -> frozenset[str]:
    """The rules that cannot fail, and do no more than look a few things up."""
    found = set()
    for each in program.functions:
        function = unit.policy.functions[program.origins[each.name]]
        nodes = list(residual.walk(each.body))
        texts = [text for node in nodes for text in residual.texts(node)]
        if (
            len(function.params) == ir.RULE_PARAMETERS
            and returned(function) is not None
            and len(nodes) <= _CHEAP
            and not any(residual.fallible(text) for text in texts)
            and not any(re.search(r"\w\(", re.sub(r"\.get\(|\btype\(", "", text)) for text in texts)
            and not any(isinstance(node, residual.For | residual.Group) for node in nodes)
            and not each.raw
        ):
            found.add(function.name)
    return frozenset(found)


def _scanned(body: Body) -> set[str]:
    """The functions whose value is only gone through."""
    results: dict[str, str] = {}
    uses: Counter[str] = Counter()
    scans: set[str] = set()
    for node in residual.walk(body):
        if isinstance(node, residual.Set):
            calls = [name for name in residual.globals_in(node.value) if name[0] == "F"]
            if calls and node.value.startswith(f"{calls[0]}("):
                results[node.name] = calls[0]
        for text in residual.texts(node):
            uses.update(residual.names(text))
        if isinstance(node, residual.For):
            scans.update(residual.names(node.source)[:1])
    # The test whether it is in the memo is a use, and so is keeping it there.
    return {
        call
        for name, call in results.items()
        if name in scans and uses[name] in {1, 3}
    }


def _missed(program: Program) -> set[str]:
    """The variables of sets that are asked for although they were never made."""
    return {
        name
        for each in (*program.functions, *program.entries.values())
        for node in residual.walk(each.body)
        for text in residual.texts(node)
        for name in residual.names(text)
        if name[0] == _GONE
    }


_GONE: Final = "g"
