"""A run's account: the tree below the accounts that runs share.

Whatever a run holds or spends stands on its own account and on every ancestor's, there
also under the name of a tool that has limits, and on every account that the run or an
ancestor shares, so that a limit is never passed by way of children.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from guardrails.model.budget import NO_USAGE, Remaining, Usage
from guardrails.model.call import Snapshot
from guardrails.runs.alerts import Alert, account_name
from guardrails.runs.ledgers.accounts import Account, ToolAccount
from guardrails.runs.ledgers.amounts import DIMENSIONS, NO_LIMITS, NOTHING, Amount, in_units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardrails.model.account import Terms
    from guardrails.model.budget import Budget
    from guardrails.runs.ledgers.accounts import Line
    from guardrails.runs.ledgers.books import Books
    from guardrails.runs.ledgers.holds import Hold, Purse

STEPS_KEPT: Final = 32
"""Finished calls that a run remembers for ``input.run.steps``."""


class RunAccount(Account):
    """A run's account: besides its sums, how often each tool was called, and its last calls.

    Attributes:
        books: Where it is kept.
        parent: The account of the run in which it is.
        terms: The accounts that it shares, its ancestors' included, each once.
        lines: The same, as of the windows that are open now.
        foreign: Whether it belongs to the process from which this one was forked.
        until: When the first of these windows ends, in UTC nanoseconds.
        purses_by_tool: What calls of a tool may take without looking at every account.
        log: Holds that calls took out of purses, or have ended, until they are counted in this
            order; it grows without the ledger's lock.
        pursed_spent: What was settled out of purses, and is not in its sums yet.
        pursed_idle: What of the sums no call holds, for it lies in purses or was settled out of
            them.
        lately: What the last call of each tool cost that looked at every account, and how many
            holds for calls like it were made.
        fresh: The last hold that was counted, if nobody has seen its snapshot.
        nonce: What this opening has and no other of the same id, once others can join it.
        named: Whether somebody chose the run's id.
        written: What of its spending is written down for after a crash.
    """

    __slots__ = (
        "__weakref__",
        "books",
        "closed",
        "foreign",
        "fresh",
        "history",
        "lately",
        "lines",
        "log",
        "named",
        "nonce",
        "parent",
        "pursed_idle",
        "pursed_spent",
        "purses_by_tool",
        "run_id",
        "steps",
        "terms",
        "tools",
        "until",
        "written",
    )

    def __init__(
        self,
        books: Books,
        run_id: str,
        budget: Budget,
        parent: RunAccount | None,
        terms: Sequence[Terms] = (),
    ) -> None:
        self.books = books
        self.run_id = run_id
        self.parent = parent
        self.terms: tuple[Terms, ...] = tuple(terms)
        if parent is not None:
            mine = {(each.account, each.window) for each in self.terms}
            self.terms += tuple(
                each for each in parent.terms if (each.account, each.window) not in mine
            )
        self.lines: tuple[Line, ...] = ()
        self.until = 0
        self.closed = False
        self.foreign = False
        self.purses_by_tool: dict[str, Purse] = {}
        self.pursed_spent = [0, 0, 0]
        self.pursed_idle = [0, 0, 0]
        self.lately: dict[str, tuple[Usage, int]] = {}
        self.fresh: Hold | None = None
        self.log: deque[Hold] = deque()
        self.history: dict[str, int] = {}
        self.tools: dict[str, ToolAccount] = {}
        self.nonce = ""
        self.named = False
        self.written = [0, 0, 0]
        self.steps: deque[dict[str, str]] = deque(maxlen=STEPS_KEPT)
        super().__init__(account_name(run_id, None), budget)

    @property
    def way_out(self) -> str:
        """What to do where the limit is used up."""
        return (
            "finish with what there is; a run's limits are those of `gr.run(budget=…)`, at most "
            "those of the register"
        )

    def alert(self, index: int, percent: int) -> Alert:
        """The alert that `percent` of a limit are used."""
        used, limit = in_units(index, self.spent[index]), in_units(index, self.limits[index] or 0)
        return Alert(self.run_id, None, DIMENSIONS[index], percent, used, limit)

    def chain(self) -> Iterator[RunAccount]:
        """This account and its ancestors', innermost first."""
        account: RunAccount | None = self
        while account is not None:
            yield account
            account = account.parent

    def path(self, tool: str | None, budget: Budget | None) -> tuple[Account, ...]:
        """Every account that a call of `tool` in this run stands on, innermost first.

        Args:
            tool: The tool's name; None for what is no call.
            budget: The tool's own limits, which hold from now on, and count what was taken
                since it had any.
        """
        path: list[Account] = []
        level: RunAccount | None = self
        while level is not None:
            if tool is not None:
                known = level.tools.get(tool)
                if known is not None:
                    if known.budget is not budget:
                        known.limit(budget)
                    path.append(known)
                elif budget is not None:
                    known = level.tools[tool] = ToolAccount(level.run_id, tool, budget)
                    path.append(known)
            path.append(level)
            level = level.parent
        return (*path, *self.lines)

    def settled(self) -> Amount:
        """What it has spent, also out of its purses."""
        return self.sums()[0]

    def in_flight(self) -> Amount:
        """What its calls in flight hold; what lies in a purse is nobody's yet."""
        return self.sums()[1]

    def sums(self) -> tuple[Amount, Amount]:
        """What it has spent and what its calls in flight hold, both at once."""
        usd, tokens, calls = self.spent
        more_usd, more_tokens, more_calls = self.pursed_spent
        held_usd, held_tokens, held_calls = self.held
        idle_usd, idle_tokens, idle_calls = self.pursed_idle
        return (
            (usd + more_usd, tokens + more_tokens, calls + more_calls),
            (held_usd - idle_usd, held_tokens - idle_tokens, held_calls - idle_calls),
        )

    def count_idle(self, amount: Amount) -> None:
        """Count so much more of what it holds as nobody's."""
        for index, more in enumerate(amount):
            self.pursed_idle[index] += more

    def see_fresh(self, but: Hold | None = None) -> None:
        """Take the snapshot of the last hold that was counted, if it is still to be taken."""
        fresh = self.fresh
        if fresh is not None and fresh is not but and fresh.step is None and fresh.seen is None:
            fresh.seen = self.snapshot(fresh)
        self.fresh = None

    def forget(self, purse: Purse) -> None:
        """Count nothing of `purse` any more, which calls may take from no longer."""
        less_idle, less_spent = purse.times(purse.idle), purse.times(purse.settled)
        for index in range(len(DIMENSIONS)):
            self.pursed_idle[index] -= less_idle[index]
            self.pursed_spent[index] -= less_spent[index]

    def remaining(self, without: Amount = NOTHING) -> Remaining:
        """What is left of each limit, the tightest of this account and its ancestors'.

        Args:
            without: What is held and is not to count.
        """
        left: list[int | None] = [None, None, None]
        level: RunAccount | None = self
        while level is not None:
            if level.limits != NO_LIMITS:
                spent, held = level.sums()
                for index, limit in enumerate(level.limits):
                    if limit is not None:
                        mine = limit - spent[index] - held[index] + without[index]
                        if level.lease is not None:
                            mine += level.untaken(index)
                        least = left[index]
                        if least is None or mine < least:
                            left[index] = mine
            level = level.parent
        return Remaining(*left)

    def snapshot(self, hold: Hold | None = None) -> Snapshot:
        """The run as it stands now; without `hold`, if that is one of its own that is counted."""
        # Every call passes here: the sums are spelled out, and named tuples made as tuples are.
        usd, tokens, calls = self.spent
        more_usd, more_tokens, more_calls = self.pursed_spent
        held_usd, held_tokens, held_calls = self.held
        idle_usd, idle_tokens, idle_calls = self.pursed_idle
        usd += more_usd
        tokens += more_tokens
        calls += more_calls
        held_usd -= idle_usd
        held_tokens -= idle_tokens
        held_calls -= idle_calls
        history = self.history.copy()
        without = NOTHING
        if hold is not None:
            without = own_usd, own_tokens, own_calls = hold.cost
            held_usd -= own_usd
            held_tokens -= own_tokens
            held_calls -= own_calls
            _count(history, hold.tool, -own_calls)
        if self.parent is None and self.lease is None:
            usd_limit, tokens_limit, calls_limit = self.limits
            remaining = _tuple(
                Remaining,
                (
                    None if usd_limit is None else usd_limit - usd - held_usd,
                    None if tokens_limit is None else tokens_limit - tokens - held_tokens,
                    None if calls_limit is None else calls_limit - calls - held_calls,
                    None,
                ),
            )
        else:
            remaining = self.remaining(without)
        spent = _tuple(Usage, (usd, tokens, calls))
        # Where nothing else is in flight, as mostly, it is always the same one.
        held = (
            _tuple(Usage, (held_usd, held_tokens, held_calls))
            if held_usd or held_tokens or held_calls
            else NO_USAGE
        )
        return _tuple(
            Snapshot, (calls + held_calls, history, spent, held, remaining, list(self.steps))
        )

    def count(self, tool: str, calls: int) -> None:
        """Count so many more calls of `tool`, here and on every ancestor."""
        for level in self.chain():
            _count(level.history, tool, calls)


_tuple: Final = tuple.__new__


def _count(history: dict[str, int], tool: str, calls: int) -> None:
    """Count so many more calls of `tool`; what was never called is not in `history`."""
    count = history.get(tool, 0) + calls
    if count:
        history[tool] = count
    else:
        history.pop(tool, None)
