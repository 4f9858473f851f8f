"""Random terms and conditions of Rego that OPA's compiler takes.

Every term has a kind, and a variable is bound before it is read. What the compiler may know of a
value is as important as what is known here: a reference to input or data is of any kind to it,
the members of a rule's value are not.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.rego.fuzz.vocabulary import (
    COLLECTIONS,
    FACTS,
    FIELDS,
    NUMBERS,
    OPERATORS,
    PATTERNS,
    SCALARS,
    TESTS,
    WORDS,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Options:
    """What policies may hold.

    Attributes:
        conflicts: Rules with several values; an evaluation may then fail with a conflict.
        opa_only: What regopy refuses, or plans otherwise than OPA (see :data:`OPA_ONLY`).
    """

    conflicts: bool = False
    opa_only: bool = False


OPA_ONLY: Final = {
    "with": "regopy crashes over `with` on much of what a rule may hold, or loses the value",
    "template string": "regopy does not know template strings",
    "long reference head": "regopy merges rules below one path in its own way",
    "bare not": "regopy takes an undefined reference within `not` for a failed one, so does OPA"
    " from 1.17 on with the import; without it they differ",
}
"""What is only in policies that OPA alone plans, and why."""


@dataclass(slots=True)
class Scope:
    """What an expression may name: variables with their kinds.

    No two variables of one rule share a name, so that one that is never read is found by its name.
    """

    taken: Iterator[int]
    variables: list[tuple[str, str]] = field(default_factory=list)
    outside: list[tuple[str, str]] = field(default_factory=list)
    iterates: bool = False

    def inner(self) -> Scope:
        return Scope(self.taken, list(self.variables))

    def fresh(self, kind: str) -> str:
        name = f"v{next(self.taken)}"
        self.variables.append((name, kind))
        return name

    def settled(self) -> Scope:
        """What a rule's one value may name: nothing of a body that may hold in several ways."""
        return Scope(self.taken, list(self.outside)) if self.iterates else self

    def of(self, kind: str) -> list[str]:
        return [name for name, held in self.variables if held == kind]


@dataclass(frozen=True, slots=True)
class Defined:
    """A rule or function that later ones may use."""

    path: str
    kind: str
    params: tuple[str, ...] | None = None


def quoted(text: str) -> str:
    """A Rego string."""
    return json.dumps(text, ensure_ascii=False)


def guarded(condition: str) -> str:
    """A condition as the body of a rule: in braces where its own would be taken for them."""
    braces = condition.startswith(("{", "every"))
    return f"if {{\n\t{condition}\n}}" if braces else f"if {condition}"


def unbracketed(term: str) -> str:
    """The term without the brackets around all of it, over which regopy stumbles in a head."""
    bare = term[1:-1] if term.startswith("(") and term.endswith(")") else term
    return f"0 + {bare}" if bare.startswith("(") else bare


_DECLARED: Final = re.compile(r"\b(?:some|every) (v\d+)(?:, (v\d+))?")


def without_unread(rule: str) -> str:
    """The rule with ``_`` for each variable of ``some`` or ``every`` that nobody reads."""
    for found in reversed(list(_DECLARED.finditer(rule))):
        for group in (2, 1):
            name = found[group]
            if name and len(re.findall(rf"\b{name}\b", rule)) == 1:
                rule = rule[: found.start(group)] + "_" + rule[found.end(group) :]
    return rule


class Terms:
    """Draws terms.

    Args:
        chance: Where every choice comes from.
        prefix: The root of the policy's packages; its data is below ``<prefix>_facts``.
        options: What the policy may hold.

    Attributes:
        defined: The rules that a term may name.
        package: The package that it stands in.
        needs_opa: Whether something was used that regopy does not plan as OPA does.
    """

    def __init__(self, chance: random.Random, prefix: str, options: Options) -> None:
        self.chance = chance
        self.prefix = prefix
        self.facts = f"data.{prefix}_facts"
        self.options = options
        self.defined: list[Defined] = []
        self.package = ""
        self.needs_opa = False
        self.count = 0
        self.taken: Iterator[int] = itertools.count(1)

    # Choices.

    def flip(self, part: int = 2) -> bool:
        return self.chance.randrange(part) == 0

    def between(self, least: int, most: int) -> int:
        return self.chance.randint(least, most)

    def pick(self, items: Any) -> Any:
        return items[self.chance.randrange(len(items))]

    def only_opa(self, part: int = 3) -> bool:
        """Whether to use, here, what regopy does not plan as OPA does."""
        if not self.options.opa_only or not self.flip(part):
            return False
        self.needs_opa = True
        return True

    def scope(self) -> Scope:
        return Scope(taken=self.taken)

    # Bodies.

    def body(self, scope: Scope) -> str:
        lines = [
            self.binding(scope) if self.flip(3) else self.condition(scope, 2)
            for _ in range(self.between(1, 3))
        ]
        if len(lines) == 1 and "\n" not in lines[0]:
            return guarded(lines[0])
        return "if {\n" + "\n".join(f"\t{line}" for line in lines) + "\n}"

    def binding(self, scope: Scope) -> str:
        shape = self.between(0, 6)
        scope.iterates |= shape <= 2  # these three bind one after the other
        if shape == 0:
            source, kind = self.source(scope)
            return f"some {scope.fresh(kind)} in {source}"
        if shape == 1:
            source, kind = self.source(scope)
            return f"some {scope.fresh(kind)}, {scope.fresh(kind)} in {source}"
        if shape == 2:
            source = self.ref(scope)
            name = scope.fresh("any")
            return f"some {name}\n\t{source}[{name}]"
        if shape == 3:
            source = self.plain(scope)
            return f"[{scope.fresh('any')}, {scope.fresh('any')}] = {source}"
        if shape == 4:
            kind = self.pick(["num", "str", "arr", "set", "obj"])
            value = self.term(kind, scope, 2)
            return f"{scope.fresh(kind)} := {value}"
        if shape == 5:
            source = self.any_(scope, 1)
            return f"{scope.fresh('any')} := {source}"
        source = self.plain(scope)
        return f'{{"id": {scope.fresh("any")}, "kind": {scope.fresh("any")}}} = {source}'

    def condition(self, scope: Scope, depth: int) -> str:
        made = self.any_condition(scope, depth)
        # After a reference on the line before, regopy takes a bracket for a call.
        return f"0 + {made}" if made.startswith("(") else made

    def any_condition(self, scope: Scope, depth: int) -> str:
        return (
            self.nested(scope, depth) if depth > 0 and self.flip() else self.plain_one(scope, depth)
        )

    def plain_one(self, scope: Scope, depth: int) -> str:
        shape = self.between(0, 6)
        operator = self.pick(OPERATORS)
        if shape == 0:
            return f"{self.num(scope, depth - 1)} {operator} {self.num(scope, depth - 1)}"
        if shape == 1:
            return f"{self.plain(scope)} {operator} {self.term(self.kind(), scope, depth - 1)}"
        if shape == 2:
            return f"{self.str_(scope, 0)} {self.pick(['==', '!=', '<'])} {self.str_(scope, 0)}"
        if shape == 3:
            return self.ref(scope)
        if shape == 4:
            return f"{self.pick(TESTS)}({self.whatever(scope)})"
        if shape == 5:
            return f"{self.any_(scope, 1)} in {self.coll(scope)}"
        name = self.pick(["startswith", "endswith", "contains"])
        return f"{name}({self.str_(scope, 0)}, {self.str_(scope, 0)})"

    def nested(self, scope: Scope, depth: int) -> str:
        """A condition that holds others, or terms of some depth."""
        shape = self.between(0, 6)
        operator = self.pick(OPERATORS)
        if shape == 0:
            return f"regex.match({quoted(self.pick(PATTERNS))}, {self.str_(scope, 0)})"
        if shape == 1:
            return f"not {self.condition(scope.inner(), 0)}"
        if shape == 2:
            return self.every(scope)
        if shape == 3:
            return f"count({self.coll(scope)}) {operator} {self.between(0, 3)}"
        if shape == 4:
            # OPA calls a variable unsafe that stands on the left and in the comprehension's head.
            return f"{self.plain(self.scope())} {operator} {self.term('set', scope, depth - 1)}"
        if shape == 5:
            return self.with_(scope)
        return self.use("bool", scope) or f"{self.any_(scope, 1)} == {self.any_(scope, 1)}"

    def every(self, scope: Scope) -> str:
        source, kind = self.source(scope)
        inner = scope.inner()
        names = inner.fresh(kind)
        if self.flip():
            names += f", {inner.fresh(kind)}"
        return f"every {names} in {source} {{\n\t\t{self.condition(inner, 0)}\n\t}}"

    def with_(self, scope: Scope) -> str:
        rules = [each.path for each in self.defined if each.params is None]
        if not rules or not self.only_opa(1):
            return f"{self.any_(scope, 0)} == {self.any_(scope, 0)}"
        rule = self.pick(rules)
        targets = ["input", "input.amount", "input.nested.a", f"{self.facts}.limits", self.facts]
        first = f"with {self.pick(targets)} as {self.any_(scope, 0)}"
        second = f" with input.name as {self.str_(scope, 0)}" if self.flip() else ""
        return f"{self.pick(['', 'not '])}{rule} {first}{second}"

    # Terms.

    def kind(self) -> str:
        return self.pick(["num", "str", "any"])

    def term(self, kind: str, scope: Scope, depth: int) -> str:
        makers: dict[str, Callable[[Scope, int], str]] = {
            "num": self.num,
            "str": self.str_,
            "any": self.any_,
            "arr": self.arr,
            "obj": self.obj,
            "set": self.set_,
        }
        return makers[kind](scope, depth)

    def literal(self, kind: str) -> str:
        texts = {
            "num": lambda: self.pick(NUMBERS),
            "str": lambda: quoted(self.pick(WORDS)),
            "any": lambda: self.pick(["null", "true", "[]", "{}", '{"a": [1]}', "7", '"x"']),
            "arr": lambda: self.pick(["[]", "[1, 2]", '["a", "b"]', "[[1], null]"]),
            "obj": lambda: self.pick(["{}", '{"a": 1}', '{"a": {"b": "c"}}', '{"é": [true]}']),
            "set": lambda: self.pick(["set()", "{1, 2}", '{"a", "b"}', "{1, true, null}"]),
        }
        return str(texts[kind]())

    def use(self, kind: str, scope: Scope) -> str | None:
        """A rule of this kind, or a call of a function; None where there is none."""
        found = [each for each in self.defined if each.kind == kind]
        if not found:
            return None
        chosen = self.pick(found)
        path = chosen.path
        if path.startswith(f"data.{self.package}.") and self.flip():
            path = path.removeprefix(f"data.{self.package}.")
        if chosen.params is None:
            return str(path)
        return f"{path}({', '.join(self.term(param, scope, 0) for param in chosen.params)})"

    def num(self, scope: Scope, depth: int) -> str:
        shape = self.between(0, 3 if depth <= 0 else 9)
        names = scope.of("num")
        if shape == 0 and names:
            return str(self.pick(names))
        if shape <= 1:
            # Without brackets a minus sign at the start of a line goes on with the line before.
            number = str(self.pick(NUMBERS))
            return f"({number})" if number.startswith("-") else number
        if shape == 2:
            return self.plain(scope)
        if shape == 3:
            return self.use("num", scope) or self.ref(scope)
        if shape == 4:
            return f"count({self.coll(scope)})"
        if shape == 5:
            return f"{self.pick(['abs', 'round', 'ceil', 'floor'])}({self.num(scope, depth - 1)})"
        if shape == 6:
            return f"{self.pick(['sum', 'max', 'min', 'product'])}({self.plain(scope)})"
        if shape == 7:
            return f"to_number({self.plain(scope)})"
        operator = self.pick(["+", "-", "*", "/", "%"])
        return f"({self.num(scope, depth - 1)} {operator} {self.num(scope, depth - 1)})"

    def str_(self, scope: Scope, depth: int) -> str:
        if depth > 0 and not self.flip(3):
            return self.made_text(scope, depth)
        shape = self.between(0, 3)
        names = scope.of("str")
        if shape == 0 and names:
            return str(self.pick(names))
        if shape <= 1:
            return quoted(self.pick(WORDS))
        if shape == 2:
            return self.plain(scope)
        return self.use("str", scope) or self.ref(scope)

    def made_text(self, scope: Scope, depth: int) -> str:
        """A text that a builtin makes."""
        whatever = [self.whatever(scope) for _ in range(2)]
        calls = [
            f"concat({quoted(self.pick([',', '', 'é']))}, {self.plain(scope)})",
            f'sprintf("%v: %v", [{", ".join(whatever)}])',
            f"{self.pick(['lower', 'upper', 'trim_space'])}({self.str_(scope, depth - 1)})",
            f'replace({self.str_(scope, depth - 1)}, "a", {self.str_(scope, 0)})',
            f'concat("", ["j", json.marshal({whatever[0]})])',
            f"type_name({whatever[0]})",
            f"substring({self.str_(scope, 0)}, {self.between(0, 2)}, {self.between(-1, 2)})",
            f'concat("", ["n", format_int({self.num(scope, 0)}, 10)])',
            f'trim({self.str_(scope, 0)}, "a,")',
        ]
        return f'$"é {{{self.any_(scope, 0)}}}!"' if self.only_opa(10) else str(self.pick(calls))

    def any_(self, scope: Scope, depth: int) -> str:
        shape = self.between(0, 7)
        names = scope.of("any")
        if shape <= 2 and names:
            return str(self.pick(names))
        if shape <= 4 or depth <= 0:
            return self.ref(scope)
        if shape == 5:
            return self.plain(scope)
        return self.use("any", scope) or self.ref(scope)

    def plain(self, scope: Scope) -> str:
        """A term of which the compiler knows nothing, and learns nothing where it is used.

        Of a variable it learns: what is a text to one builtin cannot be a list to the next.
        """
        if self.flip(6):
            key = self.pick([quoted(self.pick(FIELDS)), '["nested", "a"]', '["list", 0]'])
            return f"object.get(input, {key}, {self.literal(self.kind())})"
        return self.ref(scope)

    def ref(self, scope: Scope) -> str:
        """A reference to input or data, of which the compiler knows nothing."""
        if not self.flip(4):
            path = self.pick(SCALARS + COLLECTIONS)
            found = path if path.startswith("input") else f"{self.facts}.{path}"
            names = scope.of("any") + scope.of("str")
            return f"{found}[{self.pick(names)}]" if names and self.flip(3) else found
        base = self.pick(["input", "input", self.facts])
        path = [f".{self.pick(FIELDS if base == 'input' else FACTS)}"]
        names = scope.of("any") + scope.of("str")
        for _ in range(self.between(0, 2)):
            part = self.between(0, 4)
            if part == 0 and names:
                path.append(f"[{self.pick(names)}]")
            elif part == 1:
                path.append(f"[{self.between(0, 2)}]")
            elif part == 2:
                path.append(f"[{quoted(self.pick(WORDS))}]")
            else:
                path.append(f".{self.pick(['a', 'b', 'id', 'kind', 'refund', 'users'])}")
        return base + "".join(path)

    def coll(self, scope: Scope) -> str:
        return self.source(scope)[0]

    def source(self, scope: Scope) -> tuple[str, str]:
        """What can be gone through, and the kind of what is in it.

        Of what is in a rule's value the compiler knows more than is known here: `typed`.
        """
        shape = self.between(0, 7)
        if shape <= 3:
            path = self.pick(COLLECTIONS)
            return (path if path.startswith("input") else f"{self.facts}.{path}"), "any"
        if shape <= 5:
            return self.ref(scope), "any"
        kind = self.pick(["arr", "obj", "set"])
        return self.use(kind, scope) or self.term(kind, scope, 0), "typed"

    def whatever(self, scope: Scope) -> str:
        """A term of any kind, for where the compiler takes all."""
        return str(self.pick([*scope.of("typed"), self.any_(scope, 1)]))

    def keyed(self, scope: Scope) -> str:
        fields = [f"{self.facts}.limits", f"{self.facts}.owners", "input.flags", "input.nested"]
        rule = self.use("obj", scope) if self.flip(4) else None
        return rule or str(self.pick(fields))

    def arr(self, scope: Scope, depth: int) -> str:
        if depth <= 0:
            return self.pick([*scope.of("arr"), self.literal("arr")])
        shape = self.between(0, 6)
        if shape <= 1:
            inner = scope.inner()
            body = self.generator(inner)
            return f"[{self.term(self.kind(), inner, 0)} | {body}]"
        if shape == 2:
            return f"array.concat({self.arr(scope, depth - 1)}, {self.plain(scope)})"
        if shape == 3:
            return f"split({self.str_(scope, 0)}, {self.pick([quoted(','), quoted('a')])})"
        if shape == 4:
            return f"sort({self.use('set', scope) or self.plain(scope)})"
        if shape == 5:
            return f"[{self.whatever(scope)}, {self.num(scope, 0)}, {self.str_(scope, 0)}]"
        return self.use("arr", scope) or f"array.slice({self.plain(scope)}, 0, 2)"

    def set_(self, scope: Scope, depth: int) -> str:
        if depth <= 0:
            return self.pick([*scope.of("set"), self.literal("set")])
        shape = self.between(0, 5)
        if shape <= 1:
            inner = scope.inner()
            body = self.generator(inner)
            return f"{{{self.term(self.kind(), inner, 0)} | {body}}}"
        if shape == 2:
            operator = self.pick(["|", "&", "-"])
            # OPA's type check refuses some comprehensions here whose head is an outer variable.
            one, two = (self.set_(self.scope(), depth - 1) for _ in range(2))
            return f"({one} {operator} {two})"
        if shape == 3:
            return f"object.keys({self.plain(scope)})"
        if shape == 4:
            return f"{{{self.whatever(scope)}, {self.str_(scope, 0)}}}"
        return self.use("set", scope) or self.literal("set")

    def obj(self, scope: Scope, depth: int) -> str:
        if depth <= 0:
            return self.pick([*scope.of("obj"), self.literal("obj")])
        shape = self.between(0, 5)
        if shape <= 1:
            inner = scope.inner()
            key = inner.fresh("typed")
            source = self.keyed(scope)
            value = inner.fresh("typed")
            body = f"some {key}, {value} in {source}"
            return (
                f"{{{key}: {self.term(self.kind(), inner, 0)} | {body}}}"
                if self.flip()
                else (f"{{{key}: {value} | {body}; {self.condition(inner, 0)}}}")
            )
        if shape == 2:
            return f"object.union({self.obj(scope, depth - 1)}, {self.plain(scope)})"
        if shape == 3:
            return f"object.remove({self.plain(scope)}, {self.set_(scope, 0)})"
        if shape == 4:
            return f'{{"a": {self.plain(scope)}, "é": {self.num(scope, 0)}}}'
        return self.use("obj", scope) or self.literal("obj")

    def generator(self, scope: Scope) -> str:
        """The body of a comprehension, on one line."""
        source, kind = self.source(scope.inner())
        first = f"some {scope.fresh(kind)} in {source}"
        return f"{first}; {self.condition(scope, 0)}" if self.flip() else first
