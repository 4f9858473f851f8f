"""``escalation:`` in ``guardrails.yaml``: whom an unanswered request is put to, and when.

::

    escalation:
      finance-ops: [{after: 30m, to: finance-leads}, {after: 2h, to: board}]

`after` counts from the request. A group that it came to may lead on to others. Who was
asked first may still answer; at last the request expires, and the call is refused.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from guardrails.model.approval import Escalation
from guardrails.register.source import Mapped
from guardrails.register.words import Keyed, Name, Seconds, Some


class EscalationStep(Mapped):
    """One step: after so long, that group may answer, too."""

    after: Seconds
    to: Name


def _no_loops(
    steps: dict[str, tuple[EscalationStep, ...]],
) -> dict[str, tuple[EscalationStep, ...]]:
    for group, chain in steps.items():
        named = [group, *(step.to for step in chain)]
        if len(set(named)) < len(named):
            msg = f"the escalation of `{group}` names a group twice"
            raise ValueError(msg)
    return steps


EscalationSteps = Annotated[Keyed[Name, Some[EscalationStep]], AfterValidator(_no_loops)]
"""The section as it is written."""


def escalation_of(written: EscalationSteps) -> tuple[Escalation, ...]:
    """The steps of the section, as approvals use them."""
    return tuple(
        Escalation(group, int(step.after), step.to)
        for group, chain in written.items()
        for step in chain
    )
