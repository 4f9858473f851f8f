"""One policy in every form that it is compiled to, beside the interpreter."""

from __future__ import annotations

import copy
import functools
import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import EvaluationError
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.compiled import Compiled, compile_policy
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.program import Settings
from guardrails.rego.emit.schemas import shape_of_schema, with_parts
from guardrails.rego.emit.shapes import ANYTHING
from guardrails.rego.evaluation import Limits
from guardrails.rego.interpreter import Interpreter
from guardrails.rego.values import UNDEFINED, RegoSet, equal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.rego import ir
    from guardrails.rego.values import Value

LIMITS: Final = Limits(steps=20_000)
NOW_NS: Final = 1_700_000_000_123_456_789


@dataclass(frozen=True, slots=True)
class Form:
    """How a policy is compiled.

    Attributes:
        strict: Errors of builtins are errors.
        optimised: Rules are written in place.
        bound: The data is known.
        shaped: Inputs obey the schema.
        parts: Parts of the input are known.
    """

    strict: bool = True
    optimised: bool = True
    bound: bool = True
    shaped: bool = False
    parts: bool = False


FORMS: Final = (
    Form(),
    Form(strict=False),
    Form(optimised=False),
    Form(optimised=False, strict=False, bound=False),
    Form(bound=False),
    Form(shaped=True),
    Form(shaped=True, strict=False),
    Form(shaped=True, parts=True),
    Form(shaped=True, parts=True, bound=False),
)


def context() -> EvaluationContext:
    """The same for every evaluation."""
    return EvaluationContext(lambda: NOW_NS, random=random.Random(0))


def settings(form: Form, schema: object, parts: Mapping[str, Any]) -> Settings:
    """What the compiler is told."""
    shape = shape_of_schema(schema) if form.shaped else ANYTHING
    if form.parts:
        shape = with_parts(shape, parts)
    return Settings(strict=form.strict, optimised=form.optimised, input=shape)


Answer = tuple[Any, ...]
"""``("gave", results)`` or ``("failed", code, row, message)``."""


def answer(run: Callable[[], list[Value]]) -> Answer:
    """What an evaluation comes to."""
    try:
        return "gave", run()
    except EvaluationError as error:
        return "failed", error.code, error.row, str(error)


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers are the same: in the same order, with the same code and row."""
    if one[0] == "failed" or other[0] == "failed":
        return one[:3] == other[:3]
    return equal(one[1], other[1])


def spoil(value: Value) -> None:
    """Change every part of a value that can be changed."""
    if type(value) is dict:
        for item in value.values():
            spoil(item)
        value.clear()
        value["spoilt"] = True
    elif type(value) is list:
        for item in value:
            spoil(item)
        value[:] = ["spoilt"]
    elif type(value) is RegoSet:
        value.keys.clear()
        value.keys.add("spoilt")


class DifferenceError(AssertionError):
    """The compiled form does something else than the interpreter."""


@dataclass(frozen=True, slots=True)
class Question:
    """A policy with what it is asked.

    Attributes:
        policy: The policy.
        data: Its base documents.
        inputs: The inputs, for each form in which it is to be compiled.
        schema: What all inputs of forms that are shaped obey.
        parts: What stands in all inputs of forms of which parts are known.
        limits: Beyond these the interpreter gives up, and nothing is compared.
    """

    policy: ir.Policy
    data: Value
    inputs: Mapping[Form, list[Value]]
    schema: object
    parts: Mapping[str, Any]
    limits: Limits = LIMITS

    def check(self) -> int:
        """Compare every form with the interpreter; gives how many answers were compared.

        Raises:
            DifferenceError: They do not agree, or a result shares something.
        """
        interpreter = Interpreter(self.policy, BUILTINS, self.limits)
        compared = 0
        for form, documents in self.inputs.items():
            data = self.data if form.bound else UNDEFINED
            try:
                program = compile_policy(self.policy, data, settings(form, self.schema, self.parts))
            except CannotEmit:
                continue
            for document, plan in itertools.product(documents, self.policy.plans.values()):
                run = functools.partial(
                    interpreter.run,
                    *(plan, document, self.data, context()),
                    strict_builtin_errors=form.strict,
                )
                wanted = answer(run)
                if wanted[1] != "eval_limit_error":
                    told = f"{form}\n{plan.name} of {document!r}"
                    self._compare(program, plan.name, document, wanted, told)
                    compared += 1
        return compared

    def _compare(
        self, program: Compiled, name: str, document: Value, wanted: Answer, told: str
    ) -> None:
        held = copy.deepcopy((document, self.data))
        for turn in ("first", "second, after the first result was changed"):
            found = answer(lambda: program.run(name, document, self.data, context()))
            if not same(wanted, found):
                raise DifferenceError(f"{told}, {turn}:\n{found}\nnot\n{wanted}")
            if found[0] == "gave":
                spoil(found[1])
            if not equal(_there(held), _there((document, self.data))):
                raise DifferenceError(f"{told} changed its input or data, {turn}")


def _there(values: tuple[Value, ...]) -> list[Value]:
    return [value for value in values if value is not UNDEFINED]
