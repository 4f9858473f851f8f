"""Loops that end as soon as a further round could not do anything that was not done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.emit import residual
from guardrails.rego.emit.residual import Do, For, Group, Jump, Return, Set, Stop

if TYPE_CHECKING:
    from guardrails.rego.emit.residual import Body
    from guardrails.rego.emit.unit import Unit


def stop_early(unit: Unit, loop: For) -> None:
    """End a loop where a further round could not do anything that was not done."""
    inside = list(residual.walk(loop.body.body))
    if any(isinstance(node, For | Group | Jump | Return | Stop) for node in inside):
        return
    if any(unit.may_raise(text) for node in inside for text in residual.texts(node)):
        return
    changing = {name for node in (loop, *inside) for name in residual.assigned(node)}
    leaves = [body for body in residual.bodies(loop.body.body) if _effects(body, changing)]
    if len(leaves) != 1:
        return
    (leaf,) = leaves
    done = {node.name for node in leaf if isinstance(node, Set)}
    for node in leaf:
        if isinstance(node, Do) and not node.idempotent:
            return
        if not isinstance(node, Do | Set):
            return
        if set(residual.names(residual.texts(node)[0])) & changing:
            return
    # What it sets must not be read by a later round.
    read = {
        name for node in inside for text in residual.texts(node) for name in residual.names(text)
    }
    if not done & read:
        leaf.append(Stop(leaf[-1].where))


def _effects(body: Body, changing: set[str]) -> bool:
    """Whether something in `body` itself is seen behind the loop."""
    del changing
    return any(
        isinstance(node, Do) or (isinstance(node, Set) and node.name[0] in "vn") for node in body
    )
