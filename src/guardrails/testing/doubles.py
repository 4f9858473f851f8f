"""Stand-ins for a test's services: a clock that it moves; an engine, a register without rules."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.memory import MemoryRecord
from guardrails.errors import Finding, Reason
from guardrails.governor import Governor
from guardrails.model.budget import Budget
from guardrails.model.decision import Decision, Effect
from guardrails.model.registered import RegisteredAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from guardrails.runs.scope import RunScope

_START_NS: Final = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
_NS: Final = 1_000_000_000


class FakeClock:
    """A clock that moves when a test says so.

    Args:
        now_ns: UTC nanoseconds at which it starts.
    """

    def __init__(self, now_ns: int = _START_NS) -> None:
        self._now_ns = now_ns
        self._elapsed_ns = 0

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970."""
        return self._now_ns + self._elapsed_ns

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed_ns / _NS

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._elapsed_ns += round(seconds * _NS)

    def set(self, moment: datetime | str) -> None:
        """Make it `moment`, as ``"2026-12-24T10:00:00Z"``; no time passes by that.

        Raises:
            ValueError: it is no moment with a time zone.
        """
        self._now_ns = nanoseconds_of(moment) - self._elapsed_ns


def nanoseconds_of(moment: datetime | str) -> int:
    """UTC nanoseconds of a moment, as ``"2026-12-24T10:00:00Z"``.

    Raises:
        ValueError: it is no moment with a time zone.
    """
    try:
        found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        found = None
    if not isinstance(found, datetime) or found.tzinfo is None:
        msg = f"a moment with its time zone is needed, as `2026-12-24T10:00:00Z`, not {moment!r}"
        raise ValueError(msg)
    whole = int(found.timestamp() // 1)
    return whole * _NS + found.microsecond * 1000


class FunctionEngine:
    """An engine that asks a function of the input document.

    Args:
        decide: Gives the decision; None to allow every call.
    """

    revision = "test"

    def __init__(self, decide: Callable[[Mapping[str, Any]], Decision] | None = None) -> None:
        self._decide = decide

    def decide(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The function's decision."""
        if self._decide is not None:
            return self._decide(document)
        return Decision(
            Effect.ALLOW,
            (Reason("testing", "everything is allowed"),),
            revision=self.revision,
            decision_id=decision_id,
        )

    async def decide_async(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The function's decision."""
        return self.decide(document, decision_id)

    def explain(
        self,
        document: Mapping[str, Any],
        rules: Collection[str] = (),  # noqa: ARG002  # the port's
    ) -> Sequence[Finding]:
        """Nothing but that a test decided."""
        return (Finding("test", "testing", f"decided by a test for {document['tool']['name']}"),)


class OpenRegister:
    """A register in which every agent exists, may delegate to none, and has a large budget."""

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget(usd=1_000_000, calls=1_000_000)

    def agent(self, agent_id: str) -> RegisteredAgent:
        """An entry for any id."""
        return RegisteredAgent(
            agent_id, "1", "owner@example.com", budgets={"test": self._budget}, delegates={}
        )

    def policy_data(self) -> dict[str, Any]:
        """No agents: a test's engine does not read them."""
        return {}


class RecordingGovernor(Governor):
    """A governor whose record a test can read.

    Attributes:
        record: The events, in order, as ``record.events``.
    """

    record: MemoryRecord


def governor(
    decide: Callable[[Mapping[str, Any]], Decision] | None = None, **services: Any
) -> RecordingGovernor:
    """A governor for tests: it allows everything, or what `decide` says.

    Args:
        decide: Gives the decision for an input document.
        **services: Any service of :class:`guardrails.Governor` in place of the test's own.
    """
    given: dict[str, Any] = {
        "engine": FunctionEngine(decide),
        "register": OpenRegister(),
        "environment": "test",
        "record": MemoryRecord(),
        "clock": FakeClock(),
    }
    return RecordingGovernor(**{**given, **services})


def run(agent: str = "test-agent", **options: Any) -> RunScope:
    """A run under a test governor that allows everything; takes what ``guardrails.run`` takes.

    Args:
        agent: Any id.
        **options: As for ``guardrails.run``; `governor` for another governor.
    """
    chosen = options.pop("governor", None) or governor()
    return chosen.run(agent, **options)
