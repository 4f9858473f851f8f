"""What one run tells OpenTelemetry: its calls, what it spends, and, where asked for, itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from guardrails.telemetry import names
from guardrails.telemetry.calls import CallTelemetry
from guardrails.telemetry.carrying import parent_context, traceparent_of
from guardrails.telemetry.settings import Spans

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from guardrails.model.budget import Usage
    from guardrails.model.facts import AgentFacts, Mode
    from guardrails.telemetry.faults import Faults
    from guardrails.telemetry.instruments import Instruments
    from guardrails.telemetry.settings import Settings


class RunTelemetry:
    """One run's spans and metrics, by the providers that were there when it was opened.

    Args:
        tracer: Makes its spans; None where there are to be none.
        instruments: Its metrics; None where there are to be none.
        settings: What is told.
        faults: Told of what fails.
        run_id: The run.
        agent: Its agent.
        mode: Its mode.
        trace: The ``traceparent`` of the process that carried the run here, if one did.

    Attributes:
        attributes: What all its spans bear.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # made in one place, of what was found there
        self,
        tracer: Tracer | None,
        instruments: Instruments | None,
        settings: Settings,
        faults: Faults,
        run_id: str,
        agent: AgentFacts,
        mode: Mode,
        trace: str,
    ) -> None:
        self.tracer = tracer
        self.instruments = instruments
        self.settings = settings
        self.faults = faults
        self.agent = agent.id
        self.environment = agent.environment
        self.mode = mode.value
        self.attributes = {
            names.AGENT_ID: agent.id,
            names.AGENT_NAME: agent.id,
            names.AGENT_VERSION: agent.version,
            names.ENVIRONMENT: agent.environment,
            names.RUN_ID: run_id,
            names.RUN_MODE: mode.value,
        }
        self._trace = trace
        self._span: Span | None = None
        self._token: Token[Context] | None = None

    def call(self, tool: str, decision_id: str, call_id: str) -> CallTelemetry | None:
        """One call's span, begun and current here; None where telemetry failed."""
        return self.faults.safely(CallTelemetry, self, tool, decision_id, call_id)  # type: ignore[no-any-return]  # as that gives

    def spent(self, usage: Usage, tool: str | None = None) -> None:
        """Count what was spent, by `tool` or between calls."""
        if self.instruments is not None:
            self.faults.safely(self._spent, self.instruments, usage, tool)

    def opened(self) -> None:
        """The run is entered here: what is traced in it belongs to whoever carried it here."""
        self.faults.safely(self._open)

    def closed(self, error: BaseException | None) -> None:
        """The run is left here, perhaps because of `error`."""
        self.faults.safely(self._close, error)

    def traceparent(self) -> str:
        """The W3C ``traceparent`` of the current span, for another process; empty without one."""
        return self.faults.safely(traceparent_of, context.get_current()) or ""

    def _spent(self, instruments: Instruments, usage: Usage, tool: str | None) -> None:
        attributes = {names.AGENT_NAME: self.agent, names.ENVIRONMENT: self.environment}
        if tool is not None:
            attributes[names.TOOL_NAME] = tool
        if usage.micro_usd:
            instruments.usd.add(usage.micro_usd / 1_000_000, attributes)
        if usage.tokens:
            instruments.tokens.add(usage.tokens, attributes)

    def _open(self) -> None:
        if self.tracer is None:
            return
        here: Any = context.get_current()
        if self._trace and not trace.get_current_span().get_span_context().is_valid:
            here = parent_context(self._trace, here)
        if self.settings.spans is Spans.RUNS and not _is_hosts(self.agent):
            self._span = self.tracer.start_span(
                f"{names.INVOKE_AGENT} {self.agent}",
                here,
                SpanKind.INTERNAL,
                {names.OPERATION: names.INVOKE_AGENT, **self.attributes},
            )
            here = trace.set_span_in_context(self._span, here)
        if here is not context.get_current():
            self._token = context.attach(here)

    def _close(self, error: BaseException | None) -> None:
        token, self._token = self._token, None
        if token is not None:
            context.detach(token)
        span, self._span = self._span, None
        if span is None:
            return
        if error is not None:
            span.set_attribute(names.ERROR_TYPE, type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
        span.end()


def _is_hosts(agent: str) -> bool:
    """Whether the host itself has a span for this agent's work."""
    span: Any = trace.get_current_span()
    attributes = getattr(span, "attributes", None) or {}
    return span.is_recording() and (
        attributes.get(names.OPERATION) == names.INVOKE_AGENT
        and agent in {attributes.get(names.AGENT_NAME), attributes.get(names.AGENT_ID)}
    )
