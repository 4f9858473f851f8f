"""Requests to people as the rest of guardrails asks for them, over any table of requests."""

from __future__ import annotations

import secrets
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from guardrails.approvals import requests
from guardrails.approvals.versions import Versions
from guardrails.errors import ApprovalRejected, BudgetExceeded, Refusal
from guardrails.model.approval import Answer, ApprovalRequest, ApprovalState, Escalation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardrails.approvals.approvers import AnswerCheck
    from guardrails.approvals.signing import Voucher
    from guardrails.approvals.table import RequestTable
    from guardrails.model.approval import CallKey
    from guardrails.model.decision import ApprovalDemand
    from guardrails.model.lineage import RunTerms
    from guardrails.ports import Clock

MOST_OPEN: Final = 100
"""Requests of one run that may be open at a time: an agent must not flood people with them."""

_ENDED: Final = frozenset({ApprovalState.REJECTED, ApprovalState.EDITED})
"""What people have ended stays so: the same call is not put to them again."""


class ApprovalService(Versions):
    """Requests to people and their answers; implements :class:`guardrails.ports.Approvals`.

    Every method is atomic and may be called from any thread; over a shared table also from
    any process. A request expires by `clock`; how long :meth:`wait` waits is real time.

    Args:
        table: Where the requests are.
        clock: Says when a request expires.
        escalation: Whom requests are put to besides while they are unanswered.
        approvers: Who may answer. Given, only what they signed counts; without them
            whoever calls :meth:`answer` vouches for the person and the groups.
    """

    def __init__(
        self,
        table: RequestTable,
        clock: Clock,
        *,
        approvers: AnswerCheck | None = None,
        escalation: Iterable[Escalation] = (),
    ) -> None:
        super().__init__(table, clock, approvers=approvers, escalation=escalation)
        self._used: set[str] = set()

    # ------------------------------------------------------------------- what a call uses

    def find(self, call_key: CallKey) -> ApprovalRequest | None:
        """The newest request for exactly this call, whatever its state, or None."""
        with self._lock:
            there = self._table.newest(call_key)
            if there is None:
                return None
            there = self._aged(there)
            if there.state is ApprovalState.APPROVED:
                # Whoever finds it uses it next: then its signatures are known to be right or not,
                # and nobody waits for that behind the lock of the table.
                self._vouched(there)
            return there

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
        about: str = "call",
        question: str = "",
        lineage: Sequence[RunTerms] = (),
        decision_id: str = "",
    ) -> ApprovalRequest:
        """The request for this call: the one that stands, or a new one.

        A rejected call stays rejected, an edited one edited. An open request is given again
        where it covers `demands`; where policy now demands something else it is withdrawn.
        After an expired, withdrawn or used one there is a new one; it says so where the
        used one's call may have run, and nobody knows.

        Raises:
            BudgetExceeded: the run has as many open requests as it may have.
            ValueError: `demands` is empty or can never be met.
        """
        with self._changing():
            there = self.find(call_key)
            if there is not None and there.state in _ENDED:
                return there
            if there is not None and there.state in requests.OPEN:
                if requests.covers(self._vouched(there), demands):
                    return there
                why = "policy demands something else by now"
                self._put(requests.withdrawn(there, self._clock.now_ns(), why), "withdrawn")
            if self._table.open_of_run(run_id) >= MOST_OPEN:
                msg = (
                    f"the run `{run_id}` has {MOST_OPEN} open approval requests; people have to "
                    "answer some of them first"
                )
                raise BudgetExceeded(
                    msg,
                    account=f"run/{run_id}",
                    dimension="approvals",
                    limit=MOST_OPEN,
                    left=0,
                    needed=1,
                    tool=tool,
                    agent=agent,
                    run_id=run_id,
                )
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
                about=about,
                nonce=secrets.token_hex(16),
                escalation=self._escalation,
                previous=there,
                question=question,
                lineage=lineage,
                decision_id=decision_id,
            )
            self._put(new, "requested")
            return new

    def consume(
        self,
        request_id: str,
        call_key: CallKey,
        demands: Sequence[ApprovalDemand],
        *,
        again: bool = False,
        resumed: bool = False,
    ) -> ApprovalRequest:
        """Use an approval, once.

        Args:
            request_id: Its id.
            call_key: The digest of the call as its arguments are now.
            demands: What the decision demands now.
            again: Whether one that was used already is taken, if it was rightly approved: for
                what can only be done once in any case.
            resumed: Whether somebody else than the agent makes the call: then it is refused where
                the agent was told to make it.

        Raises:
            ApprovalRejected: the request is not approved, was used, or is for another call.
            ApprovalPending: it lacks answers that `demands` need.
            ApprovalExpired: it has expired.
            UnknownRequest: there is no such request.
        """
        with self._lock:
            with self._table.transaction():
                there = self._current(request_id)
                # Answers are looked at anew: the store may not hold what people said.
                counts = self._vouched(there)
                now = self._clock.now_ns()
                outcome: ApprovalRequest | Refusal
                try:
                    self._check_unused(there)
                    after = requests.consumed(
                        counts, call_key, demands, now, again=again, resumed=resumed
                    )
                except Refusal as refusal:
                    outcome = refusal  # raised below: what time has done stays done
                else:
                    outcome = after
                    if counts is not there:
                        outcome = replace(after, escalation=there.escalation)
                    if after is not counts:
                        self._put(outcome, "consumed")
            self._tell_dropped(there, counts)
            if isinstance(outcome, Refusal):
                raise outcome
            self._used.add(outcome.id)
            return outcome

    def settle(self, request_id: str, outcome: str) -> None:
        """Note what came of the call that used an approval; the first word counts."""
        with self._changing():
            there = self._current(request_id)
            after = requests.settled(there, outcome, self._clock.now_ns())
            if after is not there:
                self._put(after, "settled")

    def withdraw(self, request_id: str, *, reason: str) -> None:
        """Take a request back; does nothing once it is in a final state."""
        with self._changing():
            there = self._current(request_id)
            if there.state in requests.OPEN:
                self._put(requests.withdrawn(there, self._clock.now_ns(), reason), "withdrawn")

    # ------------------------------------------------------------------- what people use

    def answer(  # noqa: PLR0913  # who, what, why and how, each by its name
        self,
        request_id: str,
        *,
        by: str,
        groups: Iterable[str] = (),
        approve: bool,
        reason: str = "",
        channel: str = "",
        signature: str = "",
        time: int = 0,
        digest: str | None = None,
        voucher: Voucher | None = None,
        vouched: Iterable[str] = (),
    ) -> ApprovalRequest:
        """The request after one person's answer.

        Args:
            request_id: Its id, or a beginning of it that fits no other.
            by: Who answers.
            groups: The approver groups that this person belongs to, where the service does not
                know its approvers.
            approve: Yes or no.
            reason: Why.
            channel: How the answer came.
            signature: By the person's key; see :mod:`guardrails.approvals.signing`.
            time: When the person signed, in UTC nanoseconds, at most five minutes ago; 0 where
                nothing is signed.
            digest: The digest of what the person was shown; another request's is refused.
            voucher: Signs in the person's place: that of a server which has made sure who it is.
            vouched: The groups that the server says the person is in.

        Raises:
            AnswerRefused: the answer does not count; listeners are told whose it was, and why.
            UnknownRequest: there is no such request.
        """
        if isinstance(groups, str) or not isinstance(approve, bool):
            msg = "`groups` is a collection of names, and `approve` True or False"
            raise TypeError(msg)
        with self._answering(request_id, by, channel):
            there = self.get(request_id)
            said = Answer(by, frozenset(groups), approve, reason, time, channel, signature)
            said = self._said(there, said, digest=digest, voucher=voucher, vouched=vouched)
            counts = self._vouched(there)
            self._tell_dropped(there, counts)
            after = requests.answered(counts, said)
            after = replace(after, escalation=there.escalation)
            self._put(after, after.steps[-1].kind)
            return after

    def approve(
        self, request_id: str, *, by: str, groups: Iterable[str] = (), reason: str = ""
    ) -> ApprovalRequest:
        """The request after one person's yes; see :meth:`answer`."""
        return self.answer(request_id, by=by, groups=groups, approve=True, reason=reason)

    def reject(
        self, request_id: str, *, by: str, groups: Iterable[str] = (), reason: str = ""
    ) -> ApprovalRequest:
        """The request after one person's no; see :meth:`answer`."""
        return self.answer(request_id, by=by, groups=groups, approve=False, reason=reason)

    # ------------------------------------------------------------------- inside

    def _check_unused(self, there: ApprovalRequest) -> None:
        """Nothing, unless this process used it and somebody has put its row back since.

        Raises:
            ApprovalRejected: so it is.
        """
        if there.id in self._used and there.state is not ApprovalState.CONSUMED:
            reason = (
                f"approval `{there.id}` was used here, and its row was put back; it counts once"
            )
            self.refuse(there, by="", channel="", reason=reason)
            raise ApprovalRejected(reason, tool=there.tool, agent=there.agent, run_id=there.run_id)
