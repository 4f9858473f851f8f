"""The decision about one call: what the engine says, tightened by what the decorators say."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement import breaking, obligations
from guardrails.enforcement.document import constants_of, input_document
from guardrails.enforcement.events import DECORATOR
from guardrails.enforcement.phases import caused
from guardrails.errors import PolicyError
from guardrails.model.decision import ApprovalDemand, Decision, Effect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator, Sequence

    from guardrails.enforcement.call import Call
    from guardrails.enforcement.document import Constants

_STRICTEST_FIRST: Final = (Effect.DENY, Effect.SHADOW, Effect.REQUIRE_APPROVAL, Effect.ALLOW)


def decide(call: Call, *, blocking: bool = True) -> bool:
    """Put the decision about `call` on it.

    Args:
        call: The call.
        blocking: Whether an engine may be asked that waits for an answer.

    Returns:
        Whether there is a decision now; without `blocking` there may be none.
    """
    run = call.run
    engine: Any = run.governor.engine
    started = perf_counter_ns()
    known = run.constants.get(call.tool) or constants_of(run, call.tool)
    constants = known[0]
    document = input_document(call, constants)
    decide_made = constants.decide_made
    # The clock is a service that a program may bring itself; all else here is ours.
    now_ns = document["time"]
    if type(now_ns) is not int or not 0 <= now_ns <= _LATEST:
        decide_made = None
    decision = None
    if decide_made is not None:
        decision = decide_made(engine, document, constants, call.decision_id)
    if decision is None:
        if not blocking:
            return False
        decision = engine.decide(document, call.decision_id)
    if len(known) > 1:
        decisions = [decision]
        for its, other in _for_others(document, known):
            found = None
            if decide_made is not None:
                found = decide_made(engine, other, its, call.decision_id)
            if found is None:
                if not blocking:
                    return False
                found = engine.decide(other, call.decision_id)
            decisions.append(found)
        decision = combine(decisions)
    _conclude(call, decision, started)
    return True


def decide_async(call: Call) -> Awaitable[None] | None:
    """The same, without blocking the event loop; what is to be awaited for it, if anything is."""
    known = constants_of(call.run, call.tool)
    at_once = known[0].decide_made is not None and decide(call, blocking=False)
    return None if at_once else _ask(call)


async def _ask(call: Call) -> None:
    engine = call.run.governor.engine
    started = perf_counter_ns()
    known = constants_of(call.run, call.tool)
    document = input_document(call, known[0])
    decision = await engine.decide_async(document, call.decision_id)
    if len(known) > 1:
        others = [
            await engine.decide_async(other, call.decision_id)
            for _, other in _for_others(document, known)
        ]
        decision = combine([decision, *others])
    _conclude(call, decision, started)


_LATEST: Final = 2**63 - 1
"""The last nanosecond that policy can be asked about."""


def _for_others(
    document: dict[str, Any], known: Sequence[Constants]
) -> Iterator[tuple[Constants, dict[str, Any]]]:
    """The document as it is for each agent but the first: nothing else differs."""
    for constants in known[1:]:
        yield constants, {**document, "agent": constants.agent}


def _conclude(call: Call, decision: Decision, started: int) -> None:
    call.decision_ns = perf_counter_ns() - started
    if decision.obligations:
        obligations.check(decision.obligations, call.arguments.document)
    call.policy, call.decided = decision, call.document
    if call.breakers or call.tool.approvals:
        decision = _with_decorators(call, decision)
    call.decision = decision


def combine(decisions: Sequence[Decision]) -> Decision:
    """The strictest of several decisions about one call: what any of them forbids is forbidden.

    Approvals and obligations of all of them are due.
    """
    effect = min((decision.effect for decision in decisions), key=_STRICTEST_FIRST.index)
    approvals = _each_once(demand for decision in decisions for demand in decision.approvals)
    asked = bool(approvals) or any(
        decision.would is Effect.REQUIRE_APPROVAL for decision in decisions
    )
    return Decision(
        effect,
        _each_once(
            reason
            for decision in decisions
            if decision.effect is effect
            for reason in decision.reasons
        ),
        approvals if effect is Effect.REQUIRE_APPROVAL else (),
        _each_once(duty for decision in decisions for duty in decision.obligations),
        (Effect.REQUIRE_APPROVAL if asked else Effect.ALLOW) if effect is Effect.SHADOW else None,
        decisions[0].revision,
        decisions[0].decision_id,
    )


def _each_once(items: Iterable[Any]) -> tuple[Any, ...]:
    # Values of transforms may be unhashable.
    kept: list[Any] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return tuple(kept)


def _with_decorators(call: Call, decision: Decision) -> Decision:
    """`decision`, tightened by what ``@requires_approval`` demands here, and the breakers."""
    if decision.effect is Effect.DENY:
        return decision
    demands = list(breaking.demands(call))
    for rule in call.tool.approvals:
        try:
            asked = rule.when is None or bool(rule.when(call.arguments))
        except Exception as error:
            raise caused(PolicyError, "`when` of @requires_approval failed", error) from error
        if asked:
            demands.append(
                ApprovalDemand(DECORATOR, rule.reason, rule.approvers, rule.quorum, rule.expires_in)
            )
    if not demands:
        return decision
    if decision.effect is Effect.SHADOW:
        return replace(decision, would=Effect.REQUIRE_APPROVAL)
    return replace(
        decision,
        effect=Effect.REQUIRE_APPROVAL,
        reasons=(),
        approvals=(*decision.approvals, *demands),
    )
