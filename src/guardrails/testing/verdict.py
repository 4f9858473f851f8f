"""What is decided about a call that is not made: a decision, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from guardrails.enforcement import dry_run
from guardrails.errors import (
    BreakerTripped,
    BudgetExceeded,
    CallDenied,
    InvalidArguments,
    NoActiveRun,
    PolicyError,
    PolicyUnavailable,
    Refusal,
    RunClosed,
    RunKilled,
    StateUnavailable,
)
from guardrails.model.decision import Effect
from guardrails.runs.context import current_run
from guardrails.testing.shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from guardrails.enforcement.call import Call
    from guardrails.enforcement.definition import Tool
    from guardrails.errors import Finding
    from guardrails.governor import Governor
    from guardrails.model.decision import ApprovalDemand
    from guardrails.runs.run import Run

EFFECTS: Final = tuple(effect.value for effect in Effect)
"""What policy can say."""

REFUSALS: Final = frozenset(
    {
        BreakerTripped.code,
        BudgetExceeded.code,
        InvalidArguments.code,
        PolicyError.code,
        PolicyUnavailable.code,
        RunClosed.code,
        RunKilled.code,
        StateUnavailable.code,
    }
)
"""The codes of what refuses a call before there is a decision about it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided about one call. Nothing was executed, spent or asked.

    Attributes:
        says: The decision's effect, ``allow``, ``deny``, ``require_approval`` or ``shadow``; or
            the code of the refusal, as ``budget_exceeded``, where it did not come to a decision.
        tool: The tool's name.
        args: The arguments as policy sees them; as they were given where they do not fit the tool.
        runs_with: The arguments that the tool would be called with; other ones than `args` where
            policy rewrites them.
        agent: The agent's id.
        environment: Where it runs.
        principal: On whose behalf.
        labels: The run's labels.
        rules: The ids of the rules behind it.
        reasons: What they say, a line each.
        approvals: What has to be approved, each by its own approvers.
        would: With ``shadow``: what would have been decided else.
        revision: The policy revision that decided.
    """

    says: str
    tool: str
    args: Mapping[str, Any]
    runs_with: Mapping[str, Any]
    agent: str
    environment: str
    principal: str | None = None
    labels: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    approvals: tuple[ApprovalDemand, ...] = ()
    would: str | None = None
    revision: str = ""
    _findings: Callable[[Collection[str]], Sequence[Finding]] = field(
        default=lambda _rules: (), repr=False, compare=False
    )

    @property
    def is_decision(self) -> bool:
        """Whether policy was asked, and answered."""
        return self.says in EFFECTS

    def explain(self, rules: Collection[str] = ()) -> tuple[str, ...]:
        """What the rules found, a line each: file and row, the rule, and what it read.

        Args:
            rules: Ids of the rules to tell of; those behind the verdict where none are named.
        """
        try:
            found = self._findings(rules or self.rules)
        except Exception as error:  # noqa: BLE001  # what explains a failure must not hide it
            return (f"no explanation: {type(error).__name__}",)
        return tuple(
            dict.fromkeys(f"{_near(each.where)}  [{each.rule}] {each.text}" for each in found)
        )

    def __str__(self) -> str:
        because = f" [{', '.join(self.rules)}]" if self.rules else ""
        call = f"{self.tool} {shown(self.args)}"
        return f"{self.agent} in {self.environment}: {call}: {self.says}{because}"


def decide(
    tool: Callable[..., Any] | str,
    args: Mapping[str, Any] | None = None,
    *,
    run: Run | None = None,
    as_json: bool = False,
) -> Verdict:
    """What is decided about a call of `tool` with `args`, which is not made.

    Args:
        tool: The governed function, or the name of one that the run's governor knows.
        args: The arguments by name.
        run: The run; None for the current one.
        as_json: Whether `args` are JSON values that stand for the arguments, as a date's text.

    Raises:
        NoActiveRun: there is no run.
        ConfigError: there is no such tool.
    """
    run = run if run is not None else current_run()
    if run is None:
        msg = "a call is decided in a run, and none is open"
        raise NoActiveRun(msg, hint="decide inside `with governed.run(…)`, or give run=…")
    # A run knows its governor as a port; only governors open runs.
    known = cast("Governor", cast("object", run.governor)).tool(tool)
    return of_tool(known, dict(args or {}), run, as_json=as_json)


def of_tool(tool: Tool, args: Mapping[str, Any], run: Run, *, as_json: bool = False) -> Verdict:
    """As :func:`decide`, of a tool that is known."""
    try:
        call = dry_run.examine(tool, args, run, as_json=as_json)
    except NoActiveRun:
        raise
    except CallDenied as denied:  # before policy was asked, as for a secret in the arguments
        return denial(
            tool,
            args,
            denied,
            agent=run.agent.id,
            environment=run.agent.environment,
            principal=run.principal,
            labels=run.labels,
        )
    except (Refusal, RunKilled) as refusal:
        return _refused(tool, args, run, refusal)
    decision = call.decision
    return Verdict(
        says=decision.effect.value,
        tool=tool.facts.name,
        args=call.original.document,
        runs_with=call.arguments.document,
        agent=run.agent.id,
        environment=run.agent.environment,
        principal=run.principal,
        labels=run.labels,
        rules=decision.rule_ids,
        reasons=(
            *(f"[{each.rule}] {each.reason}" for each in decision.reasons),
            *(f"[{each.rule}] {each.reason}" for each in decision.approvals),
        ),
        approvals=decision.approvals,
        would=None if decision.would is None else decision.would.value,
        revision=decision.revision,
        _findings=_explainer(call),
    )


def denial(  # noqa: PLR0913  # the circumstances, each by its name
    tool: Tool,
    args: Mapping[str, Any],
    denied: CallDenied,
    *,
    agent: str,
    environment: str,
    principal: str | None,
    labels: tuple[str, ...],
) -> Verdict:
    """The verdict on a call that is denied before policy is asked, as where there is no run."""
    return Verdict(
        says=Effect.DENY.value,
        tool=tool.facts.name,
        args=args,
        runs_with=args,
        agent=agent,
        environment=environment,
        principal=principal,
        labels=labels,
        rules=denied.rule_ids,
        reasons=(*(f"[{each.rule}] {each.reason}" for each in denied.reasons), denied.message),
    )


def _refused(
    tool: Tool, args: Mapping[str, Any], run: Run, refusal: Refusal | RunKilled
) -> Verdict:
    return Verdict(
        says=refusal.code,
        tool=tool.facts.name,
        args=args,
        runs_with=args,
        agent=run.agent.id,
        environment=run.agent.environment,
        principal=run.principal,
        labels=run.labels,
        reasons=(refusal.message if isinstance(refusal, Refusal) else str(refusal),),
        _findings=lambda _rules: (
            () if isinstance(refusal, RunKilled) or refusal.findings is None else refusal.findings()
        ),
    )


def _explainer(call: Call) -> Callable[[Collection[str]], Sequence[Finding]]:
    document, engine = call.document or {}, call.run.governor.engine
    return lambda rules: engine.explain(document, rules)


def _near(where: str) -> str:
    """The place, relative to the working directory where it is below it."""
    return where.removeprefix(f"{Path.cwd()}/")
