"""Which answers count, and that whoever listens hears of those that do not.

The store of requests is not trusted to hold what people said: with known approvers, each
answer is looked at when it is given, and again when the approval is used.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from guardrails.approvals import requests
from guardrails.approvals.standing import Standing
from guardrails.model.approval import ApprovalStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guardrails.approvals.approvers import AnswerCheck
    from guardrails.approvals.signing import Voucher
    from guardrails.approvals.table import RequestTable
    from guardrails.model.approval import Answer, ApprovalRequest, Escalation
    from guardrails.ports import Clock

_log: Final = logging.getLogger("guardrails")

LATEST: Final = 300
"""Seconds within which a signed answer has to arrive; it says itself when it was given."""

_SECOND: Final = 1_000_000_000
_LONGEST_WORD: Final = 320
_DROPPED: Final = (
    "an answer that is kept does not count: it is not signed by this person, is to something else, "
    "or the person may not answer any more"
)


class Answers(Standing):
    """What an approval service knows of answers.

    Args:
        table: Where the requests are.
        clock: Says when a request expires.
        approvers: Who may answer; None where whoever calls vouches for the person.
        escalation: Whom requests are put to besides while they are unanswered.
    """

    def __init__(
        self,
        table: RequestTable,
        clock: Clock,
        *,
        approvers: AnswerCheck | None,
        escalation: Iterable[Escalation],
    ) -> None:
        super().__init__(table, clock)
        self._approvers = approvers
        self._escalation = tuple(escalation)

    @contextmanager
    def _answering(self, request_id: str, by: str, channel: str) -> Iterator[None]:
        """A change by a person, in one transaction; that it is refused is told after it."""
        with self._lock:
            # What time has done is done before: a refusal takes back what is done within.
            self.get(request_id)
            try:
                with self._changing():
                    yield
            except requests.AnswerRefused as refused:
                self.refuse(self.get(request_id), by=by, channel=channel, reason=str(refused))
                raise

    def _said(
        self,
        there: ApprovalRequest,
        answer: Answer,
        *,
        digest: str | None,
        voucher: Voucher | None,
        vouched: Iterable[str],
    ) -> Answer:
        """The answer as it counts; without a time it is of now.

        Raises:
            AnswerRefused: it is to something else than was shown, is not of now, or is not signed
                by one of the approvers.
        """
        if digest is not None and digest != there.digest:
            msg = f"request `{there.id}` is not what was shown: its digest is `{there.digest}`"
            raise requests.AnswerRefused(msg)
        now = self._clock.now_ns()
        if voucher is not None:
            answer = replace(answer, time=now, vouched=frozenset(vouched))
            return self._signed(there, voucher.vouch(there, answer))
        if not answer.time:
            answer = replace(answer, time=now)
        if not now - LATEST * _SECOND <= answer.time <= now:
            ago = (now - answer.time) // _SECOND
            msg = (
                f"the answer to `{there.id}` says that it was given {ago} seconds ago; it has to "
                f"arrive within {LATEST}"
            )
            raise requests.AnswerRefused(msg)
        return self._signed(there, answer)

    def _signed(self, there: ApprovalRequest, answer: Answer) -> Answer:
        if self._approvers is None or requests.is_own(there, answer):
            return answer  # the latter is refused for what it is
        known = self._approvers.answer_of(there, answer, answer.time)
        if known is None:
            msg = (
                f"the answer of `{answer.by[:80]}` to `{there.id}` is not signed by the key that "
                f"the approvers' file has for {answer.server or 'this person'}, or is to something "
                "else"
            )
            raise requests.AnswerRefused(msg)
        return known

    def _vouched(self, there: ApprovalRequest) -> ApprovalRequest:
        """The request with those of its answers that count today, put to whom it is to be today.

        The store is not trusted to say to whom a request goes over, either: those people sign
        rightly, and would be asked by nobody else. What is written back keeps `there`'s.
        """
        if self._approvers is None:
            return there
        now = self._clock.now_ns()
        known = [self._approvers.answer_of(there, answer, now) for answer in there.answers]
        answers = tuple([answer for answer in known if answer is not None])
        steps = tuple([step for step in there.escalation if step in self._escalation])
        if (answers, steps) == (there.answers, there.escalation):
            return there
        return replace(there, answers=answers, escalation=steps)

    def _tell_dropped(self, there: ApprovalRequest, counts: ApprovalRequest) -> None:
        """Tell of the kept answers that do not count any more, or never did."""
        if counts is there:
            return
        kept = {(answer.by, answer.time, answer.signature) for answer in counts.answers}
        for answer in there.answers:
            if (answer.by, answer.time, answer.signature) not in kept:
                self.refuse(there, by=answer.by, channel=answer.channel, reason=_DROPPED)

    def refuse(self, there: ApprovalRequest, *, by: str, channel: str, reason: str) -> None:
        """Tell listeners, and so the record, of an answer to `there` that does not count.

        Every method that takes answers does so; for a door that turns somebody away before.

        Args:
            there: What was to be answered; it is unchanged.
            by: Who answered.
            channel: How it came.
            reason: Why it does not count.
        """
        who, how = str(by)[:_LONGEST_WORD], str(channel)[:_LONGEST_WORD]
        # Not kept: whoever may only knock must not make the store grow.
        step = ApprovalStep("refused", self._clock.now_ns(), who, reason, how)
        told = replace(there, steps=(*there.steps, step))
        for listener in self._listeners:
            try:
                listener(told, "refused")
            except Exception:  # noqa: BLE001  # the answer does not count, recorded or not
                _log.exception("a refused answer to %s could not be recorded", there.id)
