"""How an approval request is shown to a person; what is in it cannot steer a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from guardrails.approvals.changes import ABSENT, changes
from guardrails.approvals.display import plain, render, value_text
from guardrails.model.approval import ApprovalState
from guardrails.runs.ledgers.amounts import DIMENSIONS, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guardrails.approvals.table import Listed
    from guardrails.model.approval import ApprovalRequest

_SECOND: Final = 1_000_000_000


_ABOUT: Final = {"escalation": "question about ", "budget": "more budget for "}


def called(request: Listed, *, longest: int = 120) -> str:
    """The call in a line, and what is wanted besides that it may run.

    Args:
        request: What is listed.
        longest: The characters of an argument that are shown.
    """
    return _ABOUT.get(request.about, "") + render(request.tool, request.args, longest=longest)


def lines_of(request: ApprovalRequest, left: Mapping[str, int] | None) -> Iterator[tuple[str, str]]:
    """The request whole, as names and texts.

    Args:
        request: It.
        left: What is left of the limits of its run now, by dimension; None where that is not known.
    """
    yield "request", request.id
    yield "state", request.state.value
    if request.question:
        yield "asks", plain(request.question)
    yield "tool", plain(request.tool)
    for name, value in request.args.items():
        yield f"  {plain(name)}", value_text(value, longest=2_000)
    yield "agent", f"{plain(request.agent)}, run {plain(request.run_id)}"
    if request.principal is not None:
        yield "on behalf of", plain(request.principal)
    for demand in request.demands:
        needed = f"{demand.quorum} of {', '.join(demand.approvers)}"
        yield "asked by", f"{demand.rule}: {plain(demand.reason)} ({needed})"
    for each in request.escalation:
        yield "unanswered", f"after {each.after} s {each.to} may answer for {each.group}, too"
    if request.lineage:
        labels = ", ".join(request.lineage[-1].labels) or "none"
        yield "run", f"mode {request.lineage[-1].mode}, labels {labels}"
    yield from _budget(request, left)
    if request.origin is not None:
        yield "in place of", request.origin
    if request.successor is not None:
        yield "gave way to", request.successor
    if request.previous is not None:
        how = request.previous_outcome
        yield "before", f"{request.previous} was approved for the same call; it ended: {how}"
    if request.state is ApprovalState.CONSUMED and request.about == "call":
        yield "outcome", ended(request)
    yield "left", time_left(request)
    yield "digest", request.digest
    for step in request.steps:
        when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(step.time // _SECOND))
        words = " ".join(
            word
            for word in (step.kind, plain(step.by), step.channel and f"({plain(step.channel)})")
            if word
        )
        yield when, words + (f": {plain(step.reason)}" if step.reason else "")


def ended(request: ApprovalRequest) -> str:
    """What came of a used request's call, as far as anybody said."""
    return request.outcome or "unknown: the call has not ended, or its process died in it"


def _budget(request: ApprovalRequest, left: Mapping[str, int] | None) -> Iterator[tuple[str, str]]:
    """What is left of the run's limits: now, and as it was when people were asked."""
    then: Mapping[str, int] = request.lineage[-1].left if request.lineage else {}
    for index, name in enumerate(DIMENSIONS):
        said = []
        if left is not None and name in left:
            said.append(f"{number(index, left[name])} now")
        if name in then:
            said.append(f"{number(index, then[name])} when this was asked")
        if said:
            yield f"  {name} left", ", ".join(said)
    if "seconds" in then:
        yield "  seconds left", f"{then['seconds'] / _SECOND:,.0f} when this was asked"


def differences(before: ApprovalRequest, after: ApprovalRequest) -> Iterator[str]:
    """What differs in the arguments of two requests, a line each."""
    for place, old, new in changes(dict(before.args), dict(after.args)):
        words = (
            "(nothing)" if value is ABSENT else value_text(value, longest=500)
            for value in (old, new)
        )
        yield f"{plain(place[1:])}: {' → '.join(words)}"


def time_left(request: ApprovalRequest | Listed) -> str:
    """How long the request still waits for an answer."""
    seconds = (request.expires - time.time_ns()) // _SECOND
    if request.state is not ApprovalState.PENDING:
        return "-"
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s"


def document_of(request: ApprovalRequest) -> dict[str, Any]:
    """The request for machines."""
    return {
        **request.shown(),
        "state": request.state.value,
        "digest": request.digest,
        "outcome": request.outcome,
        "successor": request.successor,
        "told": request.told,
        "steps": [
            {"step": s.kind, "time": s.time, "by": s.by, "reason": s.reason, "channel": s.channel}
            for s in request.steps
        ],
    }
