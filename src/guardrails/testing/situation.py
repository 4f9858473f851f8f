"""The circumstances of a call: whose it is, in which run, after what."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from guardrails.errors import BudgetExceeded, ConfigError
from guardrails.model.budget import Budget, Usage
from guardrails.model.call import step_of
from guardrails.testing.answering import WAIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guardrails.enforcement.definition import Tool
    from guardrails.model.money import Money
    from guardrails.runs.run import Run
    from guardrails.testing.doubles import FakeClock, RecordingGovernor


class Past(NamedTuple):
    """A tool that the run has called before.

    Attributes:
        tool: The tool.
        times: How often.
        args: Its arguments, where its price depends on them.
    """

    tool: Tool
    times: int = 1
    args: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """In what run a call is made, and how that run stands.

    Attributes:
        agent: The agent's id.
        principal: On whose behalf.
        labels: The run's labels.
        mode: The run's mode; None for enforcement.
        budget: The run's limits; None for the register's.
        parents: The agents of the runs in which it is opened, outermost first.
        spent_usd: Dollars that it has spent besides its calls.
        spent_tokens: Tokens likewise.
        after: The calls that it has made.
        elapsed: Seconds since it was opened.
    """

    agent: str
    principal: str | None = None
    labels: tuple[str, ...] = ()
    mode: str | None = None
    budget: Budget | None = None
    parents: tuple[str, ...] = ()
    spent_usd: Money = 0
    spent_tokens: int = 0
    after: tuple[Past, ...] = ()
    elapsed: float = 0

    @contextmanager
    def opened(
        self,
        governor: RecordingGovernor,
        clock: FakeClock,
        *,
        wait: float | None = None,
        id: str | None = None,
    ) -> Iterator[Run]:
        """A context in which the run is the current one, and stands as it is said here.

        Raises:
            ConfigError: there is no such agent, or it cannot have made the calls before.
            CallDenied: the run cannot be opened, as without a budget.
        """
        with ExitStack() as stack:
            for parent in self.parents:
                stack.enter_context(governor.run(parent, principal=self.principal))
            run = stack.enter_context(
                governor.run(
                    self.agent,
                    principal=self.principal,
                    labels=self.labels,
                    mode=self.mode,
                    budget=self.budget,
                    wait=wait,
                    id=id,
                )
            )
            for past in self.after:
                remember(run, past)
            if self.spent_usd or self.spent_tokens:
                run.charge(usd=self.spent_usd, tokens=self.spent_tokens)
            if self.elapsed:
                clock.advance(self.elapsed)
            yield run


def waiting_of(*, is_anybody_on_duty: bool) -> float | None:
    """How long a run waits for people of whom somebody may be there."""
    return WAIT if is_anybody_on_duty else None


def remember(run: Run, past: Past) -> None:
    """Let `run` have made calls, as policy and budgets see it; no tool runs, breakers see nothing.

    Raises:
        ConfigError: the price depends on arguments that are not given, or its budget would
            not have let it.
    """
    tool = past.tool
    name, operation = tool.facts.name, tool.facts.operation
    price = _price(past, run)
    for _ in range(past.times):
        try:
            hold = run.reserve(name, price, tool.price.limits)
        except BudgetExceeded as refusal:
            msg = (
                f"the run cannot have called `{name}` {past.times} times before: {refusal.message}"
            )
            raise ConfigError(msg) from refusal
        run.settle(hold, step_of(name, operation, "allow", "ok"))


def _price(past: Past, run: Run) -> Usage:
    tool = past.tool
    if not callable(tool.price.cost):
        return Usage(tool.price.cost, 0, 1)
    if past.args is None:
        msg = (
            f"the price of `{tool.facts.name}` depends on its arguments; say with which ones it"
            " was called before"
        )
        raise ConfigError(msg)
    limits = run.governor.limits
    return tool.price.of(tool.parameters.read_named(past.args, limits, as_json=True))
