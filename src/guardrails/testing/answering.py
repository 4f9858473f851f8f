"""People who answer in a test: at once, or while a call waits, for which only its clock goes on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from guardrails.approvals import ApprovalService
from guardrails.approvals.requests import AnswerRefused, due
from guardrails.approvals.stores.memory import MemoryRequests
from guardrails.errors import ApprovalPending
from guardrails.model.approval import ApprovalRequest, ApprovalState
from guardrails.register.source import nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.approvals.approvers import Approvers as KnownPeople
    from guardrails.config.approvers import ApproversFile
    from guardrails.model.approval import Answer, Escalation
    from guardrails.testing.doubles import FakeClock

_SECOND: Final = 1_000_000_000
WAIT: Final = 366.0 * 86_400
"""Seconds, of the test's clock, that a call waits for people on duty: longer than any request."""


@dataclass(frozen=True, slots=True)
class _OnDuty:
    """Somebody who answers what calls wait for."""

    name: str
    groups: frozenset[str] | None
    approve: bool
    reason: str
    after: float


class Approvers:
    """The people who answer approval requests in a test.

    What they say goes the way of every answer: somebody who is in no group that is asked, the
    run's own principal, or one person twice for a quorum of two is refused. Where the
    configuration names an ``approvers.yaml``, its people and their groups are those who may
    answer; only that they sign is left out.

    Args:
        clock: The test's clock.
        file: The people; None where the program vouches for them.
        escalation: Whom requests are put to besides while they are unanswered.
    """

    def __init__(
        self,
        clock: FakeClock,
        file: ApproversFile | None = None,
        escalation: Iterable[Escalation] = (),
    ) -> None:
        self._clock = clock
        self._file = file
        self._on_duty: list[_OnDuty] = []
        self._refused: list[str] = []
        check = None if file is None else _Unsigned(file)
        self.service = _PromptApprovals(self, clock, check, escalation)

    @property
    def pending(self) -> tuple[ApprovalRequest, ...]:
        """The requests that nobody has settled yet, the oldest first."""
        return self.service.list(ApprovalState.PENDING)

    @property
    def refused(self) -> tuple[str, ...]:
        """Why answers of people on duty did not count, in their order."""
        return tuple(self._refused)

    @property
    def is_anybody_on_duty(self) -> bool:
        """Whether somebody answers while calls wait."""
        return bool(self._on_duty)

    def approve(
        self,
        request: ApprovalRequest | ApprovalPending | str | None = None,
        *,
        by: str,
        groups: str | Iterable[str] | None = None,
        reason: str = "",
    ) -> ApprovalRequest:
        """The request after this person's yes; the call has to be made again then.

        Args:
            request: The request, its id, or what the call raised; None for the only one there is.
            by: Who says it.
            groups: The groups that this person is in; None for those that are asked. Not where
                there is an ``approvers.yaml``: that says it.
            reason: Why.

        Raises:
            AnswerRefused: it does not count.
            ValueError: no request is meant, or `groups` is not for the test to say.
        """
        return self._answer(request, by, groups, approve=True, reason=reason)

    def reject(
        self,
        request: ApprovalRequest | ApprovalPending | str | None = None,
        *,
        by: str,
        groups: str | Iterable[str] | None = None,
        reason: str = "",
    ) -> ApprovalRequest:
        """The request after this person's no; see :meth:`approve`."""
        return self._answer(request, by, groups, approve=False, reason=reason)

    def on_duty(
        self,
        *people: str,
        approve: bool = True,
        groups: str | Iterable[str] | None = None,
        reason: str = "",
        after: float = 0,
    ) -> None:
        """Let these people answer every request that a call waits for, from now on.

        Runs that are opened afterwards wait for them, for which only the test's clock goes on. A
        plain function that is called on an event loop waits for nobody, in a test as anywhere.

        Args:
            *people: Who, in this order; several where a quorum wants them.
            approve: What they say.
            groups: As for :meth:`approve`.
            reason: Why.
            after: Seconds that each takes.

        Raises:
            ValueError: nobody is named, somebody is not known, or `groups` is not for the test.
        """
        if not people:
            msg = "on_duty() names nobody; give the people's names"
            raise ValueError(msg)
        member_of = self._groups(groups)
        for name in people:
            self._require_known(name)
            self._on_duty.append(_OnDuty(name, member_of, approve, reason, after))

    def off_duty(self) -> None:
        """Let nobody answer any more."""
        self._on_duty.clear()

    # ------------------------------------------------------------------------------- inside

    def _answer(
        self,
        request: ApprovalRequest | ApprovalPending | str | None,
        by: str,
        groups: str | Iterable[str] | None,
        *,
        approve: bool,
        reason: str,
    ) -> ApprovalRequest:
        there = self._meant(request)
        member_of = self._groups(groups)
        self._require_known(by)
        return self._say(there, _OnDuty(by, member_of, approve, reason, 0))

    def _say(self, request: ApprovalRequest, who: _OnDuty) -> ApprovalRequest:
        asked = {step.to for step in request.escalation}
        asked |= {group for demand in request.demands for group in demand.approvers}
        return self.service.answer(
            request.id,
            by=who.name,
            groups=asked if who.groups is None else who.groups,
            approve=who.approve,
            reason=who.reason,
            channel="test",
        )

    def _meant(self, request: ApprovalRequest | ApprovalPending | str | None) -> ApprovalRequest:
        if isinstance(request, ApprovalRequest):
            return self.service.get(request.id)
        if isinstance(request, ApprovalPending):
            return self.service.get(request.request_id)
        if request is not None:
            return self.service.get(request)
        pending = self.pending
        if len(pending) != 1:
            listed = ", ".join(f"{each.tool} ({each.id})" for each in pending) or "none"
            msg = f"say which request is meant: {len(pending)} are pending: {listed}"
            raise ValueError(msg)
        return pending[0]

    def _groups(self, groups: str | Iterable[str] | None) -> frozenset[str] | None:
        if groups is None:
            return None
        if self._file is not None:
            msg = f"leave `groups` out: {self._file.path} says which groups a person is in"
            raise ValueError(msg)
        return frozenset((groups,) if isinstance(groups, str) else groups)

    def _require_known(self, name: str) -> None:
        if self._file is None:
            return
        known = self._file.current()
        if known.find(name) is None:
            names = sorted(each.name for each in known.people.values())
            msg = (
                f"`{name}` is not in {self._file.path}{nearest(name, names)};"
                f" there are {quoted(names)}"
            )
            raise ValueError(msg)

    def attend(self, request_id: str, seconds: float) -> ApprovalRequest:
        """The request after `seconds` of the clock, or once it is settled; what a wait is."""
        now = self._clock.now_ns()
        end = now + round(seconds * _SECOND)
        turns: deque[tuple[int, _OnDuty]] = deque()
        for who in self._on_duty:
            now += round(who.after * _SECOND)
            turns.append((now, who))
        while True:
            there = self.service.get(request_id)
            now = self._clock.now_ns()
            if there.state is not ApprovalState.PENDING or now >= end:
                return there
            until = min(end, max(due(there), now))
            if turns and turns[0][0] <= until:
                moment, who = turns.popleft()
                self._clock.advance(max(moment - now, 0) / _SECOND)
                try:
                    self._say(there, who)
                except AnswerRefused as refused:
                    self._refused.append(str(refused))
            else:
                self._clock.advance((until - now) / _SECOND)


class _PromptApprovals(ApprovalService):
    """Requests in memory; a wait for people takes the time of the test's clock, and no other."""

    def __init__(
        self,
        people: Approvers,
        clock: FakeClock,
        check: _Unsigned | None,
        escalation: Iterable[Escalation],
    ) -> None:
        super().__init__(MemoryRequests(), clock, approvers=check, escalation=escalation)
        self._people = people

    def wait(self, request_id: str, seconds: float) -> ApprovalRequest:
        """See :meth:`guardrails.approvals.ApprovalService.wait`."""
        return self._people.attend(request_id, seconds)

    async def wait_async(self, request_id: str, seconds: float) -> ApprovalRequest:
        """The same; it waits for nothing."""
        return self._people.attend(request_id, seconds)


class _Unsigned:
    """Says which answers count as the file does, but for their signatures."""

    def __init__(self, file: ApproversFile) -> None:
        self._file = file

    def answer_of(self, request: ApprovalRequest, answer: Answer, now: int) -> Answer | None:
        """See :meth:`guardrails.approvals.approvers.Approvers.answer_of`."""
        known: KnownPeople = self._file.current()
        person = known.find(answer.by)
        if person is None or answer.time > now or request.key_of_shown() != request.call_key:
            return None
        return replace(answer, groups=person.groups)


__all__ = ["WAIT", "Approvers"]
