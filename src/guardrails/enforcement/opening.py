"""Opening a run: who may, for which agent, with which budget, in which mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.enforcement.definition import checked_words
from guardrails.errors import CallDenied, ConfigError, Reason
from guardrails.model.budget import Budget
from guardrails.model.facts import AgentFacts, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.model.registered import RegisteredAgent
    from guardrails.ports import Register
    from guardrails.runs.run import Run

_RULE = "guardrails.run"


def facts_of(entry: RegisteredAgent, environment: str) -> AgentFacts:
    """The facts of a registered agent where it runs."""
    return AgentFacts(
        entry.id, entry.version, entry.owner, environment, entry.labels, entry.runbook
    )


def narrowing(
    register: Register, entry: RegisteredAgent, parent: Run | None
) -> tuple[AgentFacts, ...]:
    """The agents that calls of a child run are decided for besides its own.

    They are those of its ancestry where a `delegates` entry on the way says ``narrow``.

    Raises:
        CallDenied: the parent's agent may not delegate to this one.
    """
    if parent is None:
        return ()
    if parent.agent.id == entry.id:
        return parent.narrowed_by
    delegates = register.agent(parent.agent.id).delegates
    if entry.id not in delegates:
        message = (
            f"agent `{parent.agent.id}` may not open a run for agent `{entry.id}`: "
            f"its delegates are {_listed(delegates)}"
        )
        raise CallDenied(
            message,
            run_id=parent.id,
            agent=parent.agent.id,
            reasons=(Reason(_RULE, "the agent is no delegate of its parent"),),
            hint=f"name `{entry.id}` under `delegates` of `{parent.agent.id}` in the register",
        )
    if not delegates[entry.id]:
        return parent.narrowed_by
    chain = [parent.agent, *parent.narrowed_by]
    ancestor = parent.parent
    while ancestor is not None:
        chain.append(ancestor.agent)
        ancestor = ancestor.parent
    return tuple(facts for facts in dict.fromkeys(chain) if facts.id != entry.id)


def budget_of(
    entry: RegisteredAgent, environment: str, asked: Budget | None, parent: Run | None
) -> Budget:
    """The budget that a run gets: what is asked for, never more than the register grants.

    Raises:
        CallDenied: there is no limit at all.
        ConfigError: `asked` is no budget.
    """
    if asked is not None and not isinstance(asked, Budget):
        message = f"budget: a guardrails.Budget is needed, not {asked!r}"
        raise ConfigError(message)
    granted = entry.budgets.get(environment)
    if parent is not None:
        # The parent's limits hold besides, whatever this one's are.
        return tightest(asked or Budget(), granted or Budget())
    if granted is None and asked is None:
        message = f"agent `{entry.id}` has no budget in environment `{environment}`"
        raise CallDenied(
            message,
            agent=entry.id,
            reasons=(Reason(_RULE, "no budget"),),
            hint=f"give one: gr.run({entry.id!r}, budget=gr.Budget(usd='5')), or name it under "
            "`budget` in the register",
        )
    budget = tightest(asked or Budget(), granted or Budget())
    if budget.is_empty:
        message = f"a run of agent `{entry.id}` needs at least one limit"
        raise CallDenied(message, agent=entry.id, reasons=(Reason(_RULE, "no budget"),))
    return budget


def tightest(one: Budget, other: Budget) -> Budget:
    """The smaller limit of two budgets in every dimension."""
    return Budget(
        usd=_least(one.usd, other.usd),
        tokens=_least(one.tokens, other.tokens),
        calls=_least(one.calls, other.calls),
        seconds=_least(one.seconds, other.seconds),
    )


def mode_of(
    asked: str | None, parent: Run | None, permitted: Iterable[Mode], default: Mode
) -> Mode:
    """The mode of a run: the parent's, or the governor's default, or shadow instead of enforce.

    Raises:
        ConfigError: the mode does not exist, is not permitted, or would loosen what holds.
    """
    holds = default if parent is None else parent.mode
    if asked is None:
        return holds
    try:
        mode = Mode(asked)
    except ValueError:
        message = f"`{asked}` is no mode; there are {_listed(known.value for known in Mode)}"
        raise ConfigError(message) from None
    if mode not in set(permitted):
        message = f"mode `{mode}` is not permitted here; configuration permits {_listed(permitted)}"
        raise ConfigError(message)
    if mode is not holds and mode is not Mode.SHADOW and parent is not None:
        message = f"a run in mode `{holds}` cannot open a child in mode `{mode}`"
        raise ConfigError(message)
    return mode


def principal_of(asked: str | None, parent: Run | None) -> str | None:
    """On whose behalf a run works: a child inherits it.

    Raises:
        CallDenied: a child names another one.
        ConfigError: it is no text.
    """
    if asked is not None and (type(asked) is not str or not asked):
        message = f"principal: a text is needed, not {asked!r}"
        raise ConfigError(message)
    if parent is None:
        return asked
    if asked is not None and asked != parent.principal:
        message = f"a child of run {parent.id} works for the same principal, not for `{asked}`"
        raise CallDenied(message, run_id=parent.id, reasons=(Reason(_RULE, "another principal"),))
    return parent.principal


def id_of(asked: str | None) -> str | None:
    """The id that a run was given, if it was given one.

    Raises:
        ConfigError: it is no printable text of 1 to 128 characters.
    """
    if asked is None:
        return None
    if type(asked) is not str or not asked.isprintable() or not 1 <= len(asked) <= _LONGEST_ID:
        message = f"id: a printable text of 1 to {_LONGEST_ID} characters is needed, not {asked!r}"
        raise ConfigError(message)
    return asked


def labels_of(asked: Iterable[str] | None) -> tuple[str, ...]:
    """The words about a run, sorted.

    Raises:
        ConfigError: one of them is no word, or a single text was given for them.
    """
    try:
        return checked_words(asked or (), what="labels")
    except TypeError:
        message = f"labels: a collection of words is needed, not {asked!r}"
        raise ConfigError(message) from None


def wait_of(asked: float | None, parent: Run | None) -> float | None:
    """How many seconds a run's calls wait for people: a child's as long as its parent's.

    Raises:
        ConfigError: it is no length of time.
    """
    if asked is None:
        return None if parent is None else parent.wait
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not asked >= 0:
        message = f"wait: seconds are needed, not {asked!r}"
        raise ConfigError(message)
    return asked


_LONGEST_ID = 128


def _least(one: Any, other: Any) -> Any:
    given = [value for value in (one, other) if value is not None]
    return min(given, default=None)


def _listed(names: Iterable[object]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(map(str, names))) or "none"
