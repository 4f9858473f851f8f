"""What calls have begun and ended without the ledger's lock, counted when somebody needs the sums.

The protocol between them and the calls stands in :mod:`guardrails.runs.ledgers.holds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.runs.ledgers.amounts import CALLS
from guardrails.runs.ledgers.holds import Purse, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.runs.alerts import Alert
    from guardrails.runs.ledgers.accounts import Account
    from guardrails.runs.ledgers.amounts import Amount
    from guardrails.runs.ledgers.holds import Hold
    from guardrails.runs.ledgers.run_account import RunAccount

_TAKEN: Final = State.TAKEN
_HELD: Final = State.HELD
_SETTLED: Final = State.SETTLED


class Counting:
    """What the books know of the logs of runs; all of it is called under their lock."""

    _alerts: list[Alert]
    _is_counting: bool

    def _see_fresh(self, account: RunAccount, but: Hold | None = None) -> None:
        """Take the snapshots that are due before sums change, the ancestors' too."""
        level: RunAccount | None = account
        while level is not None:
            if level.log:
                self._catch_up(level)
            if level.fresh is not None:
                level.see_fresh(but)
            level = level.parent

    def _catch_up(self, account: RunAccount, asked: Hold | None = None) -> None:
        """Count the calls that have begun and ended meanwhile, as :mod:`holds` describes it.

        Args:
            account: The run's.
            asked: A hold whose snapshot somebody waits for. It is taken just before the hold
                counts, so that nothing of that has to be taken off again.
        """
        log = account.log
        if not log or self._is_counting:  # so it is where a signal handler looks at sums
            return
        self._is_counting = True
        try:
            # Within, also for this: what interrupts a jump to the very first line of a `try`
            # is not of it for Python 3.11, and would pass the `finally` by.
            history, idle, spent = account.history, account.pursed_idle, account.pursed_spent
            while log:
                hold = log[0]
                purse = hold.purse
                if hold.state is not _TAKEN or type(purse) is not Purse or not purse.is_open:
                    self._count_late(account, hold)
                    continue
                if account.fresh is not None:
                    account.see_fresh()
                if hold is asked:
                    hold.seen = account.snapshot()
                elif hold.step is not None:  # as of most, where nobody asks for snapshots
                    self._count_ended(account, purse, asked)
                    continue
                usd, tokens, calls = purse.cost
                # From here to `popleft` nothing is called, so that no signal handler comes between.
                hold.state = _HELD
                try:
                    history[purse.tool] += calls
                except KeyError:
                    history[purse.tool] = calls
                step = hold.step
                if step is None:
                    purse.idle -= 1
                    idle[2] -= calls
                    if usd or tokens:
                        idle[0] -= usd
                        idle[1] -= tokens
                    account.fresh = None if hold is asked else hold
                    log.popleft()
                else:
                    hold.state = _SETTLED
                    purse.settled += 1
                    spent[2] += calls
                    if usd or tokens:
                        spent[0] += usd
                        spent[1] += tokens
                    log.popleft()
                    account.steps.append(step.document)
        finally:
            self._is_counting = False

    def _count_ended(self, account: RunAccount, purse: Purse, asked: Hold | None) -> None:
        """Count the calls at the head of the log that have begun out of `purse` and ended."""
        log, history = account.log, account.history
        count = 0
        try:
            take_off, keep = log.popleft, account.steps.append  # within, as above
            while log:
                hold = log[0]
                step = hold.step
                if (
                    step is None
                    or hold is asked
                    or hold.purse is not purse
                    or hold.state is not _TAKEN
                ):
                    break
                # Until `take_off` nothing is called, as above.
                hold.state = _SETTLED
                count += 1
                take_off()
                keep(step.document)
        finally:
            # Their sums at once, whatever came in between; here nothing is called, either.
            usd, tokens, calls = purse.cost
            if not count:
                pass
            elif purse.is_open:
                try:
                    history[purse.tool] += calls * count
                except KeyError:
                    history[purse.tool] = calls * count
                purse.settled += count
                spent = account.pursed_spent
                spent[2] += calls * count
                if usd or tokens:
                    spent[0] += usd * count
                    spent[1] += tokens * count
            else:
                self._count_closed(account, purse, count)

    def _count_closed(self, account: RunAccount, purse: Purse, count: int) -> None:
        """Count so many ended calls of a purse that a signal handler closed before they were."""
        amount = purse.times(count)
        account.count(purse.tool, amount[CALLS])
        self._spend(purse.path, amount)
        for each in purse.path:
            each.give_back(amount)

    def _count_late(self, account: RunAccount, hold: Hold) -> None:
        """Count the end of a call whose beginning was counted, or both, out of a closed purse."""
        if hold.state is _TAKEN:
            account.see_fresh()
            hold.state = _HELD
            account.count(hold.tool, hold.cost.calls)
            if hold.step is None:
                account.fresh = hold
        account.log.popleft()
        if hold.state is not _HELD or hold.step is None:
            return
        purse = hold.purse
        if isinstance(purse, Purse) and purse.is_open:
            if account.fresh is hold:
                account.fresh = None
            idle, spent = account.pursed_idle, account.pursed_spent
            usd, tokens, calls = purse.cost
            # Until `append` nothing is called, as above.
            hold.state = _SETTLED
            purse.settled += 1
            purse.idle += 1
            idle[2] += calls
            spent[2] += calls
            if usd or tokens:
                idle[0] += usd
                idle[1] += tokens
                spent[0] += usd
                spent[1] += tokens
            account.steps.append(hold.step.document)
        else:
            self._end(hold)

    def _end(self, hold: Hold) -> None:
        hold.state = State.SETTLED
        account, step = hold.account, hold.step
        if account.fresh is hold:
            account.fresh = None
        amount, path = hold.amount, hold.path
        self._spend(path, amount)
        for each in path:
            each.give_back(amount)
        if step is not None:
            level: RunAccount | None = account
            while level is not None:
                level.steps.append(step.document)
                level = level.parent

    def _spend(self, path: Sequence[Account], amount: Amount) -> None:
        for account in path:
            self._alerts += account.spend(amount) or ()
