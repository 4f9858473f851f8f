"""Accounts: sums and limits, no locks. What each kind says where a limit is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guardrails.errors import BudgetExceeded
from guardrails.model.account import THRESHOLDS, Exhausted
from guardrails.runs.alerts import Alert, account_name
from guardrails.runs.ledgers.amounts import (
    DIMENSIONS,
    NO_LIMITS,
    NOTHING,
    TOKENS,
    Amount,
    Limits,
    in_units,
    is_over,
    limits_of,
    number,
    part,
    reached,
    still_alerted,
    words,
)

if TYPE_CHECKING:
    from guardrails.model.account import Terms
    from guardrails.model.budget import Budget
    from guardrails.runs.windows import Span


class Figures(NamedTuple):
    """How one dimension of an account stands, for a refusal.

    Attributes:
        limit: The limit in force.
        spent: What is settled.
        held: What calls in flight hold.
        elsewhere: What other processes have taken to spend.
    """

    limit: int
    spent: int
    held: int
    elsewhere: int = 0

    @property
    def left(self) -> int:
        """What is left."""
        return self.limit - self.spent - self.held - self.elsewhere


class Lease:
    """What this process may spend of an account that other processes spend from, too.

    The account's own limits then are this process's: what it has reported, and what it has
    taken besides. Alerts come from where the account is kept.

    Attributes:
        key: Where it is kept: name, window, start and end of the window.
        wanted: The limits that configuration states.
        reported: What of the spending is known there.
        limits: The limits in force, as last heard.
        spent: What all processes have spent, as last heard.
        elsewhere: What other processes had taken besides, as last heard.
        others: What other processes have spent, as last heard.
        revision: How often the limits have changed, as last heard.
        used: When a call last stood on it, in seconds.
        recall: Whether to keep no more of it than calls in flight need.
        is_known: Whether this process has spoken of it there.
        opening: Of a run's account the run's id and nonce.
    """

    __slots__ = (
        "elsewhere",
        "is_known",
        "key",
        "limits",
        "opening",
        "others",
        "recall",
        "reported",
        "revision",
        "spent",
        "used",
        "wanted",
    )

    def __init__(self, key: tuple[str, str, int, int], wanted: Limits) -> None:
        self.key = key
        self.wanted = wanted
        self.reported = [0, 0, 0]
        self.limits = wanted
        self.spent: Amount = NOTHING
        self.elsewhere: Amount = NOTHING
        self.others: Amount = NOTHING
        self.revision = 0
        self.used = 0.0
        self.recall = False
        self.is_known = False
        self.opening: tuple[str, str] | None = None


class Account:
    """What is spent and held of one set of limits.

    Args:
        name: As people read it.
        budget: The limits; None where there are none. Seconds are no matter of accounts.
        thresholds: Percent at which it alerts, ascending.
    """

    # The dimensions are spelled out below: a call passes here several times.

    __slots__ = (
        "_alerted",
        "alerts_at",
        "budget",
        "held",
        "lease",
        "limits",
        "name",
        "purses",
        "spent",
        "thresholds",
    )

    def __init__(
        self, name: str, budget: Budget | None, thresholds: tuple[int, ...] = THRESHOLDS
    ) -> None:
        self.name = name
        self.thresholds = thresholds
        self.spent = [0, 0, 0]
        self.held = [0, 0, 0]
        self.purses = 0
        self.lease: Lease | None = None
        self._alerted = [0, 0, 0]
        self.alerts_at: Limits = NO_LIMITS
        self.limits: Limits = NO_LIMITS
        self.limit(budget)

    def limit(self, budget: Budget | None) -> None:
        """Put the limits of `budget` in force; alerts that they take back may come again."""
        self.budget = budget
        self.put_in_force(limits_of(budget))

    def put_in_force(self, limits: Limits) -> None:
        """Let these limits hold from now on."""
        self.limits = limits
        if self.lease is not None:
            return
        self._alerted = still_alerted(limits, self.spent, self._alerted, self.thresholds)
        self.alerts_at = self._next_alerts()

    @property
    def alerted(self) -> Amount:
        """The highest percent told of, by dimension."""
        usd, tokens, calls = self._alerted
        return usd, tokens, calls

    def lacking(self, amount: Amount, freed: Amount = NOTHING) -> int | None:
        """The first dimension whose limit `amount` would pass once `freed` is given back, or None.

        An overdrawn dimension, and tokens that are used up, lack even for a call that takes none.
        """
        usd, tokens, calls = self.limits
        spent, held = self.spent, self.held
        if usd is not None and spent[0] + held[0] - freed[0] + amount[0] > usd:
            return 0
        if tokens is not None and spent[1] + held[1] - freed[1] + amount[1] > tokens:
            return 1
        if calls is not None and spent[2] + held[2] - freed[2] + amount[2] > calls:
            return 2
        if self.lease is not None:
            return self._overdrawn(self.lease)
        return TOKENS if tokens is not None and is_over(TOKENS, spent[1], tokens) else None

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
        usd, tokens, calls = self.alerts_at
        if (
            (usd is not None and spent[0] >= usd)
            or (tokens is not None and spent[1] >= tokens)
            or (calls is not None and spent[2] >= calls)
        ):
            return self._reached()
        return None

    def room(self, index: int) -> int | None:
        """What may still be held before a limit, or the next alert, is reached; None: no end."""
        limit, alert = self.limits[index], self.alerts_at[index]
        if limit is None:
            return None
        if self.lease is None:
            if index == TOKENS and is_over(TOKENS, self.spent[1], limit):
                return -1
        elif self._overdrawn(self.lease) is not None:
            return -1
        taken = self.spent[index] + self.held[index]
        return limit - taken if alert is None else min(limit, alert - 1) - taken

    def _overdrawn(self, lease: Lease) -> int | None:
        """The first dimension in which no further call starts, whoever spent it; None for none.

        This process's own limit does not show it: that is what it has spent, and what it has
        taken besides.
        """
        for index, limit in enumerate(lease.limits):
            unsaid = self.spent[index] - lease.reported[index]
            if is_over(index, lease.spent[index] + unsaid, limit):
                return index
        return None

    def untaken(self, index: int) -> int:
        """What no process had taken of a leased account when it was last heard of."""
        lease = self.lease
        if lease is None:
            return 0
        mine = (self.limits[index] or 0) - lease.reported[index]
        return max(
            0, (lease.limits[index] or 0) - lease.spent[index] - lease.elsewhere[index] - mine
        )

    def alert(self, index: int, percent: int) -> Alert:
        """The alert that `percent` of a limit are used."""
        used, limit = in_units(index, self.spent[index]), in_units(index, self.limits[index] or 0)
        return Alert("", None, DIMENSIONS[index], percent, used, limit, shared=self.name)

    def figures(self, index: int) -> Figures:
        """How one dimension stands."""
        lease = self.lease
        if lease is None:
            return Figures(self.limits[index] or 0, self.spent[index], self.held[index])
        return Figures(
            lease.limits[index] or 0,
            lease.spent[index] + self.spent[index] - lease.reported[index],
            self.held[index],
            lease.elsewhere[index],
        )

    @property
    def per(self) -> str:
        """What stands behind the limit in a sentence."""
        return ""

    @property
    def way_out(self) -> str:
        """What to do where the limit is used up."""
        return "finish with what there is; a larger limit stands where this one was set"

    def exhausted(self, index: int, figures: str) -> Exhausted | None:  # noqa: ARG002  # what heirs need
        """The account as people may be asked to top it up; None where that would raise nothing."""
        return None

    def refusal(self, index: int, amount: Amount, *, tool: str, run_id: str) -> BudgetExceeded:
        """Why a call of `tool` in the run `run_id` cannot take `amount` here."""
        stands = self.figures(index)
        needed = amount[index]
        told = (
            f"{self.name} has {number(index, stands.left)} left of "
            f"{words(index, stands.limit)}{self.per}: {number(index, stands.spent)} spent, "
            f"{number(index, stands.held)} held by calls in flight"
        )
        if stands.elsewhere:
            told += f", {number(index, stands.elsewhere)} taken by other processes"
        needs = f"needs {words(index, needed)}, but"
        if index == TOKENS and not needed:
            needs = "may take tokens, how many is known only afterwards, and"
        return BudgetExceeded(
            f"`{tool}` {needs} {told}",
            account=self.name,
            dimension=DIMENSIONS[index],
            limit=in_units(index, stands.limit),
            left=in_units(index, stands.left),
            needed=in_units(index, needed),
            top_up=self.exhausted(index, told),
            tool=tool,
            run_id=run_id,
            hint=self.way_out,
        )

    def _reached(self) -> list[Alert]:
        found = reached(self.limits, self.spent, self._alerted, self.thresholds)
        for index, percent in found:
            self._alerted[index] = percent
        self.alerts_at = self._next_alerts()
        return [self.alert(index, percent) for index, percent in found]

    def _next_alerts(self) -> Limits:
        usd, tokens, calls = map(self._next_alert, range(len(DIMENSIONS)))
        return usd, tokens, calls

    def _next_alert(self, index: int) -> int | None:
        limit = self.limits[index]
        if not limit:
            return None  # of no limit, or of nothing, no part can be used
        for percent in self.thresholds:
            if percent > self._alerted[index]:
                return part(limit, percent)
        return None


class ToolAccount(Account):
    """A tool's own limits in one run."""

    __slots__ = ("run_id", "tool")

    def __init__(self, run_id: str, tool: str, budget: Budget) -> None:
        self.run_id = run_id
        self.tool = tool
        super().__init__(account_name(run_id, tool), budget)

    @property
    def way_out(self) -> str:
        """What to do where the limit is used up."""
        return "its limit in a run stands in the tool's @budget"

    def alert(self, index: int, percent: int) -> Alert:
        """The alert that `percent` of a limit are used."""
        used, limit = in_units(index, self.spent[index]), in_units(index, self.limits[index] or 0)
        return Alert(self.run_id, self.tool, DIMENSIONS[index], percent, used, limit)


class Line(Account):
    """An account that runs share, in one window: once that has ended, a new line begins.

    What is held here is spent here, also where the call ends in the next window.

    Args:
        terms: What configuration says.
        span: The window.
        opens: When the next one begins, for people.
    """

    __slots__ = ("opens", "revision", "span", "terms")

    def __init__(self, terms: Terms, span: Span, opens: str) -> None:
        self.terms = terms
        self.span = span
        self.opens = opens
        self.revision = 0
        super().__init__(terms.account, terms.limits, terms.thresholds)

    def raise_by(self, by: Budget) -> None:
        """Raise the limits that there are by those of `by`."""
        usd, tokens, calls = (
            limit if limit is None else limit + (more or 0)
            for limit, more in zip(self.limits, limits_of(by), strict=True)
        )
        self.revision += 1
        self.put_in_force((usd, tokens, calls))

    @property
    def per(self) -> str:
        """What stands behind the limit in a sentence: `` a day``."""
        return f" {self.terms.window.words}"

    @property
    def way_out(self) -> str:
        """What to do where the limit is used up."""
        return (
            f"wait until {self.opens}, when it starts anew, or let somebody raise it: `guardrails "
            f"budget set {self.name} --{self.terms.window} DIMENSION=LIMIT --reason …`"
        )

    def alert(self, index: int, percent: int) -> Alert:
        """The alert that `percent` of a limit are used."""
        used, limit = in_units(index, self.spent[index]), in_units(index, self.limits[index] or 0)
        return Alert(
            "",
            None,
            DIMENSIONS[index],
            percent,
            used,
            limit,
            self.name,
            self.terms.window.value,
            self.span.start,
        )

    def exhausted(self, index: int, figures: str) -> Exhausted | None:
        """The account as people may be asked to top it up; None where that would raise nothing."""
        if self.terms.top_up is None or not limits_of(self.terms.top_up.by)[index]:
            return None
        return Exhausted(
            self.name,
            self.terms.window.value,
            self.span.start,
            self.revision if self.lease is None else self.lease.revision,
            self.terms.top_up,
            figures,
        )
