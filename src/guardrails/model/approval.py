"""A question to people about one exact call, and its answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.model.decision import ApprovalDemand

CallKey: TypeAlias = str
"""``sha256:`` and 64 hex digits: the digest of tool, arguments, agent, principal and run."""


class ApprovalState(StrEnum):
    """Where a request stands. All but ``pending`` and ``approved`` are final."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    CONSUMED = "consumed"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said.

    Attributes:
        by: Who.
        groups: The approver groups that this person belongs to.
        approved: Yes or no.
        reason: Why.
        time: UTC nanoseconds.
    """

    by: str
    groups: frozenset[str]
    approved: bool
    reason: str
    time: int


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
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
        answers: What was said so far.
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
    answers: tuple[Answer, ...] = ()
