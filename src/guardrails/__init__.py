"""Guardrails: every call that an agent makes is decided by policy before it runs.

::

    import guardrails as gr

    @gr.governed_tool(resource="payments", operation="write")
    @gr.requires_approval(when=lambda amount: amount > 1000, approvers="finance-ops")
    @gr.budget(cost="0.02", calls=20)
    def refund(order_id: str, amount: Decimal) -> str: ...

    with gr.run(agent="billing-agent", budget=gr.Budget(usd="5", calls=50)):
        refund("A-17", Decimal("20"))
"""

from guardrails import testing
from guardrails.assembly import default_governor, join_run, load_governor, run, run_token
from guardrails.enforcement.arguments import Hidden
from guardrails.enforcement.escalating import escalate
from guardrails.enforcement.tools import budget, govern, governed_tool, requires_approval, tool_of
from guardrails.errors import (
    ApprovalEdited,
    ApprovalExpired,
    ApprovalPending,
    ApprovalRejected,
    BreakerTripped,
    BudgetExceeded,
    CallDenied,
    CallEscalated,
    CallShadowed,
    ConfigError,
    DeliveryError,
    EvaluationError,
    GuardrailsError,
    InvalidArguments,
    NoActiveRun,
    PolicyError,
    PolicyLoadError,
    PolicyUnavailable,
    PriceError,
    Reason,
    Refusal,
    RunClosed,
    RunKilled,
    RunStopped,
    SignatureError,
    StateUnavailable,
    ToolProcessError,
)
from guardrails.for_model import for_model
from guardrails.governor import Governor
from guardrails.model.budget import Budget
from guardrails.model.decision import Decision, Effect
from guardrails.model.facts import Mode
from guardrails.model.notice import Notice, NoticeKind, Severity
from guardrails.runs.context import (
    GovernedExecutor,
    bind,
    charge,
    current_run,
    idempotency_key,
    raise_if_killed,
)
from guardrails.usage_of import usage_of

__version__ = "0.1.0"

__all__ = [
    "ApprovalEdited",
    "ApprovalExpired",
    "ApprovalPending",
    "ApprovalRejected",
    "BreakerTripped",
    "Budget",
    "BudgetExceeded",
    "CallDenied",
    "CallEscalated",
    "CallShadowed",
    "ConfigError",
    "Decision",
    "DeliveryError",
    "Effect",
    "EvaluationError",
    "GovernedExecutor",
    "Governor",
    "GuardrailsError",
    "Hidden",
    "InvalidArguments",
    "Mode",
    "NoActiveRun",
    "Notice",
    "NoticeKind",
    "PolicyError",
    "PolicyLoadError",
    "PolicyUnavailable",
    "PriceError",
    "Reason",
    "Refusal",
    "RunClosed",
    "RunKilled",
    "RunStopped",
    "Severity",
    "SignatureError",
    "StateUnavailable",
    "ToolProcessError",
    "bind",
    "budget",
    "charge",
    "current_run",
    "default_governor",
    "escalate",
    "for_model",
    "govern",
    "governed_tool",
    "idempotency_key",
    "join_run",
    "load_governor",
    "raise_if_killed",
    "requires_approval",
    "run",
    "run_token",
    "testing",
    "tool_of",
    "usage_of",
]
