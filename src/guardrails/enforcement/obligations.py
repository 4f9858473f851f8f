"""What a decision obliges to: transforms of arguments, and marks on the record. Pure.

Paths are JSON pointers (RFC 6901) below ``/args``. For a transform the place
must exist. For a redaction, too: a path that leads nowhere is more likely
misspelt than harmless, and :func:`check` refuses the call. What a redaction hides in the
record, also in that of a refused call, is in :mod:`guardrails.audit.redaction`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.model.canonical import NotExactJSON, canonical
from guardrails.model.pointer import NoPointer, below_args, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrails.model.decision import Obligation


class InapplicableObligation(ValueError):  # noqa: N818  # named for what the obligation is
    """An obligation is unknown, contradicts another, or does not apply to the arguments."""


def check(obligations: Iterable[Obligation], document: Mapping[str, Any]) -> None:
    """Nothing, where every obligation is known and applies to the arguments.

    Args:
        obligations: What the decision obliges to.
        document: The arguments as exact JSON, by parameter.

    Raises:
        InapplicableObligation: one is unknown, points to nothing, or transforms what another
            transforms.
    """
    taken: list[tuple[str, ...]] = []
    for duty in obligations:
        if duty.type == "label":
            if not duty.path:
                msg = "a label is empty"
                raise InapplicableObligation(msg)
            continue
        if duty.type not in {"redact", "transform"}:
            msg = f"an obligation is of unknown type `{duty.type[:40]}`"
            raise InapplicableObligation(msg)
        steps = _steps(duty)
        _find(document, steps, duty)
        if duty.type == "transform":
            for other in taken:
                shorter = min(len(other), len(steps))
                if other[:shorter] == steps[:shorter]:
                    msg = f"two transforms touch `{_shown(duty.path)}`"
                    raise InapplicableObligation(msg)
            taken.append(steps)
            _exact_copy(duty)


def apply_transforms(
    document: Mapping[str, Any], transforms: Iterable[Obligation]
) -> dict[str, Any]:
    """The new JSON value of each parameter that the transforms change; nothing is shared.

    Args:
        document: The arguments as exact JSON, by parameter. It is not changed.
        transforms: The obligations; those of other types change nothing.

    Raises:
        InapplicableObligation: as :func:`check`.
    """
    transforms = tuple(transforms)
    check(transforms, document)
    changes: dict[str, Any] = {}
    for duty in transforms:
        if duty.type != "transform":
            continue
        name, *below = _steps(duty)
        if not below:
            changes[name] = _exact_copy(duty)
            continue
        if name not in changes:
            changes[name] = _copy(document[name])
        target = changes[name]
        for step in below[:-1]:
            target = target[place(target, step)]
        target[place(target, below[-1])] = _exact_copy(duty)
    return changes


def labels(obligations: Iterable[Obligation]) -> tuple[str, ...]:
    """The labels that the record of the call bears, each once, in the decision's order."""
    if not obligations:
        return ()
    return tuple(dict.fromkeys(duty.path for duty in obligations if duty.type == "label"))


def _steps(duty: Obligation) -> tuple[str, ...]:
    try:
        return below_args(duty.path)
    except NoPointer as error:
        msg = f"the path `{_shown(duty.path)}` of a {duty.type} {error}"
        raise InapplicableObligation(msg) from None


def _find(document: Mapping[str, Any], steps: tuple[str, ...], duty: Obligation) -> None:
    target: Any = document
    for step in steps:
        found = place(target, step)
        if found is None:
            msg = (
                f"a {duty.type} of `{_shown(duty.path)}` does not apply: there is no such argument"
            )
            raise InapplicableObligation(msg)
        target = target[found]


def _exact_copy(duty: Obligation) -> Any:
    try:
        canonical(duty.value)
    except NotExactJSON as error:
        msg = f"the value of the transform of `{_shown(duty.path)}`: {error}"
        raise InapplicableObligation(msg) from None
    return _copy(duty.value)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _shown(path: str) -> str:
    return path if len(path) <= 80 else path[:80] + "…"  # noqa: PLR2004  # a line of a message
