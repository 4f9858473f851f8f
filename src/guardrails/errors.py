"""Every error that guardrails raises, drawn as one tree.

::

    GuardrailsError(Exception)
    ├─ ConfigError                  a setting or a decorator is wrong; raised where it is written
    ├─ PolicyLoadError              a policy cannot be used; file:row:col, what, what is available
    ├─ ToolProcessError             a tool in a process of its own failed there
    ├─ EvaluationError              one Rego evaluation failed; engines turn it into PolicyError
    ├─ PriceError                   what a model's usage costs cannot be said
    ├─ DeliveryError                a notice or a webhook was not delivered
    ├─ SignatureError               what came as a webhook is not from whom it should be
    └─ Refusal                      a governed call did not run
       ├─ NoActiveRun               it was made outside of every run
       ├─ RunClosed                 it was made in a run that has ended
       ├─ RunStopped                the run was killed; raised where the run is left
       ├─ InvalidArguments          its arguments do not fit the tool
       ├─ CallDenied                policy says no
       ├─ CallShadowed              policy or mode withheld it: recorded, not executed
       ├─ BudgetExceeded            a limit would be passed
       ├─ BreakerTripped            the agent loops or fails too often
       ├─ ApprovalPending           a person has to answer first
       │  └─ CallEscalated          the tool itself asks a person
       ├─ ApprovalRejected          a person said no
       │  └─ ApprovalEdited         a person changed its arguments
       ├─ ApprovalExpired           nobody answered in time
       ├─ PolicyError               the decision is undefined, malformed or failed
       ├─ PolicyUnavailable         no policy engine can be reached
       └─ StateUnavailable          ledger, kill state, approvals or record cannot be reached
    RunKilled(BaseException)        the run was killed while it works

``except Refusal`` handles every call that did not run, but for a kill:
:class:`RunKilled` derives from ``BaseException``, so that an agent loop that
swallows ``Exception`` cannot swallow it. It becomes :class:`RunStopped` at the
``with guardrails.run(...)`` of the run that was killed.

These are more than 500 lines, since a tree is read as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

REASON_LIMIT = 512
"""Longest reason, in characters, that is kept; policies may copy arguments into reasons."""


class Reason(NamedTuple):
    """One reason of a decision: the id of the rule package that gave it, and its words."""

    rule: str
    reason: str


class Finding(NamedTuple):
    """One thing that an explanation tells: a rule that spoke, or a condition that was not met.

    Attributes:
        where: File and row of the rule.
        rule: The id of its package.
        text: What it found, with the values of arguments and policy data in it.
    """

    where: str
    rule: str
    text: str


class GuardrailsError(Exception):
    """The root of all errors of this package, but for :class:`RunKilled`."""


class ConfigError(GuardrailsError):
    """A setting, a register or a decorator is wrong. Raised where it is written."""


class PolicyLoadError(GuardrailsError):
    """A policy cannot be loaded; the one that worked before, if any, stays in force.

    Args:
        message: What is wrong and how to mend it.
        file: The Rego file, data file or plan.
        row: Its line, counted from 1.
        col: Its column, counted from 1.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        row: int | None = None,
        col: int | None = None,
    ) -> None:
        self.message = message
        self.file = file
        self.row = row
        self.col = col
        place = ":".join(str(part) for part in (file, row, col) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)


class EvaluationError(GuardrailsError):
    """A Rego evaluation failed: a conflict, or a builtin's error in strict mode.

    Args:
        code: OPA's error code, as ``eval_conflict_error`` or ``eval_builtin_error``.
        message: What happened.
        file: The Rego file, where the plan names it.
        row: The line in it, counted from 1.
    """

    def __init__(
        self, code: str, message: str, *, file: str | None = None, row: int | None = None
    ) -> None:
        self.code = code
        self.message = message
        self.file = file
        self.row = row
        place = f"{file}:{row}: " if file is not None else ""
        super().__init__(f"{place}{code}: {message}")


class PriceError(GuardrailsError):
    """What a model's usage costs cannot be said: no price is known, or the usage cannot be read.

    Attributes:
        model: The model that was named.
        near: Names of models with a price that are close to it.
    """

    def __init__(self, message: str, *, model: str | None = None, near: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.model = model
        self.near = tuple(near)


class DeliveryError(GuardrailsError):
    """A notice or a webhook was not delivered, and is not tried again.

    Attributes:
        attempts: How often it was tried.
        status: The last HTTP status, or None where there was no answer.
        out_of_reach: Whether the other side could not be reached at the last attempt.
        answer: The beginning of the last answer; it is the receiver's text.
    """

    def __init__(
        self,
        message: str,
        *,
        attempts: int = 1,
        status: int | None = None,
        out_of_reach: bool = False,
        answer: str = "",
    ) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.status = status
        self.out_of_reach = out_of_reach
        self.answer = answer


class SignatureError(GuardrailsError):
    """A webhook is not to be trusted: its signature or its time is wrong, or missing."""


class ToolProcessError(GuardrailsError):
    """A tool in a process of its own failed: it ended, or raised what is no built-in exception.

    Attributes:
        kind: The type of what it raised, as ``module.Name``; empty where the process failed.
        text: What that said.
    """

    def __init__(self, message: str, *, kind: str = "", text: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.text = text


class Refusal(GuardrailsError):  # noqa: N818  # named for what happened; so are its heirs
    """A governed call did not run. Catch this to handle every refusal except a kill.

    Args:
        message: What was refused for whom, what was needed and what is there.
        tool: The tool's name, if a tool was called.
        agent: The agent's id.
        run_id: The run in which the call was made.
        decision_id: The id under which the call stands in the record.
        reasons: Why, each with the id of its rule.
        hint: What to try next.

    Attributes:
        code: A stable word for this class of refusal.
        model_message: A short text that is safe to show to a language model.
        runbook: What an operator does about it: the agent's own page, as the register names
            it, else one below ``docs/runbooks`` of this project; None where the text says it all.
        findings: Gives what the rules found; asked only when somebody wants to see it.
    """

    code: ClassVar[str] = "refused"
    runbook: str | None = None
    advice: ClassVar[str] = "Do not retry this call."

    def __init__(  # noqa: PLR0913  # each is one typed attribute of the refusal; all but one are by name
        self,
        message: str,
        *,
        tool: str | None = None,
        agent: str | None = None,
        run_id: str | None = None,
        decision_id: str | None = None,
        reasons: Sequence[Reason] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.tool = tool
        self.agent = agent
        self.run_id = run_id
        self.decision_id = decision_id
        self.reasons = tuple(reasons)
        self.hint = hint
        self.findings: Callable[[], Sequence[Finding]] | None = None

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """The ids of the rules that refused, in the order of the decision, each once."""
        return tuple(dict.fromkeys(reason.rule for reason in self.reasons))

    @property
    def model_message(self) -> str:
        """What a language model may read: the tool, the class of refusal, and what to do next."""
        subject = f"`{self.tool}`" if self.tool else "The call"
        return f"{subject} was not executed ({self.code}). {self.advice}"

    def explain(self) -> str:
        """What the rules found, a line each, with the values of arguments and policy data.

        For people who may see those. :meth:`__str__` only says where the rules stand, since
        hosts hand the text of an exception to the model.
        """
        return "\n".join(f"{each.where}  [{each.rule}] {each.text}" for each in self._found())

    def _found(self) -> Sequence[Finding]:
        if self.findings is None:
            return ()
        try:
            return self.findings()
        except Exception as error:  # noqa: BLE001  # showing an error must never raise another
            return (Finding("", "guardrails", f"no explanation: {type(error).__name__}"),)

    def __str__(self) -> str:
        lines = [self.message]
        if self.decision_id:
            where = [f"decision {self.decision_id}"]
            if self.run_id:
                where.append(f"run {self.run_id}")
            if self.runbook:
                where.append(f"runbook {self.runbook}")
            lines.append(f"  {', '.join(where)}")
        places = dict.fromkeys(f"  [{each.rule}] {each.where}" for each in self._found())
        lines += [place for place in places if not place.endswith(" ")]
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)


class NoActiveRun(Refusal):
    """A governed call was made outside of every run."""

    code = "no_active_run"
    advice = "The agent is not set up to use tools; tell the operator."


class RunClosed(Refusal):
    """A governed call was made in a run that has ended."""

    code = "run_closed"
    advice = "This task has ended; make no further calls."


class RunStopped(Refusal):
    """The run was killed. Raised where the killed run is left, in place of :class:`RunKilled`."""

    code = "run_stopped"
    runbook = "docs/runbooks/kill.md"
    advice = "This task was stopped by its operator; make no further calls."


class InvalidArguments(Refusal):
    """The arguments do not fit the tool's signature, or have no exact JSON form.

    Args:
        message: Which argument, what was expected, what came.
        problems: One text for each argument that is wrong, safe to show to a model.
    """

    code = "invalid_arguments"

    def __init__(self, message: str, *, problems: Sequence[str] = (), **where: object) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]  # passed on as they came
        self.problems = tuple(problems)

    @property
    def model_message(self) -> str:
        """What a language model may read: the arguments that are wrong and what they must be."""
        subject = f"`{self.tool}`" if self.tool else "The call"
        detail = "; ".join(self.problems) or "they do not fit the tool's schema"
        return f"{subject} was not executed: {detail}. Correct the arguments and call it again."


class CallDenied(Refusal):
    """Policy denies the call."""

    code = "denied"
    runbook = "docs/runbooks/rules.md"
    advice = "It is not permitted. Do not retry; choose another way or ask a person."


class CallShadowed(Refusal):
    """The call was recorded, not executed: policy or the run's mode withholds it.

    Attributes:
        would: What would have been decided without shadow: ``allow`` or ``require_approval``.
    """

    code = "shadowed"
    advice = "It was recorded, not executed. Go on as if its result were unknown."

    def __init__(self, message: str, *, would: str = "allow", **where: object) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]  # passed on as they came
        self.would = would


class BudgetExceeded(Refusal):
    """The call would pass a limit, or a limit is used up.

    Attributes:
        account: The account whose limit it is, as ``run/r-1``, ``tool/refund in run/r-1``,
            ``agent/billing``, ``account/team-x`` or ``env/prod``.
        dimension: ``usd``, ``tokens``, ``calls`` or ``seconds``.
        limit: The limit, in the dimension's unit (dollars for ``usd``).
        left: What is left of it.
        needed: What the call would take.
        top_up: The account as people may be asked to raise its limit; None where they may not.
    """

    code = "budget_exceeded"
    runbook = "docs/runbooks/overspend.md"
    advice = "The budget is used up. Do not retry; finish with what you have."

    def __init__(  # noqa: PLR0913  # each is one typed attribute
        self,
        message: str,
        *,
        account: str = "",
        dimension: str = "",
        limit: object = None,
        left: object = None,
        needed: object = None,
        top_up: object = None,
        **where: object,
    ) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]  # passed on as they came
        self.account = account
        self.dimension = dimension
        self.limit = limit
        self.left = left
        self.needed = needed
        self.top_up = top_up


class BreakerTripped(Refusal):
    """A breaker stopped the run: it repeats itself, fails or spends too fast.

    Attributes:
        breaker: ``repeat``, ``cycle``, ``tool_cycle``, ``errors`` or ``spend``.
    """

    code = "breaker_tripped"
    runbook = "docs/runbooks/loop.md"
    advice = "This task went in circles, failed or spent too much. Stop; report what you have."

    def __init__(self, message: str, *, breaker: str = "", **where: object) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]  # passed on as they came
        self.breaker = breaker


class ApprovalPending(Refusal):
    """A person has to approve the call first. The request stays open.

    Attributes:
        request_id: The approval request; making the same call again finds its answer.
        approvers: The groups that may answer.
    """

    code = "approval_pending"
    runbook = "docs/runbooks/approvals-waiting.md"

    def __init__(
        self, message: str, *, request_id: str = "", approvers: Sequence[str] = (), **where: object
    ) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]  # passed on as they came
        self.request_id = request_id
        self.approvers = tuple(approvers)

    @property
    def model_message(self) -> str:
        """What a language model may read: that it waits for whom, and not to retry."""
        subject = f"`{self.tool}`" if self.tool else "The call"
        whom = ", ".join(self.approvers) or "an approver"
        return f"{subject} waits for approval by {whom}. Do not retry; say that it is pending."


class CallEscalated(ApprovalPending):
    """The tool found something that a person has to say, and asked; the call has ended.

    Attributes:
        question: What it asks.
    """

    code = "escalated"

    def __init__(self, message: str, *, question: str = "", **where: object) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]  # passed on as they came
        self.question = question

    @property
    def model_message(self) -> str:
        """What a language model may read: whom the tool has asked, and not to guess."""
        subject = f"`{self.tool}`" if self.tool else "The call"
        whom = ", ".join(self.approvers) or "a person"
        return (
            f"{subject} stopped and asked {whom}. Do not guess an answer and do not retry; "
            "say that it is pending."
        )


class ApprovalRejected(Refusal):
    """A person refused the call."""

    code = "approval_rejected"
    runbook = "docs/runbooks/approvals-waiting.md"
    advice = "A person refused it. Do not retry; choose another way."


class ApprovalEdited(ApprovalRejected):
    """A person changed the arguments: this call does not run, another one takes its place.

    Attributes:
        request_id: The request for the call with the new arguments.
        arguments: All its arguments, as JSON values.
        changed: Those parameters of it that differ, as JSON text, by name.
        state: Where that request stands: ``pending``, ``approved``, ``consumed``, …
    """

    code = "approval_edited"

    def __init__(
        self,
        message: str,
        *,
        request_id: str = "",
        arguments: Mapping[str, object] | None = None,
        changed: Mapping[str, str] | None = None,
        state: str = "",
        **where: object,
    ) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]  # passed on as they came
        self.request_id = request_id
        self.arguments = dict(arguments or {})
        self.changed = dict(changed or {})
        self.state = state

    @property
    def model_message(self) -> str:
        """What a language model may read: what a person changed, and whether to make that call."""
        subject = f"`{self.tool}`" if self.tool else "The call"
        new = ", ".join(f"{name}={text}" for name, text in self.changed.items())
        begins = f"{subject} was not executed: a person changed its arguments to {new}. "
        if self.state in {"pending", "approved"}:
            return begins + "Call it with these, all others as before; do not repeat the old call."
        if self.state == "consumed":
            return begins + "That call was made already. Do not call it again."
        return begins + f"That call is {self.state}. Do not retry; choose another way."


class ApprovalExpired(Refusal):
    """Nobody approved the call in time."""

    code = "approval_expired"
    runbook = "docs/runbooks/approvals-waiting.md"
    advice = "Nobody approved it in time. Do not retry; ask a person."


class PolicyError(Refusal):
    """The decision is undefined, malformed, or failed; such a call never runs."""

    code = "policy_error"
    runbook = "docs/runbooks/unavailable.md"
    advice = "The policy could not decide. Do not retry; tell the operator."


class PolicyUnavailable(Refusal):
    """No policy engine can be reached; without a decision no call runs."""

    code = "policy_unavailable"
    runbook = "docs/runbooks/unavailable.md"
    advice = "No decision can be had at present. Tell the operator."


class StateUnavailable(Refusal):
    """Ledger, kill state, approvals or record cannot be reached; without them no call runs."""

    code = "state_unavailable"
    runbook = "docs/runbooks/unavailable.md"
    advice = "The call cannot be accounted for at present. Tell the operator."


class RunKilled(BaseException):  # named for what happened, as asyncio.CancelledError is
    """The run was killed. Not an ``Exception``, so that agent loops cannot swallow it.

    Leaving the ``with guardrails.run(...)`` of the run that was killed turns it
    into :class:`RunStopped`. Swallowing it does no harm: the next governed call
    raises it again.

    Args:
        reason: Why, in the words of whoever killed it.
        run_id: The run that was to stop (a parent's kill reaches its children).
        scope: What was killed, as ``run/r-1``, ``agent/billing``, ``tool/refund`` or ``all``.
        tool: The tool that was called or at work, if any.
        agent: The id of the agent that made the call.
        decision_id: The id of the call in the record, if there was one.
    """

    code = "run_killed"
    runbook: str | None = "docs/runbooks/kill.md"

    def __init__(  # noqa: PLR0913  # each is one typed attribute
        self,
        reason: str,
        *,
        run_id: str,
        scope: str,
        tool: str | None = None,
        agent: str | None = None,
        decision_id: str | None = None,
    ) -> None:
        self.agent = agent
        self.reason = reason
        self.run_id = run_id
        self.scope = scope
        self.tool = tool
        self.decision_id = decision_id
        super().__init__(f"{scope} was killed: {reason}")

    @property
    def model_message(self) -> str:
        """What a language model may read."""
        return "The task was stopped by its operator. Make no further calls."


__all__ = [
    "REASON_LIMIT",
    "ApprovalEdited",
    "ApprovalExpired",
    "ApprovalPending",
    "ApprovalRejected",
    "BreakerTripped",
    "BudgetExceeded",
    "CallDenied",
    "CallEscalated",
    "CallShadowed",
    "ConfigError",
    "DeliveryError",
    "EvaluationError",
    "Finding",
    "GuardrailsError",
    "InvalidArguments",
    "NoActiveRun",
    "PolicyError",
    "PolicyLoadError",
    "PolicyUnavailable",
    "PriceError",
    "Reason",
    "Refusal",
    "RunClosed",
    "RunKilled",
    "RunStopped",
    "SignatureError",
    "StateUnavailable",
    "ToolProcessError",
]
