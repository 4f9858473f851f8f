"""Assertions about what is decided in the current run. None of them runs a tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.runs.context import current_run
from guardrails.testing.expectation import Expectation, rules_of
from guardrails.testing.verdict import REFUSALS, Verdict, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guardrails.runs.run import Run


def assert_allowed(
    tool: Callable[..., Any] | str,
    args: Mapping[str, Any] | None = None,
    *,
    because: str | Iterable[str] = (),
    runs_with: Mapping[str, Any] | None = None,
    run: Run | None = None,
) -> Verdict:
    """Assert that the call would run, with nobody being asked.

    Args:
        tool: The governed function, or the name of one that the run's governor knows.
        args: The arguments by name.
        because: Ids of rules that must be behind it.
        runs_with: Arguments that policy must have rewritten to these values.
        run: The run; None for the current one.

    Raises:
        AssertionError: another thing is decided; the message says which rule, where, and why.
        NoActiveRun: there is no run.
        ConfigError: there is no such tool.
    """
    __tracebackhide__ = True
    expected = Expectation("allow", words_of(because), runs_with=runs_with)
    return hold(expected, decide(tool, args, run=run), _rules(run))


def assert_denied(
    tool: Callable[..., Any] | str,
    args: Mapping[str, Any] | None = None,
    *,
    because: str | Iterable[str] = (),
    run: Run | None = None,
) -> Verdict:
    """Assert that policy denies the call.

    What is refused before policy is asked, as for want of money, is not denied:
    :func:`assert_refused` asserts that. Arguments and errors as :func:`assert_allowed`'s.
    """
    __tracebackhide__ = True
    return hold(Expectation("deny", words_of(because)), decide(tool, args, run=run), _rules(run))


def assert_needs_approval(  # noqa: PLR0913  # what an approval is, each by its name
    tool: Callable[..., Any] | str,
    args: Mapping[str, Any] | None = None,
    *,
    because: str | Iterable[str] = (),
    approvers: str | Iterable[str] | None = None,
    quorum: int | None = None,
    runs_with: Mapping[str, Any] | None = None,
    run: Run | None = None,
) -> Verdict:
    """Assert that people have to approve the call before it runs.

    Args:
        tool: The governed function, or its name.
        args: The arguments by name.
        because: Ids of rules that must be behind it; ``decorator`` is ``@requires_approval``.
        approvers: The group, or all of the groups, that one of its approvals must name.
        quorum: How many people that same approval must want.
        runs_with: Arguments that policy must have rewritten to these values.
        run: The run; None for the current one.

    Raises:
        AssertionError: another thing is decided.
        NoActiveRun: there is no run.
        ConfigError: there is no such tool.
    """
    __tracebackhide__ = True
    groups = None if approvers is None else frozenset(words_of(approvers))
    expected = Expectation("require_approval", words_of(because), groups, quorum, runs_with)
    return hold(expected, decide(tool, args, run=run), _rules(run))


def assert_shadowed(
    tool: Callable[..., Any] | str,
    args: Mapping[str, Any] | None = None,
    *,
    because: str | Iterable[str] = (),
    run: Run | None = None,
) -> Verdict:
    """Assert that policy withholds the call: it is recorded, not executed."""
    __tracebackhide__ = True
    return hold(Expectation("shadow", words_of(because)), decide(tool, args, run=run), _rules(run))


def assert_refused(
    tool: Callable[..., Any] | str,
    args: Mapping[str, Any] | None = None,
    *,
    code: str,
    run: Run | None = None,
) -> Verdict:
    """Assert that it does not come to a decision, as for want of money.

    Args:
        tool: The governed function, or its name.
        args: The arguments by name.
        code: The refusal's code, as ``budget_exceeded``, ``invalid_arguments`` or ``run_killed``.
        run: The run; None for the current one.

    Raises:
        AssertionError: it comes to one, or another refusal is raised.
        ValueError: there is no refusal of that code.
        NoActiveRun: there is no run.
        ConfigError: there is no such tool.
    """
    __tracebackhide__ = True
    if code not in REFUSALS:
        msg = f"there is no refusal `{code}`; there are {', '.join(sorted(REFUSALS))}"
        raise ValueError(msg)
    return hold(Expectation(code), decide(tool, args, run=run), _rules(run))


def hold(expected: Expectation, verdict: Verdict, rules: frozenset[str] | None = None) -> Verdict:
    """`verdict`, which is what is expected.

    Args:
        expected: What it is to be.
        verdict: What was decided.
        rules: The ids of all rules that there are, where that is known.

    Raises:
        AssertionError: it is not.
    """
    __tracebackhide__ = True
    objection = expected.objection(verdict, rules)
    if objection is not None:
        raise AssertionError(objection)
    return verdict


def _rules(run: Run | None) -> frozenset[str] | None:
    run = run if run is not None else current_run()
    return None if run is None else rules_of(run.governor.engine)


def words_of(words: str | Iterable[str]) -> tuple[str, ...]:
    """One word, or several, as several."""
    return (words,) if isinstance(words, str) else tuple(words)
