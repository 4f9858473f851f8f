"""The requests of a table as they stand now: time has done to them what it does.

That a request was put to further people, or has expired, is written down when somebody looks at
it; whoever listens is told of every step, and who waits for a request is woken by it.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from guardrails.approvals import requests
from guardrails.approvals.table import UnknownRequest
from guardrails.approvals.waiting import Waiting
from guardrails.forks import survive_forks
from guardrails.model.approval import ApprovalState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardrails.approvals.table import Listed, RequestTable
    from guardrails.model.approval import ApprovalRequest
    from guardrails.ports import Clock

_SECOND: Final = 1_000_000_000
_SHORTEST_NAP: Final = 0.05
_LOOK_AGAIN: Final = 0.2
"""Seconds after which whoever waits looks for an answer from another process."""

_PREFIX: Final = "ap-"


class Standing:
    """What an approval service knows of its requests; each method is atomic.

    Args:
        table: Where the requests are.
        clock: Says when a request expires.
    """

    def __init__(self, table: RequestTable, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._listeners: tuple[Callable[[ApprovalRequest, str], None], ...] = ()
        # Reentrant, so that a listener may look at the requests.
        self._lock = threading.RLock()
        survive_forks(self)
        self._waiting = Waiting()

    def close(self) -> None:
        """Close the table; every later call refuses."""
        with self._lock:
            self._table.close()

    @property
    def fork_lock(self) -> threading.RLock:
        """Held while the table is used, so that a fork finds no use of it under way."""
        return self._lock

    def after_fork(self) -> None:
        """Nothing but the lock is to be let go."""

    def subscribe(self, listener: Callable[[ApprovalRequest, str], None]) -> None:
        """Call `listener` with the request and one word for each step that is made here.

        The words are the kinds of :class:`~guardrails.model.approval.ApprovalStep`. It is called
        before the step takes effect, in the order of the steps; if it raises, the step does not
        happen: what cannot be recorded is not done. ``refused`` is told of an answer that does
        not count; the request that comes with it has that step last, and is kept without it.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def get(self, request_id: str) -> ApprovalRequest:
        """The request with this id, or whose id begins so.

        Raises:
            UnknownRequest: none does, or several do.
        """
        with self._lock:
            there = self._table.get(request_id)
            if there is not None:
                return self._aged(there)
            found: list[str] = []
            if request_id:
                begins = dict.fromkeys((request_id, f"{_PREFIX}{request_id}"))
                found = [each for prefix in begins for each in self._table.beginning(prefix, 6)]
            if len(found) == 1:
                return self._current(found[0])
            if found:
                listed = ", ".join(f"`{known}`" for known in sorted(found)[:5])
                msg = f"`{request_id[:80]}` fits several approval requests: {listed}"
                raise UnknownRequest(msg)
            raise _unknown(request_id)

    def list(self, state: ApprovalState | None = None) -> tuple[ApprovalRequest, ...]:
        """All requests, or those in one state; the oldest first."""
        with self._lock:
            self.pass_time()
            return tuple(self._table.in_state(state))

    def listed(self, state: ApprovalState | None = None) -> tuple[Listed, ...]:
        """The same, as far as a list shows them, in a fraction of the time."""
        with self._lock:
            self.pass_time()
            return tuple(self._table.listed(state))

    def pass_time(self) -> tuple[ApprovalRequest, ...]:
        """The requests that time has changed since anybody looked: escalated, or expired.

        Every other method sees that by itself. This is for whoever tells people, and
        for a clock that jumps: who waits for an expired request wakes.
        """
        with self._lock:
            return tuple(map(self._aged, self._table.due(self._clock.now_ns())))

    def wait(self, request_id: str, seconds: float) -> ApprovalRequest:
        """The request once it is answered, withdrawn or expired, or as it is after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            look = _Look(self, request_id, deadline)
            self._waiting.nap(request_id, look)
            if look.nap <= 0:
                return look.request

    async def wait_async(self, request_id: str, seconds: float) -> ApprovalRequest:
        """The same without blocking the event loop."""
        deadline = time.monotonic() + seconds
        while True:
            look = _Look(self, request_id, deadline)
            await self._waiting.nap_async(request_id, look)
            if look.nap <= 0:
                return look.request

    # ------------------------------------------------------------------- inside

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock, self._table.transaction():
            yield

    def _current(self, request_id: str) -> ApprovalRequest:
        there = self._table.get(request_id)
        if there is None:
            raise _unknown(request_id)
        return self._aged(there)

    def _aged(self, there: ApprovalRequest) -> ApprovalRequest:
        """The request as it stands now; that it has expired is a step as any other."""
        now = self._clock.now_ns()
        if requests.aged(there, now) is there:
            return there
        with self._changing():
            # Read again: somebody else may have been first.
            latest = self._table.get(there.id) or there
            while (after := requests.aged(latest, now)) is not latest:
                self._put(after, after.steps[-1].kind)
                latest = after
            return latest

    def _put(self, request: ApprovalRequest, step: str) -> None:
        for listener in self._listeners:
            listener(request, step)
        self._table.put(request)
        if request.state is not ApprovalState.PENDING:
            self._waiting.wake(request.id)

    def _look(self, request_id: str, deadline: float) -> tuple[ApprovalRequest, float]:
        """The request, and how long to sleep until something can have happened; 0 if it has."""
        with self._lock:
            there = self._current(request_id)
        left = deadline - time.monotonic()
        if there.state is not ApprovalState.PENDING or left <= 0:
            return there, 0.0
        # An injected clock may stand still: then look again now and then, never in a tight loop.
        until_due = (requests.due(there) - self._clock.now_ns()) / _SECOND
        nap = min(left, max(until_due, _SHORTEST_NAP))
        return there, min(nap, _LOOK_AGAIN) if self._table.is_shared else nap

    def _new_id(self) -> str:
        while True:
            request_id = _PREFIX + secrets.token_hex(6)
            if self._table.get(request_id) is None:
                return request_id


class _Look:
    """One look at a request by somebody who waits for it: gives the seconds to sleep."""

    def __init__(self, standing: Standing, request_id: str, deadline: float) -> None:
        self._standing = standing
        self._request_id = request_id
        self._deadline = deadline
        self.request: ApprovalRequest
        self.nap = 0.0

    def __call__(self) -> float:
        self.request, self.nap = self._standing._look(  # noqa: SLF001  # the two are one thing
            self._request_id, self._deadline
        )
        return self.nap


def _unknown(request_id: str) -> UnknownRequest:
    return UnknownRequest(f"there is no approval request `{request_id[:80]}`")
