"""Whether people must be asked about a call that is not made yet, and asking them.

For hosts that want to know before they make a call whether it is to be suspended. Nothing runs, no
approval is used, and a call that policy allows or denies leaves no trace: that is told when it is
made. A call that waits for people is refused as ``approval_pending`` here as anywhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.enforcement import perform
from guardrails.enforcement.answers import pending
from guardrails.enforcement.call import new_call
from guardrails.enforcement.dry_run import look, step
from guardrails.enforcement.invoke import Steps, new_id
from guardrails.enforcement.phases import Phase, Verdict, judge
from guardrails.errors import ApprovalPending, BudgetExceeded, Refusal
from guardrails.model.approval import ApprovalState

if TYPE_CHECKING:
    from guardrails.enforcement.call import Call
    from guardrails.model.approval import ApprovalRequest

_ANSWERED: Final = frozenset({ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.EDITED})
_ENOUGH: Final = frozenset(
    {Phase.CONSUME, Phase.WAIT, Phase.TELL, Phase.STAND_IN, Phase.INTENT, Phase.EXECUTE}
)


def ask(call: Call) -> ApprovalPending | None:
    """Why the call cannot be made before people have answered; None where it can be made now.

    Those it takes are asked, where they were not yet. It may wait for the engine and for files.

    Args:
        call: A call that was caught before it was made; it is not used up.

    Raises:
        RunKilled: the run was killed.
    """
    if call.may_wait:
        return None  # it waits by itself, when it is made
    try:
        is_due, request = _looked_at(call)
    except BudgetExceeded as exhausted:
        if exhausted.top_up is None:
            return None
    except Refusal:
        return None  # it is raised again when the call is made
    else:
        if request is not None and request.state is ApprovalState.PENDING:
            waits = pending(request)
            _again(call).locate(waits)
            return waits
        if not is_due or (request is not None and request.state in _ANSWERED):
            return None
    return _ask(call)


def _looked_at(call: Call) -> tuple[bool, ApprovalRequest | None]:
    """Whether people are to be asked about the call, and the newest request, if there is one."""
    seen = _again(call)
    try:
        look(seen)
        if judge(seen) is not Verdict.ASK:
            return False, None
        return True, step(seen, Phase.FIND, perform.find_approval)
    finally:
        perform.release(seen)


def _ask(call: Call) -> ApprovalPending | None:
    """Go the way of the call until it waits for people, or goes on without them."""
    steps = Steps(_again(call))
    try:
        while steps.phase is not None and steps.phase not in _ENOUGH:
            steps.perform_one()
    except ApprovalPending as waits:
        return waits
    except Refusal:
        return None
    steps.drop()
    return None


def _again(call: Call) -> Call:
    """The same call, not begun."""
    again = new_call(call.tool, *call.given, new_id(), is_async=call.is_async)
    again.run = call.run
    return again
