"""A whole policy on its way to Python: its constants, its functions, what is written in place.

A policy is written several times. The first time every rule is a function of its own, which tells
what each gives and how often it is asked for. Then rules that one place asks for are written in
that place, with what was learnt, until nothing more is learnt.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from guardrails.rego import ir
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.determinate import search_for
from guardrails.rego.builtins.regex import compiled
from guardrails.rego.emit import residual
from guardrails.rego.emit.abstract import Known
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.functions import FunctionWriter, plan_function
from guardrails.rego.emit.keyed import lookup_for
from guardrails.rego.emit.outline import outlined
from guardrails.rego.emit.program import Constant, Emitted, Lookup, Program, Settings
from guardrails.rego.emit.settled import always
from guardrails.rego.emit.shapes import ANYTHING, Kind, Shape, Shapes, join
from guardrails.rego.emit.tuples import tuples
from guardrails.rego.emit.uses import cheap, missed, reached, uses
from guardrails.rego.liveness import Liveness
from guardrails.rego.values import UNDEFINED, RegoSet, from_key, to_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardrails.rego.emit.residual import Body, Text
    from guardrails.rego.emit.walk import Walk
    from guardrails.rego.values import Key, Value


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
        self.keyed: frozenset[str] = frozenset()
        self.assumed: dict[tuple[str, bool], tuple[Shape, ...]] = {}
        self.shared: set[str] = set()
        self.rounds = 0
        self._sizes: dict[str, int] = {}
        self._live: dict[tuple[type, str], Liveness] = {}
        self._shapes = Shapes()
        self.restart()

    def restart(self) -> None:
        """Begin to write anew."""
        self.constants: dict[object, Constant] = {}
        self._numbered: list[Constant] = []
        self.builtins: dict[str, str] = {}
        self.functions: dict[tuple[str, bool], Emitted] = {}
        self.tables: dict[str, dict[str, str]] = {}
        self.lookups: dict[str, Lookup] = {}
        self._always: dict[str, Known | None] = {}
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

    def lookup(self, name: str) -> tuple[Text, Lookup] | None:
        """What keeps the values of the rule `name`; None if it is not kept across evaluations."""
        if name not in self.keyed:
            return None
        emitted = self.function(name, shaped=True)
        for text, lookup in self.lookups.items():
            if lookup.function == emitted.name:
                return text, lookup
        found = self._lookup_of(emitted)
        if found is None:
            return None
        text = f"L{len(self.lookups)}"
        self.lookups[text] = found
        return text, found

    def always(self, lookup: Lookup) -> Known | None:
        """The value of a rule that does not depend on the input; None if it has to be asked."""
        if lookup.function not in self._always:
            self._always[lookup.function] = always(self, lookup)
        return self._always[lookup.function]

    def _lookup_of(self, emitted: Emitted) -> Lookup | None:
        constants = {each.name: each for each in self.constants.values()}
        functions = {each.name: each for each in self.functions.values()}
        return lookup_for(emitted, constants, functions, self.lookups, self.settings.input)

    def is_cheap(self, name: str) -> bool:
        """Whether the rule `name` cannot fail and costs next to nothing."""
        return name in self.cheap

    def shares(self, name: str) -> bool:
        """Whether the rule `name` is written in a plan, too, although others ask for it."""
        if not self.settings.optimised or not self.rounds:
            return False
        self.shared.add(name)
        size = self._sizes.get(name)
        if size is None:
            blocks = self.policy.functions[name].blocks
            size = self._sizes[name] = sum(1 for _ in ir.statements(blocks))
        return size <= _SHARED

    def place(self, name: str) -> int:
        """The place of a rule in the memo."""
        return self.places.setdefault(name, len(self.places))

    def new_memo(self) -> Text:
        """An expression for an empty memo."""
        return "MEMO.copy()"

    def liveness(self, function: ir.Function | ir.Plan) -> Liveness:
        """Which locals of `function` are still read, and where."""
        key = (type(function), function.name)  # a plan may be called as a function is
        found = self._live.get(key)
        if found is None:
            found = self._live[key] = Liveness(function.blocks)
        return found

    def function(self, name: str, *, shaped: bool) -> Emitted:
        """The function of Python for a rule or function of the policy."""
        key = (name, shaped or self.settings.input == ANYTHING)
        found = self.functions.get(key)
        if found is None:
            if key in self._open:
                msg = f"`{name}` calls itself"
                raise CannotEmit(msg)
            self._open.append(key)
            emitted = FunctionWriter(self, self.policy.functions[name], shaped=shaped).emit()
            self._open.pop()
            found = self.functions[key] = emitted
            self.origins[found.name] = name
        return found

    def note_arguments(self, name: str, shapes: Sequence[Shape], *, shaped: bool) -> None:
        """Note what a function of the policy is called with."""
        key = (name, shaped)
        before = self.given.get(key)
        joint = (
            shapes if before is None else [join(a, b) for a, b in zip(before, shapes, strict=True)]
        )
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

    def getter(self, names: Sequence[str]) -> Text:
        """An expression for what takes the values at `names` from an object."""
        return self._constant("getter", list(names), None)

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
        if origin is None and _size(value, _LARGEST) > _LARGEST:
            msg = "a constant of the policy is too large"
            raise CannotEmit(msg)
        key: object = (form, origin) if origin is not None else (form, _digits(value))
        found = self.constants.get(key)
        if found is None:
            name = f"K{len(self.constants)}"
            found = self.constants[key] = Constant(name, form, value, origin)
            self._numbered.append(found)
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
        return _size(value, _SMALL) <= _SMALL

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
        for name in residual.fallible(text):
            called = self.lookups[name].function if name in self.lookups else name
            if called[0] != "F" or called in self.fallible:
                return True
        return False

    # The whole.

    def emit(self) -> Program:
        """The program."""
        program = self._write()
        if not self.settings.optimised:
            return program
        for _ in range(_MOST_ROUNDS):
            once, scanned = uses(program)
            known = (self.once, self.cheap, self.keyed, dict(self.assumed))
            # What a plan works out for others, too, is not its own.
            others = {program.origins[each.name] for each in program.functions}
            self.once |= (once - self.shared) | (self.shared - others)
            self.assumed = dict(self.given)
            self.cheap |= cheap(self, program)
            self.keyed |= self._keyed(program)
            self.fusible |= (once & scanned) - self.wanted
            if known == (self.once, self.cheap, self.keyed, self.assumed):
                break
            self.rounds += 1
            program = self._again()
        return self._outline(program)

    def _keyed(self, program: Program) -> set[str]:
        """The rules whose values depend on one name at most, and are some work."""
        found = set()
        constants = {each.name: each for each in program.constants}
        functions = {each.name: each for each in program.functions}
        for each in program.functions:
            function = self.policy.functions[program.origins[each.name]]
            if (
                len(function.params) == ir.RULE_PARAMETERS
                and function.name not in self.cheap
                and (function.name, True) in self.functions
                and self.functions[function.name, True] is each
                and each.constant is None
                and lookup_for(each, constants, functions, self.lookups, self.settings.input)
            ):
                found.add(function.name)
        return found

    def _again(self) -> Program:
        """The program, written anew by what is known of it now."""
        while True:
            self.restart()
            program = self._write()
            wanted = {name for each in missed(program) for name in self.gone[each]}
            if not self._is_as_assumed():
                self.assumed = {}
                continue
            if not wanted:
                return program
            # They are asked for a second time, so they have to be made.
            self.fusible -= wanted
            self.wanted |= wanted

    def _outline(self, program: Program) -> Program:
        """The program with its large functions cut up."""
        for each in (*program.functions, *program.entries.values()):
            each.body = outlined(self, each.body)
            tuples(self, each.body)
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

    def is_text(self, name: str) -> bool:
        """Whether the constant `name` is a text."""
        constant = self._numbered[int(name[1:])]
        return constant.form == "value" and type(constant.value) is str

    def as_decimal(self, name: str) -> Text | None:
        """The constant for the whole number `name` as a decimal; None if it is something else."""
        constant = self._numbered[int(name[1:])]
        if constant.form != "value" or type(constant.value) is not int:
            return None
        return self.constant(Known(Decimal(constant.value)))

    def text_keys(self, name: str, *, several: bool) -> list[str] | None:
        """The constants of the texts that the constant `name` is, or has; None if it has others."""
        if not several:
            return [name] if self.is_text(name) else None
        constant = self._numbered[int(name[1:])]
        if constant.form != "keys":
            return None
        if constant.origin is not None and not self.is_small(constant.value):
            return None  # what grows with the data is looked up there
        held = constant.value.keys if type(constant.value) is RegoSet else constant.value
        if type(held) not in (set, list) or not all(type(key) is str for key in held):
            return None
        return [self.constant(Known(key)) for key in sorted(held)]

    def _write(self) -> Program:
        return self._program(
            {
                name: plan_function(self, plan, number)
                for number, (name, plan) in enumerate(self.policy.plans.items())
            }
        )

    def _program(self, entries: dict[str, Emitted]) -> Program:
        called = reached(self, entries.values())
        functions = [each for each in self.functions.values() if each.name in called]
        return Program(
            tuple(functions),
            entries,
            tuple(self.constants.values()),
            {text: name for name, text in self.builtins.items()},
            len(self.places),
            dict(self.origins),
            dict(self.tables),
            {name: each for name, each in self.lookups.items() if each.function in called},
        )


_MOST_ROUNDS: Final = 5
"""How often a program is written anew, at most."""

_SHARED: Final = 200
"""Statements of a rule that is written twice."""

_SMALL: Final = 64
_LARGEST: Final = 100_000
"""Parts of a constant, those that stand in it twice counted twice."""


def _size(value: Value, most: int) -> int:
    """How many parts a value has, counted until there are more than `most`."""
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
        total += _size(item, most - total)
        if total > most:
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


def _replaces_data(policy: ir.Policy) -> bool:
    callers: list[ir.Function | ir.Plan] = [*policy.functions.values(), *policy.plans.values()]
    return any(
        isinstance(statement, ir.With) and statement.local == ir.DATA
        for caller in callers
        for statement in ir.statements(caller.blocks)
    )
