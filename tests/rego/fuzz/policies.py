"""Random policies that mean something, with data and inputs for them.

One :class:`Maker` draws a policy from a :class:`random.Random`: a seeded one for campaigns, or
hypothesis' own (:func:`policies`), which shrinks. Every policy is one that OPA's compiler takes:
terms have kinds, variables are bound before they are read, rules refer to earlier rules only.

What is left out by construction, since evaluators differ there and OPA is no help:

- Some numbers (see :mod:`tests.rego.fuzz.vocabulary`).
- Two different values for one key or one complete rule, unless :attr:`Options.conflicts` asks for
  them: OPA stops at the first value where it knows that all are the same, its plans do not.
- Objects that have both a number and its text as keys: as JSON they are one.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st
from tests.rego.fuzz.terms import (
    Defined,
    Options,
    Scope,
    Terms,
    guarded,
    quoted,
    unbracketed,
    without_unread,
)
from tests.rego.fuzz.vocabulary import JUNK, NUMBERS, WORDS

from guardrails.rego.values import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Module:
    """One module: its package, its imports, its rules."""

    package: str
    imports: tuple[str, ...]
    rules: tuple[str, ...]

    def text(self) -> str:
        """Its source."""
        head = [f"package {self.package}", "\n".join(self.imports)]
        return "\n\n".join([*filter(None, head), *self.rules]) + "\n"


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy with what to ask it.

    Attributes:
        parts: Its modules by file name.
        entrypoints: Packages and rules, as ``p/main``.
        data: The base documents, all below one name that no package has.
        inputs: What it is asked; UNDEFINED for no input.
        needs_opa: Whether regopy is known not to plan it as OPA does.
    """

    parts: dict[str, Module]
    entrypoints: tuple[str, ...]
    data: dict[str, Any]
    inputs: tuple[Any, ...]
    needs_opa: bool = False

    @property
    def modules(self) -> dict[str, str]:
        """The sources by file name."""
        return {name: part.text() for name, part in self.parts.items()}

    def smaller(self) -> Iterator[Policy]:
        """The same policy without one of its rules, or with one input: to search a small case."""
        for name, part in self.parts.items():
            for place in range(len(part.rules) - 1, -1, -1):
                rules = part.rules[:place] + part.rules[place + 1 :]
                yield replace(self, parts={**self.parts, name: replace(part, rules=rules)})
        if len(self.inputs) > 1:
            for given in self.inputs:
                yield replace(self, inputs=(given,))


def batch(seed: int | str, size: int, options: Options = Options()) -> list[Policy]:  # noqa: B008  # frozen
    """The same policies each time, with a root each, so that one OPA takes all of them."""
    chance = random.Random(seed)
    return [Maker(chance, f"c{number}", options).policy() for number in range(size)]


def smallest(policy: Policy, fails: Callable[[Policy], bool]) -> Policy:
    """A part of the policy that still fails, of which no smaller part does."""
    found: Policy | None = policy
    while found is not None:
        policy = found
        found = next((part for part in policy.smaller() if fails(part)), None)
    return policy


def policies(options: Options = Options()) -> st.SearchStrategy[Policy]:  # noqa: B008  # frozen
    """Policies that hypothesis draws, and makes smaller where a test fails."""
    return st.randoms(use_true_random=False).map(
        lambda chance: Maker(chance, "p", options).policy()
    )


_REASONS: Final = """reasons contains {"rule": name, "reason": reason} if {
	some name
	some reason in RULES[name].deny
}"""
_PERMITS: Final = """permits contains name if {
	some name, kinds in RULES
	count(kinds.allow) > 0
}"""
_DECISION: Final = """decision := {"effect": "deny", "reasons": reasons} if count(reasons) > 0

else := {"effect": "allow", "by": permits} if count(permits) > 0

else := {"effect": "deny", "reasons": []}"""
_COUNTS: Final = "counts[name] := count(kinds) if some name, kinds in RULES"


class Maker(Terms):
    """Draws one policy; arguments as :class:`Terms`."""

    def policy(self) -> Policy:
        parts: dict[str, Module] = {}
        names = [f"{self.prefix}.main"]
        names += [f"{self.prefix}.other"] if self.flip() else []
        for name in reversed(names):
            parts[f"{name}.rego"] = self.module(name, self.between(2, 6))
        merged = self.flip()
        if merged:
            for number in range(self.between(1, 3)):
                name = f"{self.prefix}.rules.k{number}"
                parts[f"{name}.rego"] = self.contributions(name)
            parts[f"{self.prefix}.rego"] = self.merge()
        entrypoints = [name.replace(".", "/") for name in names]
        entrypoints += [f"{self.prefix}/merge"] if merged else []
        single = [each.path for each in self.defined if each.params is None]
        if single:
            entrypoints.append(self.pick(single).removeprefix("data.").replace(".", "/"))
        inputs = tuple(self.input() for _ in range(self.between(4, 8)))
        return Policy(
            parts,
            tuple(entrypoints),
            {f"{self.prefix}_facts": self.facts_()},
            inputs,
            self.needs_opa,
        )

    # Modules and rules.

    def module(self, package: str, rules: int) -> Module:
        self.package = package
        self.imports = ["import future.keywords.not"]
        made = [without_unread(self.rule()) for _ in range(rules)]
        return Module(package, tuple(self.imports), tuple(made))

    def contributions(self, package: str) -> Module:
        self.package = package
        self.taken = itertools.count(1)
        rules = []
        for kind in ("deny", "allow"):
            for _ in range(self.between(0, 2)):
                scope = self.scope()
                body = self.body(scope)
                reason = self.str_(scope, 1) if self.flip() else quoted(self.pick(WORDS))
                rules.append(f"{kind} contains {reason} {body}")
        rules.append(
            f"allow contains {quoted('always')} {guarded(self.condition(self.scope(), 1))}"
        )
        made = tuple(map(without_unread, rules))
        return Module(package, ("import future.keywords.not",), made)

    def merge(self) -> Module:
        rules = f"data.{self.prefix}.rules"
        texts = (_REASONS, _PERMITS, _DECISION, _COUNTS)
        made = tuple(text.replace("RULES", rules) for text in texts)
        return Module(f"{self.prefix}.merge", ("import future.keywords.not",), made)

    def rule(self) -> str:
        self.count += 1
        self.taken = itertools.count(1)
        name = f"r{self.count}"
        shapes: list[Callable[[str], str]] = [
            self.constant_rule,
            self.value_rule,
            self.else_rule,
            self.set_rule,
            self.object_rule,
            self.function,
            self.branches,
        ]
        if self.options.conflicts and self.flip(4):
            return self.conflict(name)
        return self.pick(shapes)(name)

    def define(self, name: str, kind: str, params: tuple[str, ...] | None = None) -> None:
        self.defined.append(Defined(f"data.{self.package}.{name}", kind, params))

    def constant_rule(self, name: str) -> str:
        bodies = [self.body(self.scope()) for _ in range(self.between(1, 3))]
        start = f"default {name} := false\n\n" if self.flip() else ""
        self.define(name, "bool")
        return start + "\n\n".join(f"{name} {body}" for body in bodies)

    def value_rule(self, name: str) -> str:
        kind = self.pick(["num", "str", "any", "arr", "obj", "set"])
        head = name
        if self.only_opa(6):
            head = f"{name}.sub.{self.pick(['x', 'y'])}"
        scope = self.scope()
        body = self.body(scope) if self.flip() else ""
        value = self.term(kind, scope.settled(), 2)
        start = ""
        if body and head == name and self.flip(3):
            start = f"default {name} := {self.literal(kind)}\n\n"
        self.define(head, kind)
        return f"{start}{head} := {value}" + (f" {body}" if body else "")

    def else_rule(self, name: str) -> str:
        kind = self.pick(["num", "str", "any"])
        parts = []
        for _ in range(self.between(2, 3)):
            scope = self.scope()
            body = self.body(scope)
            parts.append(f":= {self.term(kind, scope.settled(), 1)} {body}")
        if self.flip():
            parts.append(f":= {self.literal(kind)}")
        self.define(name, kind)
        return f"{name} " + "\n\nelse ".join(parts)

    def set_rule(self, name: str) -> str:
        kind = self.pick(["num", "str", "any"])
        texts = []
        for _ in range(self.between(1, 2)):
            scope = self.scope()
            body = self.body(scope)
            value = unbracketed(self.term(kind, scope, 1))
            texts.append(f"{name} contains {value} {body}")
        self.define(name, "set")
        return "\n\n".join(texts)

    def object_rule(self, name: str) -> str:
        scope = self.scope()
        source = self.keyed(scope)
        key = scope.fresh("typed")
        held = scope.inner()
        value = self.pick([key, "1", f"upper({key})", f"count({key})", f"[{key}, true]"])
        more = f"\n\t{self.condition(held, 1)}" if self.flip() else ""
        self.define(name, "obj")
        head = f"{name}[{key}] := {value} if {{\n\tsome {key}, _ in {source}"
        return f"{head}\n\tis_string({key}){more}\n}}"

    def function(self, name: str) -> str:
        kind = self.pick(["num", "str", "any", "bool"])
        params = tuple(self.pick(["num", "str", "any"]) for _ in range(self.between(1, 2)))
        scope = self.scope()
        names = [scope.fresh(each) for each in params]
        scope.outside = list(scope.variables)
        body = self.body(scope)
        head = f"{name}({', '.join(names)})"
        value = "true" if kind == "bool" else self.term(kind, scope.settled(), 1)
        text = f"{head} := {value} {body}"
        if self.flip():
            last = Scope(self.taken, list(zip(names, params, strict=True)))
            text += f"\n\nelse := {'false' if kind == 'bool' else self.term(kind, last, 1)}"
            text += f" {guarded(self.condition(last, 1))}" if self.flip() else ""
        self.define(name, kind, params)
        return text

    def branches(self, name: str) -> str:
        """A function by the form of its argument."""
        words = ["a", "ok", "prod", "x,y"]
        made = [
            f"{name}({quoted(word)}) := {self.literal('num')}"
            for word in words[: self.between(1, len(words))]
        ]
        made += [f"{name}([v1, v2]) := count([v1, v2])"] if self.flip() else []
        self.define(name, "num", ("any",))
        return "\n\n".join(made)

    def conflict(self, name: str) -> str:
        shape = self.between(0, 2)
        if shape == 0:
            texts = [f"{name} := {self.literal('num')} {self.body(self.scope())}" for _ in range(3)]
            self.define(name, "num")
        elif shape == 1:
            texts = [
                f"{name}[v1] := v2 if some v1, v2 in {self.keyed(self.scope())}",
                f"{name}[v1] := 1 if some v1, _ in {self.keyed(self.scope())}",
            ]
            self.define(name, "obj")
        else:
            source = f"{self.facts}.table"
            texts = [f"{name} := {{v1.kind: v1.id | some v1 in {source}}}"]
            self.define(name, "obj")
        return "\n\n".join(texts)

    # Data and inputs.

    def number(self) -> Any:
        text = self.pick(NUMBERS)
        return int(text) if text.lstrip("-").isdigit() else Decimal(text)

    def word(self) -> str:
        return str(self.pick(WORDS))

    def scalar(self) -> Any:
        return self.pick([self.number, self.word, lambda: self.pick(JUNK)])()

    def facts_(self) -> dict[str, Any]:
        return {
            "limits": {self.word(): self.number() for _ in range(self.between(0, 3))},
            "owners": {self.word(): [self.word()] for _ in range(self.between(0, 3))},
            "table": [self.record() for _ in range(self.between(0, 3))],
            "names": [self.word() for _ in range(self.between(0, 3))],
            "deep": {"a": {"b": self.scalar(), "refund": {"kind": self.number()}}},
            "matrix": [[self.number() for _ in range(2)] for _ in range(self.between(0, 2))],
            "on": self.flip(),
        }

    def record(self) -> dict[str, Any]:
        return {"id": self.scalar(), "kind": self.word(), "a": self.number()}

    def input(self) -> Any:
        if self.flip(16):
            return UNDEFINED
        if self.flip(16):
            return self.pick(JUNK)
        whole = {
            "amount": self.number(),
            "name": self.word(),
            "tags": [self.word() for _ in range(self.between(0, 3))],
            "items": [self.record() for _ in range(self.between(0, 2))],
            "flags": {self.word(): self.flip() for _ in range(self.between(0, 3))},
            "nested": {"a": {"b": self.scalar()}, "users": [self.word()]},
            "list": [self.number() for _ in range(self.between(0, 4))],
            "any": self.scalar(),
        }
        for name in list(whole):
            if self.flip(6):
                del whole[name]
            elif self.flip(6):
                whole[name] = self.pick(JUNK)
        return whole
