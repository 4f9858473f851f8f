"""What breakers have to do with one call: they see it, may stop it, and may have it asked about."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from guardrails.enforcement import events
from guardrails.errors import BreakerTripped, Reason
from guardrails.model.breakers import Action
from guardrails.model.decision import ApprovalDemand
from guardrails.model.notice import NoticeKind, Severity
from guardrails.runs.breakers import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.enforcement.call import Call
    from guardrails.model.breakers import Reached
    from guardrails.model.budget import Usage
    from guardrails.runs.breakers import RunBreakers

_log: Final = logging.getLogger("guardrails")


def look(call: Call) -> None:
    """Let the breakers of the run and its ancestors see the call, once however often it waits.

    Raises:
        BreakerTripped: one of them stops the run, or has stopped it before.
    """
    own = call.run.breakers
    if own is None:
        return
    known = call.key is not None
    key = _key(call, own)
    name = call.tool.facts.name
    reached: list[Reached] = []
    for breakers in _chain(call):
        see = breakers.look if known else breakers.note
        for each in see(name, key, own=breakers is own):
            reached.append(each)
            if breakers.untold(each):
                try:
                    _tell(call, each)
                except BaseException:
                    breakers.retell(each)
                    raise
    call.breakers = tuple(reached)
    if _goes_on(call):
        # What those say which were not reset, or stop the call in their turn.
        peek(call)
    else:
        _stop(call)


def peek(call: Call) -> None:
    """The same about a call that is not made: nothing is noted, nobody is told.

    Raises:
        BreakerTripped: the run is stopped.
    """
    own = call.run.breakers
    if own is None:
        return
    key = _key(call, own)
    call.breakers = tuple(
        each
        for breakers in _chain(call)
        for each in breakers.look(call.tool.facts.name, key, own=breakers is own)
    )
    _stop(call)


def finished(call: Call, cost: Usage) -> None:
    """Let the breakers know how the call's body ended, and what it cost."""
    failed = call.outcome is not None and call.outcome.kind == "error"
    for breakers in _chain(call):
        breakers.finished(call.tool.facts.name, failed=failed, micro_usd=cost.micro_usd)


def signals(call: Call) -> list[str]:
    """The breakers that say anything about the call, as policy reads them: sorted words."""
    return sorted({each.breaker for each in call.breakers})


def demands(call: Call) -> Iterator[ApprovalDemand]:
    """The approvals that breakers ask for; each only tightens what policy says."""
    own = call.run.breakers
    for each in call.breakers:
        if each.action is Action.ASK and own is not None:
            settings = own.settings
            yield ApprovalDemand(
                each.rule, each.text, settings.approvers, expires_in=settings.expires_in
            )


def _key(call: Call, own: RunBreakers) -> int:
    if call.key is None:
        call.key = fingerprint(call.original.document) if own.needs_arguments else 0
    return call.key


def _chain(call: Call) -> Iterator[RunBreakers]:
    run = call.run
    while run is not None and run.breakers is not None:
        yield run.breakers
        if run.parent is None:
            return
        run = run.parent


def _tell(call: Call, reached: Reached) -> None:
    agent = call.run.agent.id
    said = (
        f"breaker {reached.breaker}: {_WORDS[reached.action]} in run {reached.run_id} of {agent}: "
        f"{reached.text}"
    )
    _log.warning("%s", said)
    events.write(
        call,
        "breaker",
        {
            "breaker": reached.breaker,
            "action": reached.action.value,
            "run": reached.run_id,
            "text": reached.text,
        },
    )
    call.run.governor.notify(
        NoticeKind.BREAKER,
        said,
        severity=Severity.INFO if reached.action is Action.WARN else None,
        facts={"breaker": reached.breaker, "action": reached.action.value, "text": reached.text},
        agent=agent,
        run_id=reached.run_id,
    )


def _goes_on(call: Call) -> bool:
    """Whether an operator lets one of the stopped runs go on, whose breakers begin anew."""
    stopped = {each.run_id for each in call.breakers if each.action is Action.STOP}
    heard = [
        breakers.hear_of_reset(call.run.governor.last_breaker_reset(breakers.run_id))
        for breakers in _chain(call)
        if breakers.run_id in stopped
    ]
    return any(heard)


def _stop(call: Call) -> None:
    for each in call.breakers:
        if each.action is Action.STOP:
            place = "" if each.run_id == call.run.id else f" in run {call.run.id}"
            message = (
                f"`{call.tool.facts.name}` was called{place}, and run {each.run_id} "
                f"is stopped: {each.text} [{each.rule}]"
            )
            raise BreakerTripped(
                message,
                breaker=each.breaker,
                reasons=(Reason(each.rule, each.text),),
                hint="look at what the run did; to let it go on: "
                f'guardrails runs reset-breaker {each.run_id} --reason "…"',
            )


_WORDS: Final = {
    Action.WARN: "a warning",
    Action.ASK: "calls need an approval",
    Action.STOP: "no further call",
}
