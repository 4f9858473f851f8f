"""What a test is given: its project's governor under a fake clock, runs, people, assertions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.errors import CallDenied, ConfigError
from guardrails.runs.context import current_run
from guardrails.testing.assertions import hold, words_of
from guardrails.testing.doubles import FakeClock
from guardrails.testing.expectation import Expectation, rules_of
from guardrails.testing.situation import Past, Situation, waiting_of
from guardrails.testing.verdict import REFUSALS, Verdict, denial, of_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from guardrails.audit.memory import MemoryRecord
    from guardrails.enforcement.definition import Tool
    from guardrails.model.budget import Budget
    from guardrails.model.money import Money
    from guardrails.runs.scope import RunScope
    from guardrails.testing.answering import Approvers
    from guardrails.testing.doubles import RecordingGovernor
    from guardrails.testing.project import Project


class Governed:
    """A project's governor in one test: real decisions, budgets, approvals and kills, in memory.

    Args:
        project: Whose policies decide.
        environment: Where calls are made; None for the configuration's own environment.
        agent: Whose runs they are made in where a test names nobody else.
        principal: On whose behalf, likewise.
        labels: The labels of those runs, likewise.
        at: What time it is, as ``"2026-12-24T10:00:00Z"``.

    Attributes:
        clock: The time, which only the test moves.
        approvers: The people who answer requests.
        governor: The governor.
    """

    def __init__(  # noqa: PLR0913  # the circumstances, each by its name
        self,
        project: Project,
        *,
        environment: str | None = None,
        agent: str | None = None,
        principal: str | None = None,
        labels: Iterable[str] = (),
        at: datetime | str | None = None,
    ) -> None:
        self.project = project
        self.clock = FakeClock()
        if at is not None:
            self.clock.set(at)
        self.approvers: Approvers = project.approvers(self.clock)
        self.governor: RecordingGovernor = self._made(environment)
        self._agent = agent
        self._principal = principal
        self._labels = words_of(labels)
        self._elsewhere: dict[str, RecordingGovernor] = {self.governor.environment: self.governor}

    @property
    def record(self) -> MemoryRecord:
        """What was recorded: ``events``, and ``tools()``, the names of those that ran."""
        return self.governor.record

    @property
    def rules(self) -> frozenset[str]:
        """The ids of the rule packages that decide."""
        return rules_of(self.project.engine) or frozenset()

    def run(  # noqa: PLR0913  # the words of a run, each by its name
        self,
        agent: str | None = None,
        *,
        budget: Budget | None = None,
        principal: str | None = None,
        labels: Iterable[str] | None = None,
        mode: str | None = None,
        id: str | None = None,
        wait: float | None = None,
    ) -> RunScope:
        """A run, for ``with`` or ``async with``, in which tools can be called; see ``gr.run``.

        It waits for approvals where somebody is on duty when it is opened, else not.

        Raises:
            ConfigError: no agent is named, or there is none of that name.
            CallDenied: it cannot be opened, as without a budget.
        """
        if wait is None:
            wait = waiting_of(is_anybody_on_duty=self.approvers.is_anybody_on_duty)
        is_child = current_run() is not None
        return self.governor.run(
            self._whose(agent),
            budget=budget,
            principal=principal if principal is not None or is_child else self._principal,
            labels=self._labels if labels is None else labels,
            mode=mode,
            id=id,
            wait=wait,
        )

    def decide(  # noqa: PLR0913  # the circumstances, each by its name
        self,
        tool: Callable[..., Any] | str,
        args: Mapping[str, Any] | None = None,
        *,
        agent: str | None = None,
        environment: str | None = None,
        principal: str | None = None,
        labels: Iterable[str] | None = None,
        mode: str | None = None,
        budget: Budget | None = None,
        parents: Iterable[str] = (),
        spent: Mapping[str, Any] | None = None,
        after: Mapping[Callable[..., Any], int] | None = None,
        elapsed: float = 0,
    ) -> Verdict:
        """What is decided about a call, which is not made.

        In the current run where there is one and nothing is said of another; else in a new run
        that ends with this.

        Args:
            tool: The governed function, or the name of one that was called before.
            args: The arguments by name.
            agent: Whose run it is.
            environment: Where; None for the test's own.
            principal: On whose behalf.
            labels: The run's labels.
            mode: The run's mode.
            budget: The run's limits; None for the register's.
            parents: The agents of the runs in which it is opened, outermost first.
            spent: What it has spent besides its calls, as ``{"usd": "4.98", "tokens": 100}``.
            after: What it has called before, each governed function with how often.
            elapsed: Seconds since it was opened.

        Raises:
            ConfigError: there is no such agent, environment or tool.
        """
        said = (agent, environment, principal, labels, mode, budget, spent, after)
        is_said = any(each is not None for each in said) or bool(parents or elapsed)
        current = current_run()
        if current is not None and not is_said:
            return of_tool(self.governor.tool(tool), dict(args or {}), current)
        if current is not None:
            msg = (
                f"the run `{current.id}` of {current.agent.id} is open: decide in it, and leave out"
                " whose run it is; or decide outside of it"
            )
            raise ConfigError(msg)
        money = _spent(spent)
        situation = Situation(
            agent=self._whose(agent),
            principal=principal if principal is not None else self._principal,
            labels=self._labels if labels is None else words_of(labels),
            mode=mode,
            budget=budget,
            parents=words_of(parents),
            spent_usd=money[0],
            spent_tokens=money[1],
            after=tuple(
                Past(self.governor.tool(before), times) for before, times in (after or {}).items()
            ),
            elapsed=elapsed,
        )
        governor = self.in_environment(environment)
        return self.verdict(governor.tool(tool), args or {}, situation, governor)

    def verdict(
        self,
        tool: Tool,
        args: Mapping[str, Any],
        situation: Situation,
        governor: RecordingGovernor | None = None,
        *,
        as_json: bool = False,
    ) -> Verdict:
        """What is decided about a call in a situation."""
        governor = governor if governor is not None else self.governor
        try:
            with situation.opened(governor, self.clock) as run:
                return of_tool(tool, args, run, as_json=as_json)
        except CallDenied as denied:  # there is no such run
            return denial(
                tool,
                args,
                denied,
                agent=situation.agent,
                environment=governor.environment,
                principal=situation.principal,
                labels=situation.labels,
            )

    def in_environment(self, environment: str | None) -> RecordingGovernor:
        """The governor of an environment, with the same clock and people; None for the test's own.

        Raises:
            ConfigError: that is no name of an environment.
        """
        if environment is None:
            return self.governor
        if environment not in self._elsewhere:
            self._elsewhere[environment] = self._made(environment)
        return self._elsewhere[environment]

    def assert_allowed(
        self,
        tool: Callable[..., Any] | str,
        args: Mapping[str, Any] | None = None,
        *,
        because: str | Iterable[str] = (),
        runs_with: Mapping[str, Any] | None = None,
        **situation: Any,
    ) -> Verdict:
        """As :func:`guardrails.testing.assert_allowed`; `situation` as :meth:`decide` takes it."""
        __tracebackhide__ = True
        expected = Expectation("allow", words_of(because), runs_with=runs_with)
        return self._hold(expected, self.decide(tool, args, **situation))

    def assert_denied(
        self,
        tool: Callable[..., Any] | str,
        args: Mapping[str, Any] | None = None,
        *,
        because: str | Iterable[str] = (),
        **situation: Any,
    ) -> Verdict:
        """As :func:`guardrails.testing.assert_denied`; `situation` as :meth:`decide` takes it."""
        __tracebackhide__ = True
        expected = Expectation("deny", words_of(because))
        return self._hold(expected, self.decide(tool, args, **situation))

    def assert_needs_approval(  # noqa: PLR0913  # what an approval is, each by its name
        self,
        tool: Callable[..., Any] | str,
        args: Mapping[str, Any] | None = None,
        *,
        because: str | Iterable[str] = (),
        approvers: str | Iterable[str] | None = None,
        quorum: int | None = None,
        runs_with: Mapping[str, Any] | None = None,
        **situation: Any,
    ) -> Verdict:
        """As :func:`guardrails.testing.assert_needs_approval`; `situation` as there."""
        __tracebackhide__ = True
        groups = None if approvers is None else frozenset(words_of(approvers))
        expected = Expectation("require_approval", words_of(because), groups, quorum, runs_with)
        return self._hold(expected, self.decide(tool, args, **situation))

    def assert_shadowed(
        self,
        tool: Callable[..., Any] | str,
        args: Mapping[str, Any] | None = None,
        *,
        because: str | Iterable[str] = (),
        **situation: Any,
    ) -> Verdict:
        """As :func:`guardrails.testing.assert_shadowed`; `situation` as :meth:`decide` takes it."""
        __tracebackhide__ = True
        expected = Expectation("shadow", words_of(because))
        return self._hold(expected, self.decide(tool, args, **situation))

    def assert_refused(
        self,
        tool: Callable[..., Any] | str,
        args: Mapping[str, Any] | None = None,
        *,
        code: str,
        **situation: Any,
    ) -> Verdict:
        """As :func:`guardrails.testing.assert_refused`; `situation` as :meth:`decide` takes it."""
        __tracebackhide__ = True
        if code not in REFUSALS:
            msg = f"there is no refusal `{code}`; there are {', '.join(sorted(REFUSALS))}"
            raise ValueError(msg)
        return self._hold(Expectation(code), self.decide(tool, args, **situation))

    def close(self) -> None:
        """Close the governors."""
        for governor in self._elsewhere.values():
            governor.close()

    def _made(self, environment: str | None) -> RecordingGovernor:
        return self.project.governor(
            environment=environment, clock=self.clock, approvers=self.approvers
        )

    def _whose(self, agent: str | None) -> str:
        whose = agent if agent is not None else self._agent
        if whose is None:
            known = ", ".join(f"`{each}`" for each in sorted(self.project.register.entries))
            msg = (
                "say whose run it is: agent=…, or @pytest.mark.guardrails(agent=…) for a whole"
                f" test, class or module; there are {known}"
            )
            raise ConfigError(msg)
        return whose

    def _hold(self, expected: Expectation, verdict: Verdict) -> Verdict:
        __tracebackhide__ = True
        return hold(expected, verdict, self.rules)


def _spent(spent: Mapping[str, Any] | None) -> tuple[Money, int]:
    said = dict(spent or {})
    usd, tokens = said.pop("usd", 0), said.pop("tokens", 0)
    if said:
        msg = (
            f"spent: {', '.join(map(repr, said))}: there are `usd` and `tokens`; calls are `after`"
        )
        raise ConfigError(msg)
    return usd, tokens
