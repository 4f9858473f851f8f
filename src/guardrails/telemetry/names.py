"""The names of what is told to OpenTelemetry: attributes, events and metrics.

``gen_ai.*``, ``error.type`` and ``exception.*`` are the semantic conventions' (GenAI's
`execute_tool` and `invoke_agent`, in development there); ``guardrails.*`` is ours.
docs/telemetry.md lists all of them; a test holds the two together.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SCOPE: Final = "guardrails"
"""The instrumentation scope."""

# --- spans

OPERATION: Final = "gen_ai.operation.name"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
AGENT_ID: Final = "gen_ai.agent.id"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_VERSION: Final = "gen_ai.agent.version"
ERROR_TYPE: Final = "error.type"

ENVIRONMENT: Final = "guardrails.environment"
RUN_ID: Final = "guardrails.run.id"
RUN_MODE: Final = "guardrails.run.mode"
DECISION_ID: Final = "guardrails.decision.id"
DECISION_EFFECT: Final = "guardrails.decision.effect"
DECISION_DURATION: Final = "guardrails.decision.duration"
DECISION_WOULD: Final = "guardrails.decision.would"
POLICY_REVISION: Final = "guardrails.policy.revision"
RULE_ID: Final = "guardrails.rule.id"
OUTCOME: Final = "guardrails.outcome"
COST_USD: Final = "guardrails.cost.usd"
COST_TOKENS: Final = "guardrails.cost.tokens"

SPAN_ATTRIBUTES: Final = (
    OPERATION,
    TOOL_NAME,
    TOOL_TYPE,
    TOOL_CALL_ID,
    TOOL_ARGUMENTS,
    TOOL_RESULT,
    AGENT_ID,
    AGENT_NAME,
    AGENT_VERSION,
    ERROR_TYPE,
    ENVIRONMENT,
    RUN_ID,
    RUN_MODE,
    DECISION_ID,
    DECISION_EFFECT,
    DECISION_DURATION,
    DECISION_WOULD,
    POLICY_REVISION,
    RULE_ID,
    OUTCOME,
    COST_USD,
    COST_TOKENS,
)
"""All attributes that a span may bear."""

# --- events of spans

BUDGET_EXCEEDED: Final = "guardrails.budget.exceeded"
BUDGET_RAISED: Final = "guardrails.budget.raised"
BREAKER_TRIPPED: Final = "guardrails.breaker.tripped"
APPROVAL_REQUESTED: Final = "guardrails.approval.requested"
APPROVAL_ANSWERED: Final = "guardrails.approval.answered"
APPROVAL_USED: Final = "guardrails.approval.used"
EXCEPTION: Final = "exception"

EVENTS: Final = {
    BUDGET_EXCEEDED: (
        "guardrails.budget.account",
        "guardrails.budget.dimension",
        "guardrails.budget.limit",
        "guardrails.budget.left",
        "guardrails.budget.needed",
    ),
    BUDGET_RAISED: ("guardrails.approval.request_id",),
    BREAKER_TRIPPED: ("guardrails.breaker.name",),
    APPROVAL_REQUESTED: ("guardrails.approval.request_id", "guardrails.approval.approvers"),
    APPROVAL_ANSWERED: ("guardrails.approval.request_id", "guardrails.approval.state"),
    APPROVAL_USED: ("guardrails.approval.request_id",),
    EXCEPTION: ("exception.type", "exception.stacktrace"),
}
"""The events with their attributes."""

# --- metrics

QUEUE: Final = "guardrails.queue.name"

_SECONDS: Final = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28),
    *(2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
_DECISION_SECONDS: Final = (
    *(5e-06, 1e-05, 2e-05, 5e-05, 1e-04, 2e-04, 5e-04, 1e-03),
    *(2e-03, 5e-03, 1e-02, 2.5e-02, 0.1, 0.5, 1.0),
)


class Metric(NamedTuple):
    """One metric.

    Attributes:
        name: Its name.
        kind: ``counter``, ``histogram`` or ``gauge``.
        unit: Its unit, in UCUM.
        description: What it measures.
        attributes: The attributes that its points may have.
        buckets: The bounds of a histogram's buckets, where its user sets none.
    """

    name: str
    kind: str
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


TOOL_DURATION: Final = Metric(
    "gen_ai.execute_tool.duration",
    "histogram",
    "s",
    "How long a governed call took, refused ones too",
    (OPERATION, TOOL_NAME, TOOL_TYPE, AGENT_NAME, OUTCOME, ERROR_TYPE),
    _SECONDS,
)
DECISIONS: Final = Metric(
    "guardrails.decisions",
    "counter",
    "{decision}",
    "Decisions by effect; `error` where policy gave none",
    (DECISION_EFFECT, TOOL_NAME, AGENT_NAME, ENVIRONMENT, RUN_MODE),
)
DECISION_TIME: Final = Metric(
    "guardrails.decision.duration",
    "histogram",
    "s",
    "How long deciding took",
    (DECISION_EFFECT, ENVIRONMENT),
    _DECISION_SECONDS,
)
REFUSALS: Final = Metric(
    "guardrails.refusals",
    "counter",
    "{call}",
    "Calls that did not run, by the code of the refusal",
    (ERROR_TYPE, TOOL_NAME, AGENT_NAME, ENVIRONMENT),
)
SPEND_USD: Final = Metric(
    "guardrails.spend.usd",
    "counter",
    "{USD}",
    "Settled dollars, of calls and of what runs charge otherwise",
    (AGENT_NAME, ENVIRONMENT, TOOL_NAME),
)
SPEND_TOKENS: Final = Metric(
    "guardrails.spend.tokens",
    "counter",
    "{token}",
    "Settled model tokens, likewise",
    (AGENT_NAME, ENVIRONMENT, TOOL_NAME),
)
DIVERGENCES: Final = Metric(
    "guardrails.divergences",
    "counter",
    "{decision}",
    "Decisions on which this process and OPA did not agree",
    (ENVIRONMENT,),
)
PENDING: Final = Metric(
    "guardrails.approvals.pending",
    "gauge",
    "{request}",
    "Approval requests that wait for people",
    (ENVIRONMENT,),
)
QUEUE_DEPTH: Final = Metric(
    "guardrails.queue.depth",
    "gauge",
    "{item}",
    "What waits in a queue of this process",
    (QUEUE, ENVIRONMENT),
)

METRICS: Final = (
    TOOL_DURATION,
    DECISIONS,
    DECISION_TIME,
    REFUSALS,
    SPEND_USD,
    SPEND_TOKENS,
    DIVERGENCES,
    PENDING,
    QUEUE_DEPTH,
)
"""All metrics."""
