"""A run: one task of one agent, with its account, its clock and its kill.

A little over 500 lines, since all of it works on the state of the one object.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from threading import RLock
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from guardrails.errors import (
    BudgetExceeded,
    ConfigError,
    RunClosed,
    RunKilled,
    StateUnavailable,
)
from guardrails.model.budget import Remaining, Usage
from guardrails.model.call import Event
from guardrails.model.kill import Scope, Subject
from guardrails.runs.judged import Judged
from guardrails.runs.ledgers.holds import Hold, State
from guardrails.runs.run_state import RunState
from guardrails.runs.spending import charge_of
from guardrails.runs.state_faults import state_faults
from guardrails.runs.stopwatch import Stopwatch
from guardrails.runs.timed_hold import TimedHold, without_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from guardrails.model.account import Terms
    from guardrails.model.budget import Budget, Charge
    from guardrails.model.call import Step
    from guardrails.model.facts import AgentFacts, Mode
    from guardrails.model.kill import Kill
    from guardrails.model.money import Money
    from guardrails.ports import Enforcer, Purse, RunTelemetry
    from guardrails.ports import Hold as AnyHold
    from guardrails.runs.breakers import RunBreakers

_TAKEN: Final = State.TAKEN


class Run(Judged):
    """One task of one agent. Threads and tasks share it; every method is safe from any of them.

    Args:
        id: Its id, used once; None for a new one.
        agent: The agent, as register and configuration describe it.
        governor: The services that its calls go through.
        budget: Its own limits; those of its ancestors hold besides.
        mode: How decisions are treated.
        principal: On whose behalf, if anybody's.
        labels: Words about this run, for policy.
        wait: Seconds that a call waits for an approval; None: not at all.
        parent: The run in which it is opened, if in one.
        narrowed_by: Agents for which its calls are decided besides its own.
        breakers: What stops it where it loops; None where nothing does.
        terms: The accounts that it shares with other runs.
        named: Whether somebody chose its id: such a run can be opened again after a crash.

    Attributes:
        run_ids: The ids of its ancestors and its own, outermost first.
        ancestry: Its ancestors as policy sees them, outermost first, without itself.
        subject: What a kill is matched against, between calls.
        constants: For enforcement, which keeps here what it works out once for each tool.
        telemetry: What its calls are told to; None where the program uses no OpenTelemetry.
    """

    __slots__ = (
        "__weakref__",
        "_ancestors",
        "_clear",
        "_fault",
        "_final",
        "_lock",
        "_plain",
        "_purses",
        "_state",
        "_subjects",
        "_timed",
        "_watch",
        "agent",
        "ancestry",
        "breakers",
        "budget",
        "constants",
        "governor",
        "id",
        "labels",
        "mode",
        "named",
        "narrowed_by",
        "parent",
        "principal",
        "run_ids",
        "subject",
        "telemetry",
        "terms",
        "wait",
    )

    def __init__(  # noqa: PLR0913  # what a run is, each by its name
        self,
        *,
        id: str | None,
        agent: AgentFacts,
        governor: Enforcer,
        budget: Budget,
        mode: Mode,
        principal: str | None = None,
        labels: Iterable[str] = (),
        wait: float | None = None,
        parent: Run | None = None,
        narrowed_by: Iterable[AgentFacts] = (),
        breakers: RunBreakers | None = None,
        terms: Iterable[Terms] = (),
        named: bool = False,
    ) -> None:
        self.id = id = str(uuid4()) if id is None else id
        self.agent = agent
        self.governor = governor
        self.budget = budget
        self.mode = mode
        self.principal = principal
        self.labels: tuple[str, ...] = tuple(sorted(set(labels)))
        self.wait = wait
        self.parent = parent
        self.narrowed_by: tuple[AgentFacts, ...] = tuple(narrowed_by)
        self.breakers = breakers
        self.terms: tuple[Terms, ...] = tuple(terms)
        self.named = named
        self.telemetry: RunTelemetry | None = None
        # Open, without ancestors and without a fault: what most calls meet, looked at once.
        self._plain = False
        # What it may give to its calls without the ledger: nothing, unless it is all of that.
        self._purses: Mapping[str, Purse] = {}
        self.run_ids: tuple[str, ...] = (id,)
        self.ancestry: tuple[Mapping[str, str], ...] = ()
        # Innermost first; without this run, which would keep itself alive.
        self._ancestors: tuple[Run, ...] = ()
        if parent is not None:
            self.run_ids = (*parent.run_ids, id)
            self.ancestry = (*parent.ancestry, {"run": parent.id, "agent": parent.agent.id})
            self._ancestors = (parent, *parent._ancestors)  # noqa: SLF001  # of the same class
        self.subject = Subject(self.run_ids, agent.id, agent.version, agent.environment)
        self.constants: dict[object, Any] = {}
        self._timed = any(run.budget.seconds is not None for run in self._chain())
        self._subjects: dict[str | None, tuple[Subject, ...]] = {}
        self._watch = Stopwatch(governor.clock.monotonic)
        self._lock = RLock()  # reentrant, as the ledger's
        self._state = RunState.NEW
        self._fault: str | None = None
        self._final = (Usage(), Remaining())
        # The kill switch's generation when nothing was last killed for a call of the tool.
        self._clear: dict[str | None, int] = {}

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.agent.id}, {self._state}>"

    # ------------------------------------------------------------------------------- life

    @property
    def state(self) -> RunState:
        """Where it stands."""
        return self._state

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self._state is RunState.CLOSED

    def open(self) -> None:
        """Open its account and record that; what :class:`RunScope` does on entry.

        Raises:
            ConfigError: it was opened before, or another run has its id.
            RunClosed: its parent has ended.
            StateUnavailable: ledger or record cannot be reached; it stays unusable.
        """
        with self._lock:
            if self._state is not RunState.NEW:
                raise ConfigError(
                    f"the run `{self.id}` was entered before; a run is entered once, open another"
                )
            self._state = RunState.CLOSED
        parent_id = None if self.parent is None else self.parent.id
        with state_faults(f"the run `{self.id}` cannot be opened", self.id):
            purses = self.governor.ledger.open_run(
                self.id,
                parent_id=parent_id,
                budget=self.budget,
                terms=self.terms,
                named=self.named,
            )
            try:
                self._write("run.opened", self._opening())
            except BaseException:
                self.governor.ledger.close_run(self.id)
                raise
        self._watch.start()
        self._state = RunState.OPEN
        self._plain = self.parent is None
        if self._plain and not self._timed:
            self._purses = purses

    def close(self) -> None:
        """Close its account and record what it spent; again, it does nothing.

        Raises:
            StateUnavailable: ledger or record cannot be reached; the run is closed all the same.
        """
        with self._lock:
            if self._state is not RunState.OPEN:
                return
            self._state = RunState.CLOSED
            self._purses = {}
            self._plain = False
        self._watch.stop()
        with state_faults(f"the end of the run `{self.id}` cannot be recorded", self.id):
            try:
                self._keep_sums()
            finally:
                self.governor.ledger.close_run(self.id)
            spent = self._final[0]
            sums = {"usd": str(spent.usd), "tokens": spent.tokens, "calls": spent.calls}
            self._write("run.closed", {"spent": sums, "seconds": self._watch.passed()})

    def mark_unaccountable(self, reason: str) -> None:
        """Refuse every further call of it and its children: an outcome could not be recorded."""
        self._fault = reason
        self._purses = {}
        self._plain = False

    @property
    def fault(self) -> str | None:
        """Why it takes no further call, as :meth:`mark_unaccountable` was told, or None."""
        return self._fault

    # ------------------------------------------------------------------------------- money and time

    @property
    def spent(self) -> Usage:
        """What it and its children have settled."""
        try:
            return self.governor.ledger.spent(self.id)
        except RunClosed:
            return self._final[0]

    @property
    def reserved(self) -> Usage:
        """What calls in flight hold, its own and its children's."""
        try:
            return self.governor.ledger.reserved(self.id)
        except RunClosed:
            return Usage()

    @property
    def remaining(self) -> Remaining:
        """What is left of each limit, the tightest of its own and its ancestors'."""
        try:
            remaining = self.governor.ledger.remaining(self.id)
        except RunClosed:
            remaining = self._final[1]
        return remaining._replace(seconds=self._seconds_left()) if self._timed else remaining

    def elapsed(self) -> float:
        """Seconds since it was opened, until it was closed, less the waits for people."""
        return self._watch.worked()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A context in which its clock and its ancestors' stand still: a person is asked."""
        runs = tuple(self._chain())
        for run in runs:
            run._watch.pause()  # noqa: SLF001  # of the same class
        try:
            yield
        finally:
            for run in runs:
                run._watch.go_on()  # noqa: SLF001  # of the same class

    def charge(
        self,
        *,
        usd: Money | None = None,
        tokens: int | None = None,
        usage: object = None,
        model: str | None = None,
        provider: str | None = None,
    ) -> None:
        """Charge it and its ancestors for what was no governed call, as a model's tokens.

        As :func:`guardrails.charge` between calls.
        """
        self.spend(charge_of(self, usd, tokens, usage, model, provider).usage)

    def spend(self, usage: Usage) -> None:
        """Charge it and its ancestors with `usage`.

        Raises:
            RunClosed: it has ended.
        """
        if self._state is not RunState.OPEN:
            raise self._closed(self, None)
        self.governor.ledger.spend(self.id, usage)
        if self.telemetry is not None:
            self.telemetry.spent(usage)
        for run in self._chain():
            if run.breakers is not None:
                run.breakers.spent(usage.micro_usd)

    def reserve(self, tool: str, cost: Usage, limits: Budget | None) -> AnyHold:
        """A hold of `cost` for one call of `tool`; give it back to this run alone.

        Args:
            tool: The tool's name.
            cost: What the call takes.
            limits: The tool's own limits in this run.

        Raises:
            RunClosed: it, or one of its ancestors, is not open.
            BudgetExceeded: a limit would be passed, or is used up; nothing is held.
            StateUnavailable: an outcome could not be recorded before.
        """
        # What most calls need, and all that they do; why it is safe says `ledgers.holds`.
        try:
            purse = self._purses[tool]
            if (purse.price is cost or purse.price == cost) and limits is None:
                # Named first, as in `check_kill`.
                now, take, begin = purse.now, purse.take, purse.begin
                if now() < purse.until:
                    taken = take()
                    begin(taken)
                    return taken
        except LookupError:  # no purse, or it is used up
            pass
        if not self._plain:
            self._require_open(tool)
        if self._timed:
            self._check_seconds(tool)
        try:
            hold = self.governor.ledger.reserve(self.id, tool, cost, limits)
        except BudgetExceeded as refusal:
            refusal.agent = self.agent.id
            raise
        return TimedHold(hold, self._seconds_left()) if self._timed else hold

    def replace(self, hold: AnyHold, cost: Usage) -> AnyHold:
        """A hold of `cost` in the place of `hold`, with a new snapshot.

        Raises:
            BudgetExceeded: the new cost passes a limit; the old hold stands.
        """
        try:
            held = self.governor.ledger.replace(without_time(hold), cost)
        except BudgetExceeded as refusal:
            refusal.agent = self.agent.id
            raise
        return TimedHold(held, self._seconds_left()) if self._timed else held

    def charge_call(self, hold: AnyHold, charge: Charge) -> None:
        """Report what the call in flight really cost, as :meth:`guardrails.ports.Ledger.charge`."""
        self.governor.ledger.charge(without_time(hold), charge)
        self._keep_late_sums()

    def settle(self, hold: AnyHold, step: Step) -> None:
        """Turn the hold into spending: the call's body started."""
        if type(hold) is Hold and hold.purse.is_open and hold.step is None:
            # In this order, the last line of it, too: why says `ledgers.holds`.
            hold.step = step
            if hold.state is not _TAKEN:
                hold.account.log.append(hold)
        else:
            self.governor.ledger.settle(without_time(hold), step)
        if not self._plain:
            self._keep_late_sums()

    def release(self, hold: AnyHold) -> None:
        """Give the hold back: the call's body did not start."""
        self.governor.ledger.release(without_time(hold))
        self._keep_late_sums()

    # ------------------------------------------------------------------------------- kill

    def kill(self, reason: str, *, by: str = "the program") -> None:
        """Stop it and its children, from any thread: no further call starts.

        Async calls in flight are cancelled. The body of a sync call in flight runs on; its
        result is discarded.

        Args:
            reason: Why; it is recorded, and stands in what is raised.
            by: Who.
        """
        self.governor.kill_switch.kill(Scope("run", self.id), reason=reason, by=by)

    def check_kill(self, tool: str | None = None) -> None:
        """Nothing, if neither it nor `tool` nor what it is part of was killed.

        Raises:
            RunKilled: something of that was killed; again at each later check.
        """
        # Most calls need no more than this; what it relies on says `ports.KillSwitch`.
        switch = self.governor.kill_switch
        try:
            if self._clear[tool] == switch.page[0]:
                until = switch.until
                if until is None:
                    return
                # Named first: for `switch.monotonic()` Python 3.11 looks for a method each time.
                monotonic = switch.monotonic
                if monotonic() < until:
                    return
        except KeyError:  # its first call
            pass
        kill = self.find_kill(tool)
        if kill is not None:
            raise self.killed_by(kill, tool)

    def find_kill(self, tool: str | None = None) -> Kill | None:
        """The kill that :meth:`check_kill` would raise for, or None."""
        switch = self.governor.kill_switch
        # Read before the search: what comes during it makes the next check search again.
        generation = switch.generation
        if self._clear.get(tool) == generation:
            return None
        for subject in self.subjects(tool):
            kill = switch.find(subject)
            if kill is not None:
                return kill
        self._clear[tool] = generation
        return None

    def subjects(self, tool: str | None = None) -> tuple[Subject, ...]:
        """What a kill is matched against: its ancestors, outermost first, then it with `tool`."""
        known = self._subjects.get(tool)
        if known is None:
            own = self.subject if tool is None else self.subject._replace(tool=tool)
            above = (run.subject for run in reversed(self._ancestors))
            known = self._subjects[tool] = (*above, own)
        return known

    def killed_by(self, kill: Kill, tool: str | None = None) -> RunKilled:
        """The error that `kill` means here. Its ``run_id`` is the run at whose exit it stops."""
        runs = (*reversed(self._ancestors), self)
        run_id = self.id
        match kill.scope.kind:
            case "run":
                run_id = kill.scope.name
            case "agent":
                run_id = next((run.id for run in runs if kill.scope.covers(run.subject)), self.id)
            case "all" | "env":
                run_id = runs[0].id
        return RunKilled(
            kill.reason, run_id=run_id, scope=str(kill.scope), tool=tool, agent=self.agent.id
        )

    # ------------------------------------------------------------------------------- within

    def _chain(self) -> Iterator[Run]:
        yield self
        yield from self._ancestors

    def _closed(self, run: Run, tool: str | None) -> RunClosed:
        what = "was not entered yet" if run.state is RunState.NEW else "has ended"
        return RunClosed(
            f"the run `{run.id}` of `{run.agent.id}` {what}",
            tool=tool,
            agent=self.agent.id,
            run_id=self.id,
        )

    def _require_open(self, tool: str) -> None:
        for run in self._chain():
            if run.state is not RunState.OPEN:
                raise self._closed(run, tool)
            if run.fault is not None:
                raise StateUnavailable(
                    f"the run `{run.id}` takes no further call: {run.fault}",
                    tool=tool,
                    agent=self.agent.id,
                    run_id=self.id,
                )

    def _check_seconds(self, tool: str) -> None:
        for run in self._chain():
            limit = run.budget.seconds
            if limit is None:
                continue
            elapsed = run.elapsed()
            if elapsed >= limit:
                raise BudgetExceeded(
                    f"`{tool}` comes too late: run/{run.id} has {limit:g} seconds, and has worked "
                    f"for {elapsed:.1f}",
                    account=f"run/{run.id}",
                    dimension="seconds",
                    limit=limit,
                    left=limit - elapsed,
                    tool=tool,
                    agent=self.agent.id,
                    run_id=self.id,
                )

    def _seconds_left(self) -> float:
        return min(
            run.budget.seconds - run.elapsed()
            for run in self._chain()
            if run.budget.seconds is not None
        )

    def _keep_sums(self) -> None:
        ledger = self.governor.ledger
        with self._lock:
            self._final = (ledger.spent(self.id), ledger.remaining(self.id))

    def _keep_late_sums(self) -> None:
        # A ledger may forget a closed run once nothing of it is in flight. While the
        # caller's hold lives it cannot, so the sums that are read here are the last ones.
        for run in self._chain():
            if run.is_closed:
                with suppress(RunClosed):
                    run._keep_sums()  # noqa: SLF001  # of the same class

    def _say(self, kind: str, detail: Mapping[str, object]) -> None:
        if self._state is RunState.NEW:
            raise self._closed(self, None)
        with state_faults(f"what is said of the run `{self.id}` cannot be recorded", self.id):
            self._write(kind, detail)

    def _write(self, kind: str, detail: Mapping[str, object]) -> None:
        now, agent, mode = self.governor.clock.now_ns(), self.agent.id, self.mode.value
        event = Event(kind, now, run_id=self.id, agent=agent, mode=mode, detail=detail)
        self.governor.record.write(event)

    def _opening(self) -> dict[str, object]:
        return {
            "version": self.agent.version,
            "owner": self.agent.owner,
            "environment": self.agent.environment,
            "principal": self.principal,
            "labels": list(self.labels),
            "budget": self.budget.document(),
            "ancestry": [dict(step) for step in self.ancestry],
        }
