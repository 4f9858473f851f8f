"""Approval requests in the memory of one process, for tests and for agents that need no more."""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Final

from guardrails.approvals.requests import OPEN, due
from guardrails.approvals.table import Listed
from guardrails.model.approval import ApprovalState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from guardrails.model.approval import ApprovalRequest, CallKey

_FINISHED_KEPT: Final = 10_000


class MemoryRequests:
    """A table in memory; implements :class:`guardrails.approvals.table.RequestTable`.

    Of requests in a final state, and of proposals, the newest 10,000 are kept, so that a
    long-lived process does not grow; open ones all are. Its user's lock is its lock.
    """

    is_shared: Final = False

    def __init__(self) -> None:
        self._requests: dict[str, ApprovalRequest] = {}
        self._newest: dict[CallKey, str] = {}
        self._finished: deque[str] = deque()

    def transaction(self) -> AbstractContextManager[object]:
        """A context; each :meth:`put` in it holds by itself."""
        return nullcontext()

    def get(self, request_id: str) -> ApprovalRequest | None:
        """The request with exactly this id."""
        return self._requests.get(request_id)

    def newest(self, call_key: CallKey) -> ApprovalRequest | None:
        """The request for this call that was made last."""
        request_id = self._newest.get(call_key)
        return None if request_id is None else self._requests.get(request_id)

    def beginning(self, prefix: str, at_most: int) -> Sequence[str]:
        """The ids that begin with `prefix`, some `at_most` of them."""
        return tuple(islice((each for each in self._requests if each.startswith(prefix)), at_most))

    def in_state(self, state: ApprovalState | None) -> Sequence[ApprovalRequest]:
        """The requests in a state (None: in any), in the order in which they were made."""
        return tuple(
            each for each in self._requests.values() if state is None or each.state is state
        )

    def listed(self, state: ApprovalState | None) -> Sequence[Listed]:
        """The same, as far as a list shows them."""
        return tuple(map(Listed.of, self.in_state(state)))

    def due(self, now: int) -> Sequence[ApprovalRequest]:
        """The requests that time has something to do to by `now`, in UTC nanoseconds."""
        return tuple(each for each in self._requests.values() if due(each) <= now)

    def open_of_run(self, run_id: str) -> int:
        """How many requests of a run are pending or approved."""
        return sum(each.run_id == run_id and each.state in OPEN for each in self._requests.values())

    def count(self, run_id: str, state: ApprovalState) -> int:
        """How many requests of a run are in a state."""
        return sum(
            each.run_id == run_id and each.state is state for each in self._requests.values()
        )

    def last(self, tool: str, agent: str, *, besides: str) -> ApprovalRequest | None:
        """The newest consumed request for a call of this tool by this agent, but one."""
        return next(
            (
                each
                for each in reversed(self._requests.values())
                if (each.tool, each.agent, each.about) == (tool, agent, "call")
                and each.state is ApprovalState.CONSUMED
                and each.id != besides
            ),
            None,
        )

    def close(self) -> None:
        """Nothing is held."""

    def put(self, request: ApprovalRequest) -> None:
        """Write the request; of those in a final state the oldest are forgotten."""
        before = self._requests.get(request.id)
        self._requests[request.id] = request
        if before is None:
            self._newest[request.call_key] = request.id
        if request.state not in OPEN and (before is None or before.state in OPEN):
            self._finished.append(request.id)
            if len(self._finished) > _FINISHED_KEPT:
                self._forget(self._finished.popleft())

    def _forget(self, request_id: str) -> None:
        forgotten = self._requests.pop(request_id)
        if self._newest.get(forgotten.call_key) == forgotten.id:
            del self._newest[forgotten.call_key]
