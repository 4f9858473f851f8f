"""One governed call in OpenTelemetry: its span, or the host's for the same call; its metrics."""

from __future__ import annotations

from time import perf_counter_ns
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode, format_span_id, format_trace_id

from guardrails.errors import BreakerTripped, BudgetExceeded, PolicyError, PolicyUnavailable
from guardrails.telemetry import names
from guardrails.telemetry.carrying import carrier_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from guardrails.model.budget import Usage
    from guardrails.model.decision import Decision
    from guardrails.telemetry.instruments import Instruments
    from guardrails.telemetry.runs import RunTelemetry

_NS: Final = 1e9
_FRAMES: Final = 20
_NO_ERROR: Final = frozenset({"approval_pending", "shadowed"})
"""Refusals after which all is as it should be: people are asked, or it was to be withheld."""


class Ended(NamedTuple):
    """What came of a call.

    Attributes:
        outcome: What came of its body, as :class:`~guardrails.enforcement.phases.Outcome` says
            it, or the code of the refusal.
        decision: What was decided, if anything.
        decision_ns: How long that took.
        would: What would have been decided, where it was withheld or waived.
        refusal: Why it did not run, if it did not.
        error: What its body raised, if anything.
        cost: What it cost, once it is settled.
        arguments: Its arguments as JSON, redacted; None where they are not told.
        result: Its result as JSON; None likewise.
    """

    outcome: str
    decision: Decision | None = None
    decision_ns: int | None = None
    would: str | None = None
    refusal: BaseException | None = None
    error: BaseException | None = None
    cost: Usage | None = None
    arguments: str | None = None
    result: str | None = None


class CallTelemetry:
    """A call that has begun. Its span is current from here to :meth:`leave` or :meth:`end`.

    Only its making may raise; see :meth:`RunTelemetry.call`.

    Args:
        run: The run's telemetry.
        tool: The tool's name.
        decision_id: The call's id in the record.
        call_id: Its id for policy: its host's, if it has one.

    Attributes:
        ids: ``trace_id`` and ``span_id``, in hexadecimal, of the span that records it, the host's
            where guardrails makes none; empty where none does.
        shows_arguments: Whether :meth:`end` is to be told the arguments.
        shows_results: Whether it is to be told the result.
    """

    __slots__ = (
        "_context",
        "_is_joined",
        "_run",
        "_span",
        "_started",
        "_token",
        "_tool",
        "ids",
        "shows_arguments",
        "shows_results",
    )

    def __init__(self, run: RunTelemetry, tool: str, decision_id: str, call_id: str) -> None:
        self._run = run
        self._tool = tool
        self._started = perf_counter_ns()
        self._token: Token[Context] | None = None
        span = trace.get_current_span()
        self._is_joined = run.tracer is None or _is_hosts(span, tool)
        if run.tracer is not None:
            attributes = {
                names.OPERATION: names.EXECUTE_TOOL,
                names.TOOL_NAME: tool,
                names.TOOL_TYPE: "function",
                names.TOOL_CALL_ID: call_id,
                names.DECISION_ID: decision_id,
                **run.attributes,
            }
            if self._is_joined:
                _add(span, attributes)
            else:
                span = run.tracer.start_span(
                    f"{names.EXECUTE_TOOL} {tool}", None, SpanKind.INTERNAL, attributes
                )
        self._span = span
        self.ids: Mapping[str, str] = {}
        is_told = span.is_recording()
        if is_told:
            found = span.get_span_context()
            self.ids = {
                "trace_id": format_trace_id(found.trace_id),
                "span_id": format_span_id(found.span_id),
            }
        is_told = is_told and run.tracer is not None
        self.shows_arguments = is_told and run.settings.arguments
        self.shows_results = is_told and run.settings.results
        self._context = trace.set_span_in_context(span)
        self._token = context.attach(self._context)

    def enter(self) -> None:
        """Go on with the call: what was current in its body is current again."""
        self._run.faults.safely(self._enter)

    def leave(self) -> None:
        """Go back to where the call was made: its consumer has its own spans."""
        self._run.faults.safely(self._leave)

    def carrier(self) -> Mapping[str, str]:
        """The environment variables that carry its span into another process."""
        return self._run.faults.safely(carrier_of, self._context) or {}

    def event(self, name: str, values: tuple[Any, ...] = ()) -> None:
        """Add an event with the attributes that :data:`names.EVENTS` lists, None left out."""
        if self._run.tracer is not None:
            self._run.faults.safely(self._event, name, values)

    def end(self, ended: Ended) -> None:
        """End its span, or leave the host's as it is, and count the call."""
        run = self._run
        seconds = (perf_counter_ns() - self._started) / _NS
        self.leave()
        if run.tracer is not None:
            run.faults.safely(self._tell, ended)
            if not self._is_joined:
                run.faults.safely(self._span.end)
        if run.instruments is not None:
            run.faults.safely(self._count, run.instruments, ended, seconds)
            if ended.cost is not None:
                run.spent(ended.cost, self._tool)

    def _enter(self) -> None:
        self._token = context.attach(self._context)

    def _leave(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            self._context = context.get_current()
            context.detach(token)

    def _event(self, name: str, values: tuple[Any, ...]) -> None:
        if self._span.is_recording():
            known = zip(names.EVENTS[name], values, strict=True)
            self._span.add_event(name, {key: each for key, each in known if each is not None})

    def _tell(self, ended: Ended) -> None:
        span = self._span
        if not span.is_recording():
            return
        attributes: dict[str, Any] = {names.OUTCOME: ended.outcome}
        decision = ended.decision
        if decision is not None:
            attributes[names.DECISION_EFFECT] = decision.effect.value
            attributes[names.POLICY_REVISION] = decision.revision
            attributes[names.RULE_ID] = list(decision.rule_ids)
        if ended.decision_ns is not None:
            attributes[names.DECISION_DURATION] = ended.decision_ns / _NS
        if ended.would is not None:
            attributes[names.DECISION_WOULD] = ended.would
        if ended.cost is not None:
            attributes[names.COST_USD] = ended.cost.micro_usd / 1_000_000
            attributes[names.COST_TOKENS] = ended.cost.tokens
        if ended.arguments is not None:
            attributes[names.TOOL_ARGUMENTS] = ended.arguments
        if ended.result is not None:
            attributes[names.TOOL_RESULT] = ended.result
        kind = _error_type(ended)
        if kind is not None:
            attributes[names.ERROR_TYPE] = kind
        _add(span, attributes)
        self._tell_error(ended)
        if kind is not None and not self._is_joined:
            # Nothing but the type: a text may hold arguments.
            span.set_status(Status(StatusCode.ERROR, kind))

    def _tell_error(self, ended: Ended) -> None:
        refusal = ended.refusal
        if isinstance(refusal, BudgetExceeded):
            amounts = (refusal.limit, refusal.left, refusal.needed)
            self._event(
                names.BUDGET_EXCEEDED,
                (
                    refusal.account,
                    refusal.dimension,
                    *(None if each is None else str(each) for each in amounts),
                ),
            )
        elif isinstance(refusal, BreakerTripped):
            self._event(names.BREAKER_TRIPPED, (refusal.breaker,))
        if ended.error is not None and ended.outcome == "error":
            self._event(
                names.EXCEPTION, (_type_of(ended.error), _frames(ended.error.__traceback__))
            )

    def _count(self, instruments: Instruments, ended: Ended, seconds: float) -> None:
        run = self._run
        where = {names.AGENT_NAME: run.agent, names.TOOL_NAME: self._tool}
        duration = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL_TYPE: "function",
            names.OUTCOME: ended.outcome,
            **where,
        }
        kind = _error_type(ended)
        if kind is not None:
            duration[names.ERROR_TYPE] = kind
        # While the span is the context's, so that an SDK can take it for an exemplar.
        instruments.tool_duration.record(seconds, duration, self._context)
        where[names.ENVIRONMENT] = run.environment
        if ended.refusal is not None:
            instruments.refusals.add(1, {names.ERROR_TYPE: ended.outcome, **where})
        effect = _effect(ended)
        if effect is None:
            return
        instruments.decisions.add(
            1, {names.DECISION_EFFECT: effect, names.RUN_MODE: run.mode, **where}
        )
        if ended.decision_ns is not None:
            instruments.decision_time.record(
                ended.decision_ns / _NS,
                {names.DECISION_EFFECT: effect, names.ENVIRONMENT: run.environment},
                self._context,
            )


def _is_hosts(span: Any, tool: str) -> bool:
    """Whether `span` is the host's, for this call, and no governed call has taken it yet."""
    attributes = getattr(span, "attributes", None)
    if attributes is None or not span.is_recording() or names.DECISION_ID in attributes:
        return False
    if attributes.get(names.OPERATION) == names.EXECUTE_TOOL and names.TOOL_NAME in attributes:
        return bool(attributes[names.TOOL_NAME] == tool)
    return bool(span.name == f"{names.EXECUTE_TOOL} {tool}")


def _add(span: Span, attributes: Mapping[str, Any]) -> None:
    """Set what is not there yet: what the host says of its own span is left as it is."""
    known = getattr(span, "attributes", None) or {}
    span.set_attributes({name: value for name, value in attributes.items() if name not in known})


def _effect(ended: Ended) -> str | None:
    if ended.decision is not None:
        return ended.decision.effect.value
    is_undecided = isinstance(ended.refusal, PolicyError | PolicyUnavailable)
    return "error" if is_undecided else None


def _error_type(ended: Ended) -> str | None:
    if ended.refusal is not None:
        return None if ended.outcome in _NO_ERROR else ended.outcome
    if ended.outcome in {"killed", "abandoned"}:
        return "run_killed"
    if ended.outcome == "error" and ended.error is not None:
        return _type_of(ended.error)
    return None


def _type_of(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def _frames(traceback: TracebackType | None) -> str:
    """Where an error came from, the innermost frames; neither its text nor the lines' texts."""
    found = list(_lines(traceback))[-_FRAMES:]
    return "\n".join(found)


def _lines(traceback: TracebackType | None) -> Iterator[str]:
    for frame, line in walk_tb(traceback):
        code = frame.f_code
        yield f'  File "{code.co_filename}", line {line}, in {code.co_qualname}'
