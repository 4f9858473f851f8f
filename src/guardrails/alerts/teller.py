"""Telling people: what happened becomes a notice that says whom it concerns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import uuid_utils

from guardrails.errors import ConfigError
from guardrails.model.notice import Notice, NoticeKind, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.model.approval import ApprovalRequest
    from guardrails.model.kill import Kill
    from guardrails.model.notice import Fact
    from guardrails.ports import Alerts, Clock, Register

_log: Final = logging.getLogger("guardrails")

_TOLD_STEPS: Final = {
    "requested": NoticeKind.APPROVAL,
    "escalated": NoticeKind.APPROVAL,
    "answered": NoticeKind.ANSWER,
    "approved": NoticeKind.ANSWER,
    "rejected": NoticeKind.ANSWER,
    "edited": NoticeKind.ANSWER,
    "accepted": NoticeKind.ANSWER,
}
_WAITS: Final = {
    "call": "{agent} waits for approval of `{tool}` by {whose}",
    "budget": "{agent} waits at `{tool}` for more budget, to be approved by {whose}",
    "escalation": "{agent} asks {whose} a question about `{tool}`",
}
"""What a request wants of people, by what it is about."""
_ENDS: Final = {
    "edited": "{by} changed the arguments of `{tool}` of {agent}; {successor} takes its place",
    "accepted": "{by} accepted the withheld `{tool}` of {agent}; {successor} is for its call",
}
_ANSWERED: Final = "{by} answered: `{tool}` of {agent} is {state}"
_SECOND: Final = 1_000_000_000
_GRAVE: Final = 80
"""Percent of a limit from which a notice is a warning."""


class Teller:
    """Makes notices, and hands them over. Whatever fails in that is logged: it stops nothing.

    Args:
        alerts: Delivers; None to tell nobody.
        register: Says whom an agent concerns.
        clock: The time.
        environment: Where this is.
        agent_of: The agent of a run that this process knows, by the run's id.
        link: Where people see an approval request, with ``{id}`` for its id; empty for nowhere.
    """

    def __init__(  # noqa: PLR0913  # the services, each by its name
        self,
        alerts: Alerts | None,
        *,
        register: Register,
        clock: Clock,
        environment: str,
        agent_of: Callable[[str], str | None],
        link: str = "",
    ) -> None:
        self._alerts = alerts
        self._register = register
        self._clock = clock
        self._environment = environment
        self._agent_of = agent_of
        self._link = link

    def tell(  # noqa: PLR0913  # what a notice states, each by its name
        self,
        kind: NoticeKind,
        title: str,
        *,
        severity: Severity | None = None,
        facts: Mapping[str, Fact] | None = None,
        agent: str | None = None,
        run_id: str | None = None,
    ) -> None:
        """Tell people, by every sink that is configured; never blocks, never raises.

        Args:
            kind: What happened.
            title: The same in a line for people.
            severity: How much it matters; None for the kind's own.
            facts: What belongs to this kind, by name.
            agent: The agent that it is about; whom it concerns is looked up in the register.
            run_id: The run that it is about; it tells the agent where none is given.
        """
        if self._alerts is None:
            return
        try:
            if agent is None and run_id is not None:
                agent = self._agent_of(run_id)
            notice = Notice(
                str(uuid_utils.uuid7()),
                kind,
                kind.severity if severity is None else severity,
                title,
                self._clock.now_ns(),
                self._environment,
                facts or {},
                agent,
                run_id,
                self._whom(agent),
            )
            self._alerts.notify(notice)
        except Exception:  # noqa: BLE001  # telling people must not change what happens
            _log.exception("people could not be told: %s", title)

    def killed(self, kill: Kill) -> None:
        """Tell of a kill."""
        kind, name = kill.scope
        self.tell(
            NoticeKind.KILL,
            f"{kill.scope} was killed by {kill.by}: {kill.reason}",
            facts={"scope": str(kill.scope), "reason": kill.reason, "by": kill.by},
            agent=name.partition("@")[0] if kind == "agent" else None,
            run_id=name if kind == "run" else None,
        )

    def used(
        self, title: str, account: str, percent: int, facts: Mapping[str, Fact], run_id: str
    ) -> None:
        """Tell that a part of an account's limit is used.

        Args:
            title: The same in a line for people.
            account: The account, as ``run/r-1`` or ``agent/billing``.
            percent: How much of the limit is used.
            facts: What else is known of it.
            run_id: The run whose account it is; empty where runs share it.
        """
        kind, _, name = account.partition("/")
        self.tell(
            NoticeKind.BUDGET,
            title,
            severity=Severity.WARNING if percent >= _GRAVE else Severity.INFO,
            facts=facts,
            agent=name if kind == "agent" else None,
            run_id=run_id or None,
        )

    def asked(self, request: ApprovalRequest, step: str) -> None:
        """Tell that a request waits for people, is put to further ones, or was answered.

        An edit is an answer, and so is that a proposal is accepted. Of no other step. What the
        call is about stays out: arguments are for approvers alone, and a receiver's answer is none
        to the request.
        """
        kind = _TOLD_STEPS.get(step)
        if kind is None or self._alerts is None:
            return
        last = request.steps[-1]
        groups = {group for demand in request.demands for group in demand.approvers}
        groups |= {
            each.to
            for each in request.escalation
            if last.time >= request.created + each.after * _SECOND
        }
        whose = ", ".join(sorted(groups))
        title = _WAITS.get(request.about, _WAITS["call"])
        if kind is NoticeKind.ANSWER:
            title = _ENDS.get(step, _ANSWERED)
        title = title.format(
            agent=request.agent,
            tool=request.tool,
            whose=whose,
            by=last.by,
            state=request.state,
            successor=request.successor,
        )
        facts: dict[str, Fact] = {
            "request_id": request.id,
            "about": request.about,
            "step": step,
            "state": request.state.value,
            "tool": request.tool,
            "reasons": "; ".join(f"{each.rule}: {each.reason}" for each in request.demands),
            "approvers": whose,
            "expires_ns": request.expires,
            "digest": request.digest,
            "said": last.reason,
        }
        if kind is NoticeKind.ANSWER:
            facts |= {"by": last.by, "channel": last.channel}
        if request.successor is not None:
            facts["successor"] = request.successor
        if self._link:
            facts["link"] = self._link.replace("{id}", request.id)
        self.tell(
            kind,
            title,
            facts=facts,
            agent=request.agent,
            run_id=request.run_id,
        )

    def _whom(self, agent: str | None) -> Mapping[str, str]:
        if agent is None:
            return {}
        try:
            return self._register.agent(agent).whom
        except ConfigError:
            return {}  # a kill may name an agent that is not, or no longer, in the register
