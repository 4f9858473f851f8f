"""Where requests are kept, as a protocol: rows that are read and written, without any rule.

The rules stand in ``requests``, their use in :class:`~guardrails.approvals.ApprovalService`;
so every store gives the same answers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from guardrails.errors import GuardrailsError, StateUnavailable
from guardrails.model.canonical import canonical
from guardrails.model.exact_text import read_exact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from msgspec import Raw

    from guardrails.model.approval import ApprovalRequest, ApprovalState, CallKey


class UnknownRequest(GuardrailsError):  # noqa: N818  # named for what happened, as errors.py does
    """No approval request has that id, or a shortened id fits several."""


class Listed(NamedTuple):
    """What a list shows of a request. Nobody answers by it: an answer is to the whole request.

    Attributes:
        id: Its id.
        state: Where it stands.
        agent: The agent's id.
        tool: The tool's name.
        about: What it is about, as :class:`~guardrails.model.approval.ApprovalRequest` says.
        expires: UTC nanoseconds.
        args_json: The arguments as JSON.
        demands_json: What must be met, as a JSON array.
        escalation_json: Whom it is put to besides, as a JSON array.
    """

    id: str
    state: ApprovalState
    agent: str
    tool: str
    about: str
    expires: int
    args_json: bytes | Raw
    demands_json: bytes | Raw
    escalation_json: bytes | Raw

    @classmethod
    def of(cls, request: ApprovalRequest) -> Self:
        """What a list shows of `request`."""
        return cls(
            request.id,
            request.state,
            request.agent,
            request.tool,
            request.about,
            request.expires,
            canonical(dict(request.args)),
            canonical([{"approvers": list(each.approvers)} for each in request.demands]),
            canonical([{"to": each.to} for each in request.escalation]),
        )

    @property
    def args(self) -> dict[str, Any]:
        """The arguments.

        Raises:
            StateUnavailable: somebody has written something else there.
        """
        try:
            args = read_exact(bytes(self.args_json))
        except ValueError as error:
            msg = f"the arguments of approval request `{self.id}` cannot be read: {error}"
            raise StateUnavailable(msg) from None
        if type(args) is not dict:
            msg = f"the arguments of approval request `{self.id}` are no object"
            raise StateUnavailable(msg)
        return args

    @property
    def approvers(self) -> tuple[str, ...]:
        """The groups that are asked, each once."""
        return tuple(
            dict.fromkeys(
                who for each in json.loads(bytes(self.demands_json)) for who in each["approvers"]
            )
        )

    @property
    def groups(self) -> frozenset[str]:
        """The groups that are asked, or are going to be."""
        later = (each["to"] for each in json.loads(bytes(self.escalation_json)))
        return frozenset((*self.approvers, *later))


class RequestTable(Protocol):
    """Rows of requests. Every method may be called from any thread of the service's process."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may change rows, so that whoever waits has to look."""
        ...

    def transaction(self) -> AbstractContextManager[object]:
        """A context within which nobody else writes; what is written in it holds, or nothing.

        A transaction inside one of the same thread is a part of it.
        """
        ...

    def get(self, request_id: str) -> ApprovalRequest | None:
        """The request with exactly this id."""
        ...

    def newest(self, call_key: CallKey) -> ApprovalRequest | None:
        """The request for this call that was made last."""
        ...

    def beginning(self, prefix: str, at_most: int) -> Sequence[str]:
        """The ids that begin with `prefix`, some `at_most` of them."""
        ...

    def in_state(self, state: ApprovalState | None) -> Sequence[ApprovalRequest]:
        """The requests in a state (None: in any), in the order in which they were made."""
        ...

    def listed(self, state: ApprovalState | None) -> Sequence[Listed]:
        """The same, as far as a list shows them; without reading them whole."""
        ...

    def due(self, now: int) -> Sequence[ApprovalRequest]:
        """The requests that time has something to do to by `now`, in UTC nanoseconds."""
        ...

    def open_of_run(self, run_id: str) -> int:
        """How many requests of a run are pending or approved."""
        ...

    def count(self, run_id: str, state: ApprovalState) -> int:
        """How many requests of a run are in a state."""
        ...

    def last(self, tool: str, agent: str, *, besides: str) -> ApprovalRequest | None:
        """The newest consumed request for a call of this tool by this agent, but one.

        Args:
            tool: The tool's name.
            agent: The agent's id.
            besides: The id of a request that is not meant.
        """
        ...

    def close(self) -> None:
        """Give up what is held; every later call refuses where that matters."""
        ...

    def put(self, request: ApprovalRequest) -> None:
        """Write the request: a new one, or one in the place of that with its id."""
        ...
