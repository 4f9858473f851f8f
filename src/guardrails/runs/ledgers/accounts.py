"""Accounts in a tree: a tool's in a run, the run's, its parent's. Sums and limits, no locks.

An amount is a triple in the order of :data:`DIMENSIONS`; money is micro-dollars.
Whatever a run holds or spends stands on its own account and on every ancestor's,
there also under the tool's name, so that a limit is never passed by way of children.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.errors import BudgetExceeded
from guardrails.model.budget import Remaining, Usage
from guardrails.model.call import Snapshot
from guardrails.model.money import display, dollars
from guardrails.runs.alerts import THRESHOLDS, Alert, account_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from guardrails.model.budget import Budget
    from guardrails.model.call import Step

DIMENSIONS: Final = ("usd", "tokens", "calls")
STEPS_KEPT: Final = 32
"""Finished calls that a run remembers for ``input.run.steps``."""

Amount: TypeAlias = tuple[int, int, int]
Limits: TypeAlias = tuple[int | None, int | None, int | None]

_USD: Final = 0
_CALLS: Final = 2
NOTHING: Final[Amount] = (0, 0, 0)
_NO_LIMITS: Final[Limits] = (None, None, None)


def amount_of(usage: Usage) -> Amount:
    """`usage` as a triple.

    Raises:
        ValueError: a part of it is negative.
    """
    amount = (usage.micro_usd, usage.tokens, usage.calls)
    if min(amount) < 0:
        raise ValueError(f"spending is never negative, but this is `{usage}`")
    return amount


class Account:
    """What is spent and held of one run's, or of one tool's, limits.

    Args:
        run_id: The run.
        tool: The tool whose account in that run it is; None for the run's own.
        budget: The limits; None where there are none. Seconds are no matter of accounts.
    """

    # The dimensions are spelled out below: a call passes here several times.

    __slots__ = ("_alerted", "_alerts_at", "budget", "held", "limits", "run_id", "spent", "tool")

    def __init__(self, run_id: str, tool: str | None, budget: Budget | None) -> None:
        self.run_id = run_id
        self.tool = tool
        self.spent = [0, 0, 0]
        self.held = [0, 0, 0]
        self._alerted: frozenset[tuple[int, int]] = frozenset()
        self.limit(budget)

    def limit(self, budget: Budget | None) -> None:
        """Put the limits of `budget` in force."""
        self.budget = budget
        self.limits: Limits = _NO_LIMITS
        if budget is not None:
            self.limits = (budget.micro_usd, budget.tokens, budget.calls)
        self._alerts_at = tuple(self._next_alert(index) for index in range(len(DIMENSIONS)))

    def lacking(self, amount: Amount, freed: Amount = NOTHING) -> int | None:
        """The first dimension whose limit `amount` would pass once `freed` is given back, or None.

        An overdrawn dimension lacks even for a call that takes nothing of it.
        """
        usd, tokens, calls = self.limits
        spent, held = self.spent, self.held
        if usd is not None and spent[0] + held[0] - freed[0] + amount[0] > usd:
            return 0
        if tokens is not None and spent[1] + held[1] - freed[1] + amount[1] > tokens:
            return 1
        if calls is not None and spent[2] + held[2] - freed[2] + amount[2] > calls:
            return 2
        return None

    def hold(self, amount: Amount) -> None:
        """Add `amount` to what is held."""
        held = self.held
        held[0] += amount[0]
        held[1] += amount[1]
        held[2] += amount[2]

    def give_back(self, amount: Amount) -> None:
        """Take `amount` from what is held."""
        held = self.held
        held[0] -= amount[0]
        held[1] -= amount[1]
        held[2] -= amount[2]

    def spend(self, amount: Amount) -> list[Alert] | None:
        """Count `amount` as spent; the alerts that this raises, None for none."""
        spent = self.spent
        spent[0] += amount[0]
        spent[1] += amount[1]
        spent[2] += amount[2]
        usd, tokens, calls = self._alerts_at
        if (
            (usd is not None and spent[0] >= usd)
            or (tokens is not None and spent[1] >= tokens)
            or (calls is not None and spent[2] >= calls)
        ):
            return self._reached()
        return None

    def _reached(self) -> list[Alert]:
        alerts: list[Alert] = []
        for index, limit in enumerate(self.limits):
            for percent in THRESHOLDS if limit else ():
                key = (index, percent)
                if key not in self._alerted and self.spent[index] >= _part(limit or 0, percent):
                    self._alerted |= {key}
                    used, most = _in_units(index, self.spent[index]), _in_units(index, limit or 0)
                    alerts.append(
                        Alert(self.run_id, self.tool, DIMENSIONS[index], percent, used, most)
                    )
        self._alerts_at = tuple(self._next_alert(index) for index in range(len(DIMENSIONS)))
        return alerts

    def _next_alert(self, index: int) -> int | None:
        limit = self.limits[index]
        if not limit:
            return None  # of no limit, or of nothing, no part can be used
        for percent in THRESHOLDS:
            if (index, percent) not in self._alerted:
                return _part(limit, percent)
        return None

    def refusal(self, index: int, amount: Amount, *, tool: str, run_id: str) -> BudgetExceeded:
        """Why a call of `tool` in the run `run_id` cannot take `amount` here."""
        limit, spent, held = self.limits[index] or 0, self.spent[index], self.held[index]
        name = account_name(self.run_id, self.tool)
        left, needed = limit - spent - held, amount[index]
        return BudgetExceeded(
            f"`{tool}` needs {_words(index, needed)}, but {name} has {_number(index, left)} left "
            f"of {_words(index, limit)}: {_number(index, spent)} spent, "
            f"{_number(index, held)} held by calls in flight",
            account=name,
            dimension=DIMENSIONS[index],
            limit=_in_units(index, limit),
            left=_in_units(index, left),
            needed=_in_units(index, needed),
            tool=tool,
            run_id=run_id,
        )


class RunAccount(Account):
    """A run's account: besides its sums, those of each tool, and its last finished calls."""

    __slots__ = ("__weakref__", "closed", "parent", "steps", "tools")

    def __init__(self, run_id: str, budget: Budget, parent: RunAccount | None) -> None:
        super().__init__(run_id, None, budget)
        self.parent = parent
        self.closed = False
        self.tools: dict[str, Account] = {}
        self.steps: deque[Step] = deque(maxlen=STEPS_KEPT)

    def chain(self) -> Iterator[RunAccount]:
        """This account and its ancestors', innermost first."""
        account: RunAccount | None = self
        while account is not None:
            yield account
            account = account.parent

    def path(self, tool: str, budget: Budget | None) -> tuple[Account, ...]:
        """Every account that a call of `tool` in this run stands on, innermost first.

        Args:
            tool: The tool's name.
            budget: The tool's own limits, which hold from now on.
        """
        path: list[Account] = []
        level: RunAccount | None = self
        while level is not None:
            account = level.tools.get(tool)
            if account is None:
                account = level.tools[tool] = Account(level.run_id, tool, budget)
            elif account.budget is not budget:
                account.limit(budget)
            path += (account, level)
            level = level.parent
        return tuple(path)

    def remaining(self) -> Remaining:
        """What is left of each limit, the tightest of this account and its ancestors'."""
        left: list[int | None] = [None, None, None]
        level: RunAccount | None = self
        while level is not None:
            for index, limit in enumerate(level.limits):
                if limit is not None:
                    mine, least = limit - level.spent[index] - level.held[index], left[index]
                    if least is None or mine < least:
                        left[index] = mine
            level = level.parent
        return Remaining(*left)

    def snapshot(self) -> Snapshot:
        """The run as it stands now."""
        history = {
            name: calls
            for name, tool in self.tools.items()
            if (calls := tool.spent[_CALLS] + tool.held[_CALLS])
        }
        return Snapshot(
            self.spent[_CALLS] + self.held[_CALLS],
            history,
            Usage(*self.spent),
            Usage(*self.held),
            self.remaining(),
            tuple(self.steps),
        )


def _part(limit: int, percent: int) -> int:
    return -(-limit * percent // 100)  # rounded up: less is not yet that much of it


def _in_units(index: int, amount: int) -> Decimal | int:
    return dollars(amount) if index == _USD else amount


def _number(index: int, amount: int) -> str:
    return display(amount) if index == _USD else f"{amount:,}"


def _words(index: int, amount: int) -> str:
    if index == _USD:
        return display(amount)
    unit = DIMENSIONS[index]
    return f"{amount:,} {unit.removesuffix('s') if amount == 1 else unit}"
