"""How an engine is asked about a document that enforcement has made, whose types need no check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.model.decision import Decision

DecideMade: TypeAlias = "Callable[..., Decision | None]"
"""A function of an engine, a document, what is :class:`Vouchable` of it, and the decision's id.

What it gives may bear no id; None where the engine would have to wait, and is to be asked by its
``decide`` or ``decide_async``.
"""


class Vouchable(Protocol):
    """Stands for those parts of the input that enforcement keeps from call to call.

    Attributes:
        vouched: For the engine: the policies for which it has found them to fit, if any.
    """

    vouched: object


def decide_made_of(engine: object) -> DecideMade | None:
    """The ``decide_made`` of the engine's class, if it has one that decides as the engine does.

    Not that of a class whose ``decide`` or ``decide_async`` another has overridden since: whoever
    decides otherwise is asked the way that it knows of. Nor one of the engine alone: what stands
    before another engine, and hands on what it has not, has none.
    """
    kind: Any = type(engine)
    for base in kind.__mro__:
        if "decide_made" in vars(base):
            is_its_own = kind.decide is base.decide and kind.decide_async is base.decide_async
            found: DecideMade | None = base.decide_made if is_its_own else None
            return found
    return None


__all__ = ["DecideMade", "Vouchable", "decide_made_of"]
