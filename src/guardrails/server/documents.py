"""What the API takes and gives, as its description shows it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from guardrails.approvals.display import plain, value_text
from guardrails.model.approval import ApprovalState

if TYPE_CHECKING:
    from guardrails.model.approval import ApprovalRequest

MOST_LISTED: Final = 500
"""Requests in one list."""

_SHOWN: Final = 2_000
"""Characters of an argument that are shown; the exact value stands beside it."""

_LATEST: Final = 9 * 10**18
"""A time, in nanoseconds, that is not reached."""

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Reason = Annotated[str, StringConstraints(max_length=1_000)]


def _whole(value: object) -> object:
    # 5.0 is an integer to JSON Schema. One with a huge exponent is not written out.
    if isinstance(value, Decimal) and 0 <= value <= _LATEST and value == value.to_integral_value():
        return int(value)
    return value


class _Given(BaseModel):
    """The base of what is taken: exact types, and no key that is not known."""

    model_config = ConfigDict(strict=True, extra="forbid")

    digest: Digest = Field(
        description="The `digest` of the request that the person was shown; of another nothing "
        "is answered."
    )
    signature: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")] | None = Field(
        default=None,
        description="The person's own Ed25519 signature; else the server signs in the person's "
        "place.",
    )
    time: Annotated[int, Field(ge=0, le=_LATEST), BeforeValidator(_whole)] = Field(
        default=0,
        description="When the person signed, in UTC nanoseconds, at most five minutes ago; it is "
        "a part of what is signed. Of no meaning without `signature`.",
    )


class Approval(_Given):
    """A yes to exactly what was shown."""

    reason: Reason = Field(
        default="",
        description="Why; it is recorded. Where a tool asks a question it is the answer, which "
        "the tool gets, and is not blank.",
    )


class Edit(_Given):
    """Other arguments for the call."""

    args: dict[str, Any] = Field(
        description="All arguments, by parameter, exact: those, and no others, that the call has."
    )
    reason: Reason = Field(default="", description="Why; it is recorded.")


class Acceptance(_Given):
    """That a withheld call is to be made."""

    reason: Reason = Field(default="", description="Why; it is recorded.")


class Rejection(_Given):
    """A no."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] = Field(
        description="Why; it is recorded."
    )


class Health(BaseModel):
    """That the server and what it stands on can be used."""

    status: str


class Me(BaseModel):
    """Who the token says you are."""

    name: str
    groups: list[str] = Field(description="The approver groups that you are in.")
    server: str = Field(description="The name under which the server signs.")


class Demand(BaseModel):
    """What must be met, by its own approvers."""

    rule: str
    reason: str
    approvers: list[str]
    quorum: int
    expires_in: int = Field(description="Seconds.")


class Escalation(BaseModel):
    """Whom an unanswered request is put to besides."""

    group: str
    after: int = Field(description="Seconds since the request was made.")
    to: str


class Step(BaseModel):
    """One step in a request's life."""

    kind: str
    time: int = Field(description="UTC nanoseconds.")
    by: str
    reason: str
    channel: str


class Run(BaseModel):
    """A run in which the call was made, or one of its ancestors, as it was then."""

    id: str
    agent: str
    mode: str
    labels: list[str]
    limits: dict[str, int] = Field(
        description="usd in micro-dollars, tokens, calls, seconds in nanoseconds."
    )
    left: dict[str, int] = Field(description="What was left of them.")


class RequestDocument(BaseModel):
    """A request as it stands, with all that its digest is of."""

    id: str
    state: ApprovalState
    digest: Digest = Field(description="Of what is shown; an answer names it.")
    about: str
    tool: str
    args: dict[str, Any] = Field(description="The exact arguments.")
    agent: str
    run_id: str
    principal: str | None
    demands: list[Demand]
    escalation: list[Escalation]
    created: int = Field(description="UTC nanoseconds.")
    expires: int = Field(description="UTC nanoseconds.")
    revision: str = Field(description="The policy revision that asked.")
    call_key: str
    nonce: str
    idempotency_key: str
    question: str = Field(description="What the tool asks, where it is about that; else empty.")
    lineage: list[Run] = Field(description="The runs, outermost first.")
    origin: str | None = Field(description="The request in whose place this one came.")
    successor: str | None = Field(description="The request that came in the place of this one.")
    previous: str | None
    previous_outcome: str | None
    outcome: str | None
    told: bool = Field(
        description="Whether the agent was told of these arguments, and makes the call itself."
    )
    steps: list[Step]
    shown: dict[str, str] = Field(
        description="The tool, its arguments and the reasons as text that cannot steer a terminal "
        "or a page: control, hidden and turning characters and markup are escapes, long values "
        "are cut."
    )


class Left(BaseModel):
    """What is left of the limits of the request's run, now."""

    left: dict[str, int] | None = Field(
        description="usd in micro-dollars, tokens, calls; null where the run is not open, or its "
        "budget is in the memory of its process."
    )


class Listed(BaseModel):
    """The requests that are put to your groups, the newest of them, oldest first."""

    requests: list[RequestDocument]
    more: bool = Field(description="Whether there are older ones than these.")


def document_of(request: ApprovalRequest) -> dict[str, Any]:
    """The request as a :class:`RequestDocument`, exact."""
    shown = {"tool": plain(request.tool)}
    shown.update(
        (f"args.{plain(name)}", value_text(value, longest=_SHOWN))
        for name, value in request.args.items()
    )
    shown.update(
        (f"demands.{number}", plain(f"{demand.rule}: {demand.reason}"))
        for number, demand in enumerate(request.demands)
    )
    document = request.shown()
    document.update(
        run_id=document.pop("run"),
        state=request.state.value,
        digest=request.digest,
        revision=request.revision,
        call_key=request.call_key,
        nonce=request.nonce,
        outcome=request.outcome,
        successor=request.successor,
        told=request.told,
        steps=[
            {
                "kind": step.kind,
                "time": step.time,
                "by": step.by,
                "reason": step.reason,
                "channel": step.channel,
            }
            for step in request.steps
        ],
        shown=shown,
    )
    return document
