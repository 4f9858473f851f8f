"""Where the walk through a function stands: its locals, its blocks, the scope of its rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from guardrails.errors import GuardrailsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.rego import ir
    from guardrails.rego.emit import residual
    from guardrails.rego.emit.abstract import Abstract, Variable
    from guardrails.rego.liveness import Liveness


class CannotEmit(GuardrailsError):  # noqa: N818  # said of the compiler; nothing went wrong
    """The compiler has no form for something in a policy; the interpreter runs such a policy."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What rules are worked out from: another one in each ``with``.

    Attributes:
        input: The variable that holds the input.
        memo: The variable that holds the list of the rules' values.
        data: The variable that holds the base documents; empty where they are known.
        shaped: The input has the shape that was promised.
    """

    input: str = "i0"
    memo: str = "m0"
    data: str = ""
    shaped: bool = True


@dataclass(slots=True, eq=False)
class Region:
    """A block of the plan that is being written.

    Attributes:
        behind: The locals that are read after it was left.
        group: The code of it, which a jump may leave.
        conditional: It was perhaps left already.
        env: The locals where it was first left.
        facts: What was known there.
        slot: A place just before that, for code.
        writes: What was written since then into locals that are read behind it.
        filling: A local that is there wherever the block was left so far, and what it holds
            there: the block goes on only where it is not there yet.
    """

    behind: frozenset[int]
    group: residual.Group
    conditional: bool = False
    env: list[Abstract] = field(default_factory=list)
    facts: dict[object, object] = field(default_factory=dict)
    slot: residual.Slot | None = None
    writes: dict[int, list[tuple[Abstract, residual.Slot]]] = field(default_factory=dict)
    filling: tuple[int, Variable] | None = None


@dataclass(slots=True, eq=False)
class Frame:
    """The locals of one function of the plan while it is walked through.

    Attributes:
        function: The function or plan.
        env: What stands in its locals.
        live: Which of them are still read.
        regions: The blocks that are being written, from the outermost.
        pins: The variables of the locals that a loop carries from round to round.
        sink: Where the members of a set go instead of into it: the set's local, and what
            takes a member.
    """

    function: ir.Function | ir.Plan
    env: list[Abstract]
    live: Liveness
    regions: list[Region] = field(default_factory=list)
    pins: dict[int, Variable] = field(default_factory=dict)
    sink: tuple[int, Callable[[Abstract], None]] | None = None
