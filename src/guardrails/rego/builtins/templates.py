"""``strings.render_template``: the part of Go's ``text/template`` that needs no functions of Go's.

Fields, variables, ``if``, ``range``, ``with``, comments and trimming, and the functions ``not``,
``and``, ``or`` and ``len``. What a template may hold besides is refused by an error that no
evaluation takes for undefined (:class:`UnsupportedTemplate`): OPA would give a text there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.operands import bounded_text, object_, string
from guardrails.rego.builtins.templateparse import (
    Branch,
    Call,
    Chain,
    Constant,
    Jump,
    Pipeline,
    Show,
    UnsupportedTemplate,
    parse,
)
from guardrails.rego.values import UNDEFINED, dumps, is_number, number_text, to_json

if TYPE_CHECKING:
    from guardrails.rego.builtins.templateparse import Node
    from guardrails.rego.values import Value

_MOST_ROUNDS: Final = 100_000
"""Rounds of all loops of one template."""

_NOTHING: Final = "<no value>"


@builtin("strings.render_template", arity=2)
def render_template(template: Value, variables: Value) -> Value:
    """The template with the variables in it; ``<undefined>`` stands for what is not there."""
    nodes = parse(string(template, 1))
    rendering = _Rendering(to_json(object_(variables, 2)))
    rendering.walk(nodes, rendering.root)
    return "".join(rendering.out).replace(_NOTHING, "<undefined>")


class _GoInteger(int):
    """An integer that the template made: Go prints it as a number of JSON, and tests it for 0."""


class _Break(Exception):  # noqa: N818  # how a loop is left is no error
    """Ends the innermost loop."""


class _Continue(Exception):  # noqa: N818  # as above
    """Goes on with the next round of the innermost loop."""


class _Rendering:
    """One rendering, with its variables and what it wrote."""

    def __init__(self, root: Value) -> None:
        self.root = root
        self.variables: list[tuple[str, Value]] = [("$", root)]
        self.out: list[str] = []
        self.length = 0
        self.rounds = 0

    def walk(self, nodes: tuple[Node, ...], dot: Value) -> None:
        for node in nodes:
            if type(node) is str:
                self.put(node)
            elif isinstance(node, Show):
                value = self.pipeline(node.pipeline, dot)
                if not node.pipeline.names:
                    self.put(_shown(value))
            elif isinstance(node, Branch):
                mark = len(self.variables)
                (self.range if node.kind == "range" else self.choose)(node, dot)
                del self.variables[mark:]
            elif isinstance(node, Jump):
                raise _Break if node.kind == "break" else _Continue

    def put(self, text: str) -> None:
        self.length += len(text)
        bounded_text(self.length)
        self.out.append(text)

    def choose(self, node: Branch, dot: Value) -> None:
        value = self.pipeline(node.pipeline, dot)
        if _truth(value):
            self.walk(node.body, value if node.kind == "with" else dot)
        else:
            self.walk(node.otherwise, dot)

    def range(self, node: Branch, dot: Value) -> None:
        names = node.pipeline.names
        value = self.pipeline(node.pipeline, dot)
        rounds = _rounds(value)
        if type(value) is _GoInteger and len(names) > 1:
            raise BuiltinError("a number cannot be ranged over with two variables")
        self.rounds += len(rounds)
        if self.rounds > _MOST_ROUNDS:
            raise BuiltinError(f"the template takes more than {_MOST_ROUNDS} rounds")
        mark = len(self.variables)
        for index, item in rounds:
            # One name is the item's; of two the first is the index'.
            for name, held in zip(reversed(names), (item, index), strict=False):
                self.assign(name, held, declare=node.pipeline.declares)
            try:
                self.walk(node.body, item)
            except _Break:
                break
            except _Continue:
                pass
            finally:
                del self.variables[mark:]
        if not rounds:
            self.walk(node.otherwise, dot)

    def assign(self, name: str, value: Value, *, declare: bool) -> None:
        if declare:
            self.variables.append((name, value))
            return
        place = self.place(name)
        self.variables[place] = (name, value)

    def place(self, name: str) -> int:
        for place in range(len(self.variables) - 1, -1, -1):
            if self.variables[place][0] == name:
                return place
        raise BuiltinError(f"undefined variable: {name}")

    def pipeline(self, pipeline: Pipeline, dot: Value) -> Value:
        value: Value = None
        for number, command in enumerate(pipeline.commands):
            last = (value,) if number else ()
            if isinstance(command, Call):
                value = self.call(command, dot, last)
            elif last or command.extra:
                value = self.argued(command.operand, dot)
            else:
                value = self.operand(command.operand, dot)
        for name in pipeline.names:
            self.assign(name, value, declare=pipeline.declares)
        return value

    def argued(self, operand: Constant | Chain | Pipeline, dot: Value) -> Value:
        """What gets an argument and is no function: a fault, but for a field of what is not there.

        That one Go gives up before it looks at the argument.
        """
        if isinstance(operand, Chain) and operand.fields:
            holder = self.operand(Chain(operand.base, operand.fields[:-1]), dot)
            if holder is UNDEFINED:
                return UNDEFINED
        raise BuiltinError("an argument is given to what is no function")

    def call(self, call: Call, dot: Value, last: tuple[Value, ...]) -> Value:
        if call.name in {"and", "or"}:
            return self.connective(call, dot, last)
        values = [self.operand(operand, dot) for operand in call.operands] + list(last)
        if len(values) != 1:
            raise BuiltinError(f"wrong number of args for {call.name}: want 1 got {len(values)}")
        (value,) = values
        if call.name == "not":
            return not _truth(value)
        if is_number(value):
            return _GoInteger(len(number_text(value)))
        if type(value) not in (str, list, dict):
            raise BuiltinError("len of what has no length")
        return _GoInteger(len(value.encode()) if type(value) is str else len(value))

    def connective(self, call: Call, dot: Value, last: tuple[Value, ...]) -> Value:
        """``and`` and ``or``: the first operand that settles it, else the last one."""
        if not call.operands and not last:
            raise BuiltinError(f"wrong number of args for {call.name}: want at least 1 got 0")
        value: Value = None
        for operand in call.operands:
            value = self.operand(operand, dot)
            if _truth(value) == (call.name == "or"):
                return value
        value = last[0] if last else value
        # To Go, what a function gives is nothing where it would be null.
        return UNDEFINED if value is None else value

    def operand(self, operand: Constant | Chain | Pipeline, dot: Value) -> Value:
        if isinstance(operand, Constant):
            value = operand.value
            return _GoInteger(value) if type(value) is int else value
        if isinstance(operand, Pipeline):
            return self.pipeline(operand, dot)
        value = self.base(operand, dot)
        for name in operand.fields:
            value = _field(value, name)
        return value

    def base(self, chain: Chain, dot: Value) -> Value:
        if chain.base is None:
            return dot
        if isinstance(chain.base, Pipeline):
            return self.pipeline(chain.base, dot)
        return self.variables[self.place(chain.base)][1]


def _field(value: Value, name: str) -> Value:
    if value is UNDEFINED:
        return UNDEFINED
    if type(value) is not dict:
        raise BuiltinError(f"no field {name} in what is no object")
    return value.get(name, UNDEFINED)


def _truth(value: Value) -> bool:
    if value is UNDEFINED or value is None:
        return False
    # A number of JSON is a text to Go, and no text of a number is empty.
    return is_number(value) or bool(value)


def _rounds(value: Value) -> list[tuple[Value, Value]]:
    if value is UNDEFINED or value is None:
        return []
    if type(value) is list:
        return [(_GoInteger(index), item) for index, item in enumerate(value)]
    if type(value) is dict:
        return [(name, value[name]) for name in sorted(value)]
    if type(value) is _GoInteger:
        if value > _MOST_ROUNDS:
            raise BuiltinError(f"the template takes more than {_MOST_ROUNDS} rounds")
        return [(UNDEFINED, _GoInteger(number)) for number in range(value)]
    raise BuiltinError("range can't iterate over what is no array and no object")


def _shown(value: Value) -> str:
    """A value as Go's ``Print`` shows it."""
    return _NOTHING if value is UNDEFINED or value is None else _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "<nil>"
    if type(value) is str:
        return value
    if type(value) is list:
        return f"[{' '.join(map(_text, value))}]"
    if type(value) is dict:
        return f"map[{' '.join(f'{name}:{_text(value[name])}' for name in sorted(value))}]"
    return str(int(value)) if type(value) is _GoInteger else dumps(value)


__all__ = ["UnsupportedTemplate", "render_template"]
