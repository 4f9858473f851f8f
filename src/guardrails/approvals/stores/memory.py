"""Approval requests in the memory of one process, for tests and for agents that need no more."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import deque
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from guardrails.approvals import requests
from guardrails.errors import GuardrailsError
from guardrails.model.approval import Answer, ApprovalRequest, ApprovalState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from guardrails.model.approval import CallKey
    from guardrails.model.decision import ApprovalDemand
    from guardrails.ports import Clock

_SECOND: Final = 1_000_000_000
_SHORTEST_NAP: Final = 0.05
_FINISHED_KEPT: Final = 10_000
_KEPT: Final = frozenset({ApprovalState.REJECTED}) | requests.OPEN


class UnknownRequest(GuardrailsError):  # noqa: N818  # named for what happened, as errors.py does
    """No approval request has that id, or a shortened id fits several."""


class MemoryApprovals:
    """Approval requests in memory; an implementation of :class:`guardrails.ports.Approvals`.

    Every method is atomic and may be called from any thread. A request expires by
    `clock`; how long :meth:`wait` waits is real time. Of requests in a final state the
    newest 10,000 are kept, so that a long-lived process does not grow; open ones all are.

    Args:
        clock: Says when a request expires.
        on_change: Called with the request and one word for each step (``requested``,
            ``answered``, ``approved``, ``rejected``, ``expired``, ``withdrawn``, ``consumed``)
            before the step takes effect, in the order of the steps. If it raises, the step
            does not happen: what cannot be recorded is not done.
    """

    def __init__(
        self, clock: Clock, *, on_change: Callable[[ApprovalRequest, str], None] | None = None
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        # Reentrant, so that a listener may look at the requests.
        self._lock = threading.RLock()
        self._requests: dict[str, ApprovalRequest] = {}
        self._newest: dict[CallKey, str] = {}
        self._waiting: dict[str, set[Callable[[], None]]] = {}
        self._finished: deque[str] = deque()

    # ------------------------------------------------------------------- the port

    def find(self, call_key: CallKey) -> ApprovalRequest | None:
        """The newest request for exactly this call, whatever its state, or None."""
        with self._lock:
            request_id = self._newest.get(call_key)
            return None if request_id is None else self._current(request_id)

    def request(  # noqa: PLR0913  # the port's
        self,
        call_key: CallKey,
        *,
        demands: Sequence[ApprovalDemand],
        tool: str,
        agent: str,
        run_id: str,
        principal: str | None,
        args: Mapping[str, Any],
        revision: str,
    ) -> ApprovalRequest:
        """The request for this call: the one that stands, or a new one.

        A rejected call stays rejected. An open request is given again where it covers
        `demands`; where policy now demands something else it is withdrawn for a new one.
        After an expired, withdrawn or used one there is a new one.

        Raises:
            ValueError: `demands` is empty or can never be met.
        """
        with self._lock:
            there = self.find(call_key)
            if there is not None and there.state in _KEPT:
                if there.state is ApprovalState.REJECTED or requests.covers(there, demands):
                    return there
                self._put(requests.withdrawn(there), "withdrawn")
            new = requests.opened(
                self._new_id(),
                call_key,
                demands=demands,
                tool=tool,
                agent=agent,
                run_id=run_id,
                principal=principal,
                args=deepcopy(dict(args)),  # what the approver sees must not change any more
                revision=revision,
                now=self._clock.now_ns(),
            )
            self._put(new, "requested")
            self._newest[call_key] = new.id
            return new

    def consume(
        self, request_id: str, call_key: CallKey, demands: Sequence[ApprovalDemand]
    ) -> ApprovalRequest:
        """Use an approval, once.

        Raises:
            ApprovalRejected: the request is not approved, was used, or is for another call.
            ApprovalPending: it lacks answers that `demands` need.
            ApprovalExpired: it has expired.
            UnknownRequest: there is no such request.
        """
        with self._lock:
            there = self._current(request_id)
            return self._put(
                requests.consumed(there, call_key, demands, self._clock.now_ns()), "consumed"
            )

    def withdraw(self, request_id: str, *, reason: str) -> None:  # noqa: ARG002  # the port's; a store that keeps reasons uses it
        """Take a request back; does nothing once it is in a final state."""
        with self._lock:
            there = self._current(request_id)
            if there.state in requests.OPEN:
                self._put(requests.withdrawn(there), "withdrawn")

    def wait(self, request_id: str, seconds: float) -> ApprovalRequest:
        """The request once it is answered, withdrawn or expired, or as it is after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            woken = threading.Event()
            with self._lock:
                there = self._current(request_id)
                nap = self._nap(there, deadline)
                if nap <= 0:
                    return there
                self._waiting.setdefault(request_id, set()).add(woken.set)
            try:
                woken.wait(nap)
            finally:
                self._forget(request_id, woken.set)

    async def wait_async(self, request_id: str, seconds: float) -> ApprovalRequest:
        """The same without blocking the event loop."""
        deadline = time.monotonic() + seconds
        loop = asyncio.get_running_loop()
        while True:
            woken = asyncio.Event()

            def wake(woken: asyncio.Event = woken) -> None:
                loop.call_soon_threadsafe(woken.set)

            with self._lock:
                there = self._current(request_id)
                nap = self._nap(there, deadline)
                if nap <= 0:
                    return there
                self._waiting.setdefault(request_id, set()).add(wake)
            try:
                async with asyncio.timeout(nap):
                    await woken.wait()
            except TimeoutError:
                continue
            finally:
                self._forget(request_id, wake)

    # ------------------------------------------------------------ what people use

    def answer(
        self,
        request_id: str,
        *,
        by: str,
        groups: Iterable[str],
        approve: bool,
        reason: str = "",
    ) -> ApprovalRequest:
        """The request after one person's answer.

        Args:
            request_id: Its id, or a beginning of it that fits no other.
            by: Who answers; whoever calls this vouches for it.
            groups: The approver groups that this person belongs to.
            approve: Yes or no.
            reason: Why.

        Raises:
            AnswerRefused: the answer does not count.
            UnknownRequest: there is no such request.
        """
        if isinstance(groups, str) or not isinstance(approve, bool):
            msg = "`groups` is a collection of names, and `approve` True or False"
            raise TypeError(msg)
        with self._lock:
            there = self.get(request_id)
            said = Answer(by, frozenset(groups), approve, reason, self._clock.now_ns())
            after = requests.answered(there, said)
            still_open = after.state is ApprovalState.PENDING
            return self._put(after, "answered" if still_open else after.state.value)

    def approve(
        self, request_id: str, *, by: str, groups: Iterable[str], reason: str = ""
    ) -> ApprovalRequest:
        """The request after one person's yes; see :meth:`answer`."""
        return self.answer(request_id, by=by, groups=groups, approve=True, reason=reason)

    def reject(
        self, request_id: str, *, by: str, groups: Iterable[str], reason: str = ""
    ) -> ApprovalRequest:
        """The request after one person's no; see :meth:`answer`."""
        return self.answer(request_id, by=by, groups=groups, approve=False, reason=reason)

    def get(self, request_id: str) -> ApprovalRequest:
        """The request with this id, or whose id begins so.

        Raises:
            UnknownRequest: none does, or several do.
        """
        with self._lock:
            if request_id in self._requests:
                return self._current(request_id)
            begins = (request_id, f"{_PREFIX}{request_id}")
            found = [known for known in self._requests if request_id and known.startswith(begins)]
            if len(found) == 1:
                return self._current(found[0])
            if found:
                listed = ", ".join(f"`{known}`" for known in sorted(found)[:5])
                msg = f"`{request_id[:80]}` fits several approval requests: {listed}"
                raise UnknownRequest(msg)
            msg = f"there is no approval request `{request_id[:80]}`"
            raise UnknownRequest(msg)

    def list(self, state: ApprovalState | None = None) -> tuple[ApprovalRequest, ...]:
        """All requests, or those in one state; the oldest first."""
        with self._lock:
            found = [self._current(request_id) for request_id in self._requests]
            return tuple(each for each in found if state is None or each.state is state)

    def expire_due(self) -> tuple[ApprovalRequest, ...]:
        """The requests that have expired since anybody looked; whoever waits for them wakes.

        Every other method sees expiry by itself. This is for a clock that jumps.
        """
        with self._lock:
            before = dict(self._requests)
            after = [self._current(request_id) for request_id in before]
            return tuple(request for request in after if request is not before[request.id])

    # --------------------------------------------------------------------- inside

    def _current(self, request_id: str) -> ApprovalRequest:
        there = self._requests.get(request_id)
        if there is None:
            msg = f"there is no approval request `{request_id[:80]}`"
            raise UnknownRequest(msg)
        now = requests.aged(there, self._clock.now_ns())
        return there if now is there else self._put(now, "expired")

    def _put(self, request: ApprovalRequest, step: str) -> ApprovalRequest:
        if self._on_change is not None:
            self._on_change(request, step)
        self._requests[request.id] = request
        if request.state is not ApprovalState.PENDING:
            for wake in self._waiting.pop(request.id, ()):
                _call(wake)
        if request.state not in requests.OPEN:
            self._finish(request.id)
        return request

    def _finish(self, request_id: str) -> None:
        """Note that a request is in a final state; the oldest such ones are forgotten."""
        self._finished.append(request_id)
        if len(self._finished) > _FINISHED_KEPT:
            forgotten = self._requests.pop(self._finished.popleft())
            if self._newest.get(forgotten.call_key) == forgotten.id:
                del self._newest[forgotten.call_key]

    def _nap(self, request: ApprovalRequest, deadline: float) -> float:
        """How long to sleep until something can have happened by itself; 0 where it has."""
        left = deadline - time.monotonic()
        if request.state is not ApprovalState.PENDING or left <= 0:
            return 0.0
        # An injected clock may stand still: then look again now and then, never in a tight loop.
        until_expiry = (request.expires - self._clock.now_ns()) / _SECOND
        return min(left, max(until_expiry, _SHORTEST_NAP))

    def _forget(self, request_id: str, wake: Callable[[], None]) -> None:
        with self._lock:
            waiting = self._waiting.get(request_id)
            if waiting is not None:
                waiting.discard(wake)
                if not waiting:
                    del self._waiting[request_id]

    def _new_id(self) -> str:
        while True:
            request_id = _PREFIX + secrets.token_hex(6)
            if request_id not in self._requests:
                return request_id


_PREFIX: Final = "ap-"


def _call(wake: Callable[[], None]) -> None:
    try:
        wake()
    except RuntimeError:
        # The waiter's event loop is closed: nobody is left to wake.
        return
