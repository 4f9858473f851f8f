"""Requests that take the place of others: edited arguments, and proposals that are accepted.

Neither is a permission. What takes the place is a request of its own, linked both ways, for
a call that is decided anew when it is made; whoever edits or accepts may then approve it as
anybody else of its groups may.
"""

from __future__ import annotations

import secrets
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from guardrails.approvals import requests
from guardrails.approvals.answers import Answers
from guardrails.errors import ApprovalRejected
from guardrails.model.approval import Answer, ApprovalState, ApprovalStep, key_about
from guardrails.model.canonical import NotExactJSON, call_key, digest
from guardrails.model.decision import ApprovalDemand
from guardrails.model.facts import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardrails.approvals.signing import Voucher
    from guardrails.model.approval import ApprovalRequest, CallKey
    from guardrails.model.lineage import RunTerms

MOST_PROPOSED: Final = 1_000
"""Proposals of one run that are kept at a time; of those beyond the record alone has a line."""

PROPOSAL_SECONDS: Final = 7 * 24 * 3600
"""How long a proposal can be accepted."""

PROPOSAL_DEMAND: Final = ApprovalDemand(
    "shadow", "it was withheld; whoever accepts it lets it be made", ("operations",)
)
"""Who may accept a proposal that policy would ask nobody about."""

_EDITABLE: Final = frozenset({"call", "escalation"})


class Versions(Answers):
    """What an approval service knows of versions; each method is atomic."""

    def edit(  # noqa: PLR0913  # who, what, why and how, each by its name
        self,
        request_id: str,
        args: Mapping[str, Any],
        *,
        by: str,
        groups: Iterable[str] = (),
        reason: str = "",
        channel: str = "",
        signature: str = "",
        time: int = 0,
        digest: str | None = None,
        voucher: Voucher | None = None,
        vouched: Iterable[str] = (),
    ) -> ApprovalRequest:
        """The request for the call with other arguments, which takes the place of this one.

        The old request ends as ``edited``; who made the call is told when it is made again. The
        new one has the same demands and is pending: the edit by itself approves nothing. Where
        that very call waits for people already, its request is the one.

        Args:
            request_id: Its id, or a beginning of it that fits no other.
            args: All arguments as exact JSON, by parameter; those, and no others, that it has.
            by: Who edits; somebody who may answer the request.
            groups: As in :meth:`~guardrails.approvals.ApprovalService.answer`.
            reason: Why.
            channel: How it came.
            signature: By the person's key, over an answer whose `edit` is :func:`edited_key`.
            time: As there, like the next three.
            digest: Of what the person was shown.
            voucher: Signs in the person's place.
            vouched: The groups that the server says the person is in.

        Raises:
            AnswerRefused: this person may not, the request takes no answers, or `args` are no
                other arguments of the call, or those of one that was rejected.
            UnknownRequest: there is no such request.
        """
        with self._answering(request_id, by, channel):
            there = self.get(request_id)
            key = edited_key(there, args)
            said = Answer(by, frozenset(groups), approved=False, reason=reason, time=time, edit=key)
            said = replace(said, channel=channel, signature=signature)
            said = self._said(there, said, digest=digest, voucher=voucher, vouched=vouched)
            requests.check(self._vouched(there), said)
            new = self._version(there, key, args, there.run_id, there.lineage)
            after = replace(
                requests.with_answer(there, said, ApprovalState.EDITED), successor=new.id
            )
            self._put(after, "edited")
            if new.origin == there.id:
                self._put(new, "requested")
            return new

    def propose(  # noqa: PLR0913  # what a person has to know, each by its name
        self,
        key: CallKey,
        *,
        demands: Sequence[ApprovalDemand],
        tool: str,
        agent: str,
        run_id: str,
        principal: str | None,
        args: Mapping[str, Any],
        revision: str,
        lineage: Sequence[RunTerms],
        decision_id: str = "",
    ) -> ApprovalRequest | None:
        """The proposal of a call that was withheld; None where its run has enough of them.

        Args:
            key: The digest of the call.
            demands: What would have to be approved; none where policy would just allow it.
            tool: The tool's name.
            agent: The agent's id.
            run_id: The run.
            principal: On whose behalf.
            args: The arguments as exact JSON.
            revision: The policy revision that decided.
            lineage: The run and its ancestors.
            decision_id: The id under which the call stands in the record.
        """
        with self._changing():
            about = key_about("proposal", key)
            there = self._table.newest(about)
            if there is not None and self._aged(there).state is not ApprovalState.EXPIRED:
                return there
            if self._table.count(run_id, ApprovalState.PROPOSED) >= MOST_PROPOSED:
                return None
            now = self._clock.now_ns()
            new = requests.opened(
                self._new_id(),
                about,
                demands=tuple(demands) or (PROPOSAL_DEMAND,),
                tool=tool,
                agent=agent,
                run_id=run_id,
                principal=principal,
                args=deepcopy(dict(args)),
                revision=revision,
                now=now,
                about="proposal",
                nonce=secrets.token_hex(16),
                lineage=lineage,
                decision_id=decision_id,
            )
            new = replace(
                new,
                state=ApprovalState.PROPOSED,
                expires=now + PROPOSAL_SECONDS * 1_000_000_000,
                steps=(ApprovalStep("proposed", now, agent),),
            )
            self._put(new, "proposed")
            return new

    def accept(  # noqa: PLR0913  # who, what, why and how, each by its name
        self,
        request_id: str,
        *,
        by: str,
        groups: Iterable[str] = (),
        reason: str = "",
        channel: str = "",
        signature: str = "",
        time: int = 0,
        digest: str | None = None,
        voucher: Voucher | None = None,
        vouched: Iterable[str] = (),
    ) -> ApprovalRequest:
        """The request for the call that a proposal is: the same arguments, in a run that enforces.

        It is pending, and for a run of its own, which is opened when the call is resumed
        (:meth:`guardrails.Governor.resume_call`) and decided then. A denial holds, and so does
        a policy that withholds the call in every mode.

        Args:
            request_id: The proposal's id, or a beginning of it that fits no other.
            by: Who accepts.
            groups: As in :meth:`~guardrails.approvals.ApprovalService.answer`.
            reason: Why.
            channel: How it came.
            signature: By the person's key, over a yes to the proposal.
            time: As there, like the next three.
            digest: Of what the person was shown.
            voucher: Signs in the person's place.
            vouched: The groups that the server says the person is in.

        Raises:
            AnswerRefused: this person may not, or it is no proposal that can be accepted.
            UnknownRequest: there is no such request.
        """
        with self._answering(request_id, by, channel):
            there = self.get(request_id)
            said = Answer(by, frozenset(groups), approved=True, reason=reason, time=time)
            said = replace(said, channel=channel, signature=signature)
            said = self._said(there, said, digest=digest, voucher=voucher, vouched=vouched)
            requests.check(self._vouched(there), said)
            if there.state is not ApprovalState.PROPOSED:
                msg = f"`{there.id}` is no proposal; it is {there.state}, to be approved or not"
                raise requests.AnswerRefused(msg)
            lineage = _enforced(there)
            run_id = lineage[-1].id if lineage else f"accepted-{there.id}"
            args = dict(there.args)
            key = call_key(there.tool, args, there.agent, there.principal, run_id)
            new = self._version(there, key, args, run_id, lineage)
            after = replace(
                requests.with_answer(there, said, ApprovalState.ACCEPTED), successor=new.id
            )
            self._put(after, "accepted")
            self._put(new, "requested")
            return new

    def latest(self, request_id: str) -> ApprovalRequest:
        """The request, or what has come in its place by now, however often.

        Raises:
            UnknownRequest: there is no such request.
            ApprovalRejected: nobody who may has put that in its place: the store was written to,
                or who did may not any more.
        """
        with self._lock:
            there = self.get(request_id)
            seen = {there.id}
            while there.successor is not None:
                version = self._current(there.successor)
                if version.id in seen or not self._is_put_in_place_of(there, version):
                    self._refuse_version(there, version)
                seen.add(version.id)
                there = version
            return there

    def tell(self, request_id: str) -> ApprovalRequest:
        """The latest version of the call, which from now on its agent makes itself, if anybody.

        So it is not made twice: by the agent, and by whoever resumes it.
        """
        with self._changing():
            there = self.latest(request_id)
            if there.id != request_id and there.state in requests.OPEN and not there.told:
                step = ApprovalStep("told", self._clock.now_ns(), there.agent)
                there = replace(there, told=True, steps=(*there.steps, step))
                self._put(there, "told")
            return there

    def similar(self, request: ApprovalRequest) -> ApprovalRequest | None:
        """The call of the same agent and tool that was approved and made last, to compare with."""
        with self._lock:
            return self._table.last(request.tool, request.agent, besides=request.id)

    def _is_put_in_place_of(self, there: ApprovalRequest, version: ApprovalRequest) -> bool:
        """Whether somebody who may has put `version` in the place of an edited request.

        What takes the place of an accepted one has the same arguments, and its own approval.
        """
        if there.state is not ApprovalState.EDITED:
            return True
        keys = {answer.edit for answer in self._vouched(there).answers}
        return version.call_key in keys and version.key_of_shown() == version.call_key

    def _refuse_version(self, there: ApprovalRequest, version: ApprovalRequest) -> NoReturn:
        msg = (
            f"request `{version.id}` stands in the place of `{there.id}`, and nobody who may has "
            "put it there"
        )
        self.refuse(there, by="", channel="", reason=msg)
        raise ApprovalRejected(msg, tool=there.tool, agent=there.agent, run_id=there.run_id)

    def _version(
        self,
        there: ApprovalRequest,
        key: CallKey,
        args: Mapping[str, Any],
        run_id: str,
        lineage: Sequence[RunTerms],
    ) -> ApprovalRequest:
        """A new request in the place of `there`, or the open one for that very call."""
        newest = self._table.newest(key)
        known = None if newest is None else self._aged(newest)
        if known is not None and known.state in requests.OPEN:
            return known
        if known is not None and known.state is ApprovalState.REJECTED:
            msg = f"exactly that call was rejected before (request `{known.id}`)"
            raise requests.AnswerRefused(msg)
        return requests.opened(
            self._new_id(),
            key,
            demands=there.demands,
            tool=there.tool,
            agent=there.agent,
            run_id=run_id,
            principal=there.principal,
            args=deepcopy(dict(args)),
            revision=there.revision,
            now=self._clock.now_ns(),
            nonce=secrets.token_hex(16),
            escalation=self._escalation,
            previous=known,
            lineage=lineage,
            origin=there.id,
            decision_id=there.decision_id,
        )


def edited_key(request: ApprovalRequest, args: Mapping[str, Any]) -> CallKey:
    """The key of the call of `request` with other arguments; what an editor signs.

    Raises:
        AnswerRefused: such a request has no arguments to change, or `args` are not others of it.
    """
    if request.about not in _EDITABLE:
        msg = f"`{request.id}` is about a {request.about}; only the arguments of a call are edited"
        raise requests.AnswerRefused(msg)
    given = dict(args)
    for name in given.keys() ^ request.args.keys():
        known = ", ".join(f"`{each}`" for each in request.args) or "none"
        what = "is missing" if name in request.args else "is none of the call's"
        msg = f"the argument {str(name)[:60]!a} {what}; it has {known}"
        raise requests.AnswerRefused(msg)
    try:
        if digest(given) == digest(dict(request.args)):
            msg = f"the arguments are those of `{request.id}`; nothing is changed"
            raise requests.AnswerRefused(msg)
        return call_key(request.tool, given, request.agent, request.principal, request.run_id)
    except NotExactJSON as error:
        msg = f"the arguments are no exact JSON: {error}"
        raise requests.AnswerRefused(msg) from None


def _enforced(proposal: ApprovalRequest) -> tuple[RunTerms, ...]:
    """The proposal's runs once more, each a new one that enforces, within what was left."""
    name = f"accepted-{proposal.id}"
    last = len(proposal.lineage) - 1
    return tuple(
        replace(
            each,
            id=name if index == last else f"{name}.{index}",
            mode=Mode.ENFORCE.value,
            limits=each.left,
        )
        for index, each in enumerate(proposal.lineage)
    )
