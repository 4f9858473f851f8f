"""A question to people about one exact call, and its answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from guardrails.model.canonical import digest
from guardrails.model.seal import Sealable, seal_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.model.decision import ApprovalDemand
    from guardrails.model.lineage import RunTerms
    from guardrails.model.seal import Seal

CallKey: TypeAlias = str
"""``sha256:`` and 64 hex digits: the digest of tool, arguments, agent, principal and run."""


class ApprovalState(StrEnum):
    """Where a request stands. All but ``pending``, ``approved`` and ``proposed`` are final."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    CONSUMED = "consumed"
    EDITED = "edited"
    """Somebody changed the arguments: another request took its place."""
    PROPOSED = "proposed"
    """A call was withheld; somebody may accept it."""
    ACCEPTED = "accepted"
    """Somebody did: another request is for the call that is made of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said.

    Attributes:
        by: Who.
        groups: The approver groups that this person belongs to.
        approved: Yes or no.
        reason: Why.
        time: UTC nanoseconds.
        channel: How it came, as ``cli``; empty where the program itself gave it.
        signature: By the person's own key over the request's digest and this answer, in base64,
            or by the server's; empty where nobody asks for one.
        server: The server that knew the person and signed in the person's place; empty where it
            took nobody's place.
        vouched: The groups that the server says a person is in whom ``approvers.yaml`` does not
            list.
        edit: Where the arguments were changed, the key of the call that is to take the place of
            this one; empty else.
    """

    by: str
    groups: frozenset[str]
    approved: bool
    reason: str
    time: int
    channel: str = ""
    signature: str = ""
    server: str = ""
    vouched: frozenset[str] = frozenset()
    edit: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalStep:
    """One step in a request's life.

    Attributes:
        kind: ``requested``, ``answered``, ``escalated``, ``approved``, ``rejected``,
            ``expired``, ``withdrawn``, ``consumed``, ``settled``, ``edited``, ``told``,
            ``proposed``, ``accepted``. ``refused``, for an answer that does not count, is only
            told.
        time: UTC nanoseconds.
        by: Who: a person, the agent, or empty where only time passed.
        reason: Why.
        channel: How it came; see :class:`Answer`.
    """

    kind: str
    time: int
    by: str = ""
    reason: str = ""
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Escalation:
    """Whom an unanswered request is put to besides, after a time.

    Attributes:
        group: The approver group that has not answered.
        after: Seconds since the request was made.
        to: The group that may answer, too, from then on.
    """

    group: str
    after: int
    to: str


@dataclass(frozen=True, slots=True)
class ApprovalRequest(Sealable):
    """A request as it stands at one moment; requests change by being replaced.

    Attributes:
        id: Its id.
        call_key: The digest of the call that it is for, and only for.
        state: Where it stands.
        demands: What must be met, each by its own approvers and quorum.
        tool: The tool's name.
        agent: The agent's id.
        run_id: The run in which the call was made.
        principal: On whose behalf, if anybody's; such a person cannot answer it.
        args: The arguments as JSON values, as the approver sees them.
        revision: The policy revision that asked.
        created: UTC nanoseconds.
        expires: UTC nanoseconds; the earliest expiry of its demands.
        about: ``call``: this call may run; ``budget``: a limit may be raised, as `args` say;
            ``proposal``: this call was withheld and may be made; ``escalation``: the tool asks
            `question` about this call.
        nonce: Random, so that no two requests have one digest.
        idempotency_key: What the tool may hand on, so that the act is done once: the request's
            id, or the key of the request whose place it takes after an unknown outcome.
        escalation: Whom it is put to besides while it is unanswered, the soonest first.
        answers: What was said so far.
        steps: Its life so far, the newest last.
        previous: The request for the same call that was used before, if one was.
        previous_outcome: What came of it; ``unknown`` where nobody could say.
        outcome: What came of the call that used it: a word of ``call.finished``; None
            until that is known.
        question: What the tool asks, where it is about that.
        lineage: The run and its ancestors as they were, outermost first, to resume the call.
        origin: The request in whose place this one came: its arguments were changed, or its
            proposal was accepted.
        successor: The request that came in the place of this one.
        told: Whether the agent was told of these arguments, so that it makes the call itself.
        decision_id: The call for which people were asked first, by the id under which it stands in
            the record; a successor has it from the request whose place it took.
    """

    id: str
    call_key: CallKey
    state: ApprovalState
    demands: tuple[ApprovalDemand, ...]
    tool: str
    agent: str
    run_id: str
    principal: str | None
    args: Mapping[str, Any]
    revision: str
    created: int
    expires: int
    about: str = "call"
    nonce: str = ""
    idempotency_key: str = ""
    escalation: tuple[Escalation, ...] = ()
    answers: tuple[Answer, ...] = ()
    steps: tuple[ApprovalStep, ...] = ()
    previous: str | None = None
    previous_outcome: str | None = None
    outcome: str | None = None
    question: str = ""
    lineage: tuple[RunTerms, ...] = ()
    origin: str | None = None
    successor: str | None = None
    told: bool = False
    decision_id: str = ""

    @property
    def digest(self) -> str:
        """The digest of what an approver answers: the call, and everything that is shown of it.

        ``sha256:`` and 64 hex digits over the canonical JSON of :meth:`shown` with the call's
        key, the nonce and the policy revision.
        """
        return self.seal().digest

    def key_of_shown(self) -> CallKey:
        """The key of what is shown: another one than `call_key` where a store was written to."""
        return self.seal().key_of_shown

    def seal(self) -> Seal:
        """Both at once, which takes little longer than either."""
        return seal_of(self)

    def shown(self) -> dict[str, Any]:
        """What an approver is shown, as exact JSON."""
        return {
            "id": self.id,
            "idempotency_key": self.idempotency_key,
            "about": self.about,
            "tool": self.tool,
            "args": dict(self.args),
            "agent": self.agent,
            "principal": self.principal,
            "run": self.run_id,
            "demands": [
                {
                    "rule": demand.rule,
                    "reason": demand.reason,
                    "approvers": list(demand.approvers),
                    "quorum": demand.quorum,
                    "expires_in": demand.expires_in,
                }
                for demand in self.demands
            ],
            "escalation": [
                {"group": each.group, "after": each.after, "to": each.to}
                for each in self.escalation
            ],
            "created": self.created,
            "expires": self.expires,
            "question": self.question,
            "lineage": [each.document() for each in self.lineage],
            "origin": self.origin,
            "previous": self.previous,
            "previous_outcome": self.previous_outcome,
        }


def key_about(about: str, key: CallKey, question: str = "") -> CallKey:
    """The key of a request that is `about` the call with `key`: that itself where it may run."""
    return key if about == "call" else digest({"about": about, "call": key, "question": question})
