"""What is left of a policy: functions of Python, and what stands under the names in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from guardrails.rego.emit.shapes import ANYTHING, Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.rego.emit.abstract import Known
    from guardrails.rego.emit.frames import Scope
    from guardrails.rego.emit.residual import Body, Text
    from guardrails.rego.values import Value


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
            items, the ``pattern`` that it is, a ``path`` of names, a ``getter`` of names.
        value: The value; where there is an origin, it is not to be copied.
        origin: Where it stands in the bound data; None where it stands in the policy.
    """

    name: str
    form: str
    value: Value
    origin: tuple[str | int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """The values of a rule, kept by the one name in the input that it depends on.

    Attributes:
        function: The function of Python that works them out.
        params: What it takes.
        path: Where the name stands in the input; empty if it does not depend on the input.
        sources: The constants in which the name is looked up.
    """

    function: str
    params: tuple[str, ...]
    path: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(slots=True, eq=False)
class Emitted:
    """One function of Python.

    Attributes:
        name: As ``F5``.
        params: The names of its parameters.
        body: Its statements.
        result: What it gives.
        raw: It gives the members of a set by their keys.
        constant: What it always gives, where that is known and it cannot fail.
        echo: The parameter that it gives back, where it does nothing else.
    """

    name: str
    params: tuple[str, ...] = ()
    body: Body = field(default_factory=list)
    result: Shape = ANYTHING
    raw: bool = False
    constant: Known | None = None
    echo: int | None = None

    def call(self, scope: Scope, args: Sequence[Text]) -> Text:
        """A call of it from a function that has `scope`."""
        given = {"i0": scope.input, "m0": scope.memo, "d0": scope.data, "c0": "c0"}
        implicit = [given[param] for param in self.params if param in given]
        return f"{self.name}({', '.join([*implicit, *args])})"


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
        lookups: What is kept of a rule's values, by its name.
    """

    functions: tuple[Emitted, ...]
    entries: dict[str, Emitted]
    constants: tuple[Constant, ...]
    builtins: dict[str, str]
    memo: int
    origins: dict[str, str]
    tables: dict[str, dict[str, str]]
    lookups: dict[str, Lookup]
