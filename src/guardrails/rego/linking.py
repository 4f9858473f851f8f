"""From the nodes of a policy to routines that run: whatever can be settled at load is.

Each statement becomes a closure by the builder of its kind. Operands become places in the
frame: the constants of a routine stand in it after the locals, so that an operand is read
in one way whatever it is. Names of functions and builtins become the things themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guardrails.rego import ir
from guardrails.rego.evaluation import Routine
from guardrails.rego.values import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guardrails.rego.builtins.base import Builtin
    from guardrails.rego.evaluation import Action, Code, Frame
    from guardrails.rego.values import Value

Builders: TypeAlias = "Mapping[type[ir.Statement], Callable[[Any, Linker], Action]]"
"""What makes each kind of statement ready to run."""

Observer: TypeAlias = "Callable[[ir.Statement, Action], Action]"
"""What is put around each statement, to see what it does."""


@dataclass(frozen=True, slots=True)
class Linked:
    """A policy that is ready to run; holds no state of an evaluation.

    Attributes:
        plans: By name.
        functions: The rules and functions by name.
        by_path: The rules and functions by their path, for dynamic calls.
        rule_paths: The rules as a tree of packages, for references by a value.
    """

    plans: Mapping[str, Routine]
    functions: Mapping[str, Routine]
    by_path: Mapping[tuple[str, ...], Routine]
    rule_paths: Mapping[str, Any]


def link(
    policy: ir.Policy,
    builtins: Mapping[str, Builtin],
    builders: Builders,
    observer: Observer | None = None,
) -> Linked:
    """`policy`, ready to run.

    Args:
        policy: What :func:`guardrails.rego.decoder.decode` gave.
        builtins: The builtins it may call, by name; all that it calls must be there.
        builders: What makes each kind of statement ready to run.
        observer: What is put around each statement; None for nothing.
    """
    functions = {
        name: Routine(f.path, f.where, is_rule=len(f.params) == ir.RULE_PARAMETERS)
        for name, f in policy.functions.items()
    }
    plans = {name: Routine((), ir.NOWHERE, is_rule=False) for name in policy.plans}
    by_path = {path: functions[function.name] for path, function in policy.by_path.items()}
    linked = Linked(plans, functions, by_path, _rule_paths(by_path.values()))
    for name, function in policy.functions.items():
        Linker(linked, builtins, builders, observer).fill(functions[name], function)
    for name, plan in policy.plans.items():
        Linker(linked, builtins, builders, observer).fill(plans[name], plan)
    return linked


class Linker:
    """Makes one routine ready to run; the builders ask it for what a statement names.

    Attributes:
        linked: The whole policy; its routines are perhaps not yet filled.
        builtins: By name.
    """

    def __init__(
        self,
        linked: Linked,
        builtins: Mapping[str, Builtin],
        builders: Builders,
        observer: Observer | None,
    ) -> None:
        self.linked = linked
        self.builtins = builtins
        self._builders = builders
        self._observer = observer
        self._locals = 0
        self._read: frozenset[int] = frozenset()
        self._constants: dict[ir.Constant, int] = {}

    def fill(self, routine: Routine, function: ir.Function | ir.Plan) -> None:
        """Give `routine` its blocks, and what its frames begin with."""
        self._locals = function.locals
        statements = ir.statements(function.blocks)
        self._read = frozenset(local for each in statements for local in ir.reads(each))
        given = len(function.params) if isinstance(function, ir.Function) else ir.RULE_PARAMETERS
        routine.blocks = tuple(self.code(body) for body in function.blocks)
        constants = [constant.value for constant in self._constants]
        routine.rest = (*[UNDEFINED] * (function.locals - given), *constants)

    def code(self, body: ir.Body) -> Code:
        """A block, ready to run."""
        return tuple(self._action(statement) for statement in body if not self._is_idle(statement))

    def place(self, operand: ir.Operand) -> int:
        """Where in the frame the value of `operand` stands."""
        if isinstance(operand, ir.Local):
            return operand.index
        return self._constants.setdefault(operand, self._locals + len(self._constants))

    def gather(self, operands: Iterable[ir.Operand]) -> Callable[[Frame], tuple[Value, ...]]:
        """What takes the values of `operands` out of a frame."""
        places = [self.place(operand) for operand in operands]
        if len(places) > 1:
            return itemgetter(*places)
        if places:
            (only,) = places
            return lambda frame: (frame[only],)
        return lambda _: ()

    def _is_idle(self, statement: ir.Statement) -> bool:
        # regopy notes of each expression that it held, in a local that nobody reads.
        return isinstance(statement, ir.AssignVar) and statement.target not in self._read

    def _action(self, statement: ir.Statement) -> Action:
        action = self._builders[type(statement)](statement, self)
        return action if self._observer is None else self._observer(statement, action)


def _rule_paths(routines: Iterable[Routine]) -> dict[str, Any]:
    """The rules by their path below `data`, as a tree of packages."""
    tree: dict[str, Any] = {}
    for routine in routines:
        *packages, name = routine.path
        if not routine.is_rule or packages[:1] != [_PLAIN_VERSION]:
            continue
        here = tree
        for part in packages[1:]:
            below = here.setdefault(part, {})
            # A rule below another one's path is a part of that one's value.
            if isinstance(below, Routine):
                break
            here = below
        else:
            here[name] = routine
    return tree


_PLAIN_VERSION: Final = "g0"
"""The head of a path whose function is planned without mocks."""
