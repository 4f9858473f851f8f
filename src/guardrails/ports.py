"""What enforcement needs from the world, as protocols: one small port a service.

Implementations live in the parts (``runs``, ``approvals``, ``audit``,
``register``) and in ``engines``; :class:`guardrails.Governor` puts them together.
Whatever an implementation raises that is no refusal of its own refuses the call.

These are more than 500 lines, so that all that enforcement asks of the world is read in one place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from socket import socket

    from guardrails.errors import Finding
    from guardrails.model.account import Exhausted, Terms
    from guardrails.model.approval import ApprovalRequest, ApprovalState, CallKey
    from guardrails.model.budget import Budget, Charge, Remaining, Usage
    from guardrails.model.call import Event, Snapshot, Step
    from guardrails.model.decision import ApprovalDemand, Decision
    from guardrails.model.kill import Kill, Reach, Scope, Subject
    from guardrails.model.limits import Limits
    from guardrails.model.lineage import RunTerms
    from guardrails.model.model_usage import ModelUsage
    from guardrails.model.notice import Fact, Notice, NoticeKind, Severity, Undelivered
    from guardrails.model.registered import RegisteredAgent


@runtime_checkable
class Clock(Protocol):
    """Time, injected so that tests hold it in their hands."""

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for intervals."""
        ...


@runtime_checkable
class PolicyEngine(Protocol):
    """Decides documents. Every exception it raises refuses the call.

    One may have a ``decide_made`` besides, which enforcement then asks first; see
    :mod:`guardrails.engines.made_documents`.
    """

    @property
    def revision(self) -> str:
        """The policy revision that decides now."""
        ...

    def decide(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The decision about one input document.

        Raises:
            PolicyUnavailable: the engine is out of reach.
            EvaluationError: the evaluation failed.
            MalformedDecision: the result is undefined or no decision.
        """
        ...

    async def decide_async(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The same for a coroutine; never blocks the event loop."""
        ...

    def explain(
        self, document: Mapping[str, Any], rules: Collection[str] = ()
    ) -> Sequence[Finding]:
        """Which of these rules (none: of all) spoke, and which conditions were not met."""
        ...


class Hold(Protocol):
    """A reservation on every account of a chain, and the snapshot taken with it."""

    @property
    def snapshot(self) -> Snapshot:
        """The run's state without this hold."""
        ...

    @property
    def cost(self) -> Usage:
        """What is held."""
        ...


class Purse(Protocol):
    """Holds for calls of one tool in one run, which the ledger holds on all accounts already."""

    @property
    def price(self) -> Usage:
        """What each is good for."""
        ...

    @property
    def now(self) -> Callable[[], int]:
        """The ledger's time, UTC nanoseconds."""
        ...

    @property
    def until(self) -> int:
        """By that time, from when on it may not be used."""
        ...

    @property
    def take(self) -> Callable[[], Hold]:
        """Take one; where none is left it raises an IndexError, and the ledger is to be asked."""
        ...

    @property
    def begin(self) -> Callable[[Any], None]:
        """Note that the hold which :attr:`take` gave has begun; next to that, before all else."""
        ...


@runtime_checkable
class Ledger(Protocol):
    """Who may still spend what. Each method is atomic and may be called from any thread."""

    def open_run(
        self,
        run_id: str,
        *,
        parent_id: str | None,
        budget: Budget,
        terms: Sequence[Terms] = (),
        named: bool = False,
    ) -> Mapping[str, Purse]:
        """Open the run's account below its parent's; its budget is a cap, no transfer.

        Args:
            run_id: The run.
            parent_id: The run in which it is opened.
            budget: Its own limits.
            terms: The accounts that it shares with other runs, besides those of its parent.
            named: Whether somebody chose its id. Where such a run's process died, it goes on with
                what it had spent.

        Returns:
            What the run may give to its calls itself, by the names of tools: the ledger adds to
            it and takes from it. A ledger that wants to be asked for each call returns {}.
        """
        ...

    def close_run(self, run_id: str) -> None:
        """Close the account: no new hold is given, holds in flight may still settle."""
        ...

    def reserve(self, run_id: str, tool: str, cost: Usage, limits: Budget | None) -> Hold:
        """Take `cost` on the tool's account in the run, the run's and every ancestor's, or on none.

        Args:
            run_id: The run.
            tool: The tool's name.
            cost: What one call takes; ``calls`` is 1.
            limits: The tool's own limits in this run, if it has any.

        Raises:
            BudgetExceeded: a limit would be passed; nothing is held.
        """
        ...

    def replace(self, hold: Hold, cost: Usage) -> Hold:
        """Put a hold of another cost in the place of `hold`, with a new snapshot.

        Raises:
            BudgetExceeded: the new cost passes a limit; the old hold stands.
        """
        ...

    def charge(self, hold: Hold, charge: Charge) -> None:
        """Report what the call in flight really cost; the first report replaces its price.

        Never raises for an overrun: it is counted in full, and the next call is refused.
        """
        ...

    def spend(self, run_id: str, usage: Usage) -> None:
        """Charge the run and its ancestors for what was no governed call, as a model's tokens."""
        ...

    def settle(self, hold: Hold, step: Step) -> None:
        """Turn the hold into spending, at what was charged or else at its price."""
        ...

    def release(self, hold: Hold) -> None:
        """Give the hold back: the call did not start."""
        ...

    def spent(self, run_id: str) -> Usage:
        """What the run has settled."""
        ...

    def reserved(self, run_id: str) -> Usage:
        """What the run's calls in flight hold."""
        ...

    def remaining(self, run_id: str) -> Remaining:
        """What is left of each limit, of the run and its ancestors; without seconds."""
        ...

    def raise_limit(self, exhausted: Exhausted, *, request_id: str, by: str) -> bool:
        """Raise the limit of a shared account's window, as people have approved; once a request.

        Args:
            exhausted: What :class:`guardrails.errors.BudgetExceeded` has as ``top_up``.
            request_id: The approval request.
            by: Who approved it.

        Returns:
            Whether it was raised now; False where it was before, or the limit has changed since.
        """
        ...

    def share_run(self, run_id: str) -> tuple[str, ...]:
        """Let other processes join the run and its ancestors.

        Returns:
            What this opening of each has and no other of the same id, outermost first.

        Raises:
            StateUnavailable: this ledger is one process's.
        """
        ...

    def join_run(self, run_id: str, *, nonces: Sequence[str], terms: Sequence[Terms] = ()) -> None:
        """Open, in this process, the account of a run that another one has shared.

        Args:
            run_id: The run.
            nonces: What :meth:`share_run` has returned.
            terms: The accounts that it shares, where they are not to be those with which it was
                opened.

        Raises:
            RunClosed: no such run is shared, or its id has been opened anew since.
            StateUnavailable: this ledger is one process's.
        """
        ...

    def leave_run(self, run_id: str) -> None:
        """Take back one :meth:`join_run`; with the last one its account is closed here alone."""
        ...

    def close(self) -> None:
        """Report what was spent and give back what is held from others; later calls refuse."""
        ...


@runtime_checkable
class KillSwitch(Protocol):
    """What was killed.

    A call for which nothing was killed when :attr:`generation` had a number only reads
    ``page[0]`` and the time: while the one is that number, and the other is before :attr:`until`,
    nothing has changed. What calls read had best be attributes: a property takes as long as all
    the rest.
    """

    @property
    def page(self) -> Sequence[int]:
        """One item, which changes with every kill and resume and is never again what it was."""
        ...

    @property
    def until(self) -> float | None:
        """The time by :attr:`monotonic` up to which the page says all; None where it always does.

        It is in the past where something holds, or has to be looked at, that is not on the page.
        """
        ...

    @property
    def monotonic(self) -> Callable[[], float]:
        """The clock: seconds that never go back."""
        ...

    @property
    def generation(self) -> int:
        """A number that grows with every kill and resume.

        A negative one is given only once: what is found under it is not to be remembered.
        """
        ...

    def kill(self, scope: Scope, *, reason: str, by: str) -> Kill:
        """Kill everything in `scope`: no further call starts, async work in flight is cancelled."""
        ...

    def resume(self, scope: Scope, *, reason: str, by: str) -> None:
        """Lift a kill; a run that was killed never resumes."""
        ...

    def find(self, subject: Subject) -> Kill | None:
        """The kill that holds for `subject`, the oldest first, or None."""
        ...

    def active(self) -> tuple[Kill, ...]:
        """Every kill that is in force."""
        ...

    def subscribe(self, listener: Callable[[Kill], None], *, here: bool = False) -> None:
        """Call `listener` after every kill; it must not raise.

        On the thread that killed; after a kill by another process on a thread of the switch.

        Args:
            listener: What to call.
            here: Call it only after kills that this process made.
        """
        ...

    def attend(self, work: InFlight) -> None:
        """Look for kills by other processes for as long as `work` has calls in flight.

        Without effect on a switch that knows no other processes, and where it looks already.
        """
        ...


@runtime_checkable
class Approvals(Protocol):
    """Requests to people and their answers. Each method is atomic, from any thread."""

    def find(self, call_key: CallKey) -> ApprovalRequest | None:
        """The newest request for exactly this call, whatever its state, or None."""
        ...

    def request(  # noqa: PLR0913  # what a person has to know, each by its name
        self,
        call_key: CallKey,
        *,
        demands: Sequence[ApprovalDemand],
        tool: str,
        agent: str,
        run_id: str,
        principal: str | None,
        args: Mapping[str, Any],
        revision: str,
        about: str = "call",
        question: str = "",
        lineage: Sequence[RunTerms] = (),
        decision_id: str = "",
    ) -> ApprovalRequest:
        """The open request for this call: the one that is there, or a new one.

        `about` says what is asked: ``call``, that it may run; ``budget``, that a limit is raised;
        ``escalation``, what the tool's `question` is. `lineage` is its run with the ancestors,
        `decision_id` the id under which the call stands in the record.
        """
        ...

    def propose(  # noqa: PLR0913  # what a person has to know, each by its name
        self,
        key: CallKey,
        *,
        demands: Sequence[ApprovalDemand],
        tool: str,
        agent: str,
        run_id: str,
        principal: str | None,
        args: Mapping[str, Any],
        revision: str,
        lineage: Sequence[RunTerms],
        decision_id: str = "",
    ) -> ApprovalRequest | None:
        """The proposal of a call that was withheld; None where a run has enough of them."""
        ...

    def latest(self, request_id: str) -> ApprovalRequest:
        """The request, or what has come in its place by now, however often."""
        ...

    def tell(self, request_id: str) -> ApprovalRequest:
        """The same; from now on the agent makes that call itself, if anybody."""
        ...

    def consume(
        self,
        request_id: str,
        call_key: CallKey,
        demands: Sequence[ApprovalDemand],
        *,
        again: bool = False,
        resumed: bool = False,
    ) -> ApprovalRequest:
        """Use an approval, once; `again`: also one that was used, if it was rightly approved.

        `resumed`: somebody else than the agent makes the call.

        Raises:
            ApprovalRejected: the request is not approved, was used, or is for another call.
            ApprovalPending: it lacks answers that `demands` need.
            ApprovalExpired: it has expired.
        """
        ...

    def settle(self, request_id: str, outcome: str) -> None:
        """Note what came of the call that used an approval; the first word counts."""
        ...

    def withdraw(self, request_id: str, *, reason: str) -> None:
        """Take an unanswered request back; does nothing once it is in a terminal state."""
        ...

    def get(self, request_id: str) -> ApprovalRequest:
        """The request with this id, or with the one id that begins so.

        Raises:
            GuardrailsError: there is none, or several begin so.
        """
        ...

    def list(self, state: ApprovalState | None = None) -> tuple[ApprovalRequest, ...]:
        """All requests in this state (None: in any), oldest first."""
        ...

    def approve(
        self, request_id: str, *, by: str, groups: Iterable[str], reason: str = ""
    ) -> ApprovalRequest:
        """The request after one person's yes; approved once every demand has its quorum.

        Raises:
            GuardrailsError: this person may not answer it, or it is answered already.
        """
        ...

    def reject(
        self, request_id: str, *, by: str, groups: Iterable[str], reason: str = ""
    ) -> ApprovalRequest:
        """The request after one person's no, which rejects it.

        Raises:
            GuardrailsError: this person may not answer it, or it is answered already.
        """
        ...

    def wait(self, request_id: str, seconds: float) -> ApprovalRequest:
        """Block until the request is answered, withdrawn or expired, at most `seconds`."""
        ...

    async def wait_async(self, request_id: str, seconds: float) -> ApprovalRequest:
        """The same without blocking the event loop."""
        ...

    def subscribe(self, listener: Callable[[ApprovalRequest, str], None]) -> None:
        """Call `listener` with the request and the step's name, before the step takes effect.

        If it raises, the step does not happen: what cannot be recorded is not done.
        """
        ...


@runtime_checkable
class Record(Protocol):
    """Where every decision and act is written down."""

    def write(self, event: Event) -> None:
        """Take one event, which nobody changes any more; the record sees to it from here on.

        Raises:
            StateUnavailable: it is not taken.
        """
        ...

    def write_ahead(self, event: Event) -> Future[None] | None:
        """Take the intent of a call with side effects.

        Returns:
            What is done once it is on the disk; None where the call need not wait for that.

        Raises:
            StateUnavailable: it is not taken. The future raises it, too.
        """
        ...

    def close(self) -> None:
        """Write out what is still held, and stop.

        Raises:
            StateUnavailable: not all of it could be written.
        """
        ...


@runtime_checkable
class Register(Protocol):
    """The agents that exist, and who answers for them."""

    def agent(self, agent_id: str) -> RegisteredAgent:
        """The agent's entry.

        Raises:
            ConfigError: there is no such agent; the message names those that exist.
        """
        ...

    def policy_data(self) -> dict[str, Any]:
        """What policies read as ``data.guardrails_data.agents``."""
        ...


@runtime_checkable
class AlertSink(Protocol):
    """One way to people. It has a thread of its own, and may take its time."""

    @property
    def target(self) -> str:
        """Where notices go, as people may read it: without tokens."""
        ...

    def send(self, notice: Notice) -> str:
        """Deliver, and try again as far as that makes sense; what came back, in a few words.

        Raises:
            DeliveryError: it was not delivered.
        """
        ...

    def close(self) -> None:
        """Try nothing again; from another thread, while :meth:`send` may be under way."""
        ...


@runtime_checkable
class Alerts(Protocol):
    """Where notices are handed over, off the call's path."""

    def subscribe(self, listener: Callable[[Undelivered], None]) -> None:
        """Call `listener` for every notice that was not delivered, from any thread."""
        ...

    def notify(self, notice: Notice) -> None:
        """Send `notice` to whoever is to know; never blocks, never raises."""
        ...

    def close(self) -> None:
        """Deliver what waits, for a bounded time, and stop."""
        ...


@runtime_checkable
class Prices(Protocol):
    """What models cost."""

    def usage_of(  # noqa: PLR0913  # what decides a price, each by its name
        self,
        usage: object,
        *,
        model: str,
        provider: str | None = None,
        batch: bool = False,
        tier: str | None = None,
        at_ns: int | None = None,
    ) -> ModelUsage:
        """Tokens and money of a model's answer.

        Raises:
            PriceError: it cannot be said.
        """
        ...


class Killable(Protocol):
    """A run, as a kill is matched against it."""

    def subjects(self, tool: str | None = None) -> tuple[Subject, ...]:
        """Its ancestors, outermost first, then it with `tool`."""
        ...


class InFlight(Protocol):
    """Calls in flight that a kill must reach."""

    def watch(
        self,
        subjects: tuple[Subject, ...],
        on_kill: Callable[[Kill], None],
        *,
        owner: object = None,
    ) -> AbstractContextManager[object]:
        """A context within which a kill of `subjects` calls `on_kill`, also one that holds."""
        ...

    def began(self, call: object, run: Killable, tool: str) -> None:
        """Note that a plain function is at work, as `call`; no kill can reach it."""
        ...

    def ended(self, call: object) -> None:
        """Note that the plain function of `call` has ended."""
        ...

    def reach(self, kill: Kill) -> Reach:
        """What `kill` meets at work here."""
        ...

    def forget(self) -> None:
        """Let go of everything: a forked child has none of its parent's calls in flight."""
        ...

    def __len__(self) -> int:
        """How many calls there are that a kill must reach."""
        ...


class Nursery(Protocol):
    """Where the processes of isolated tools come from."""

    def start(self, connection: socket) -> int:
        """The id of a new process, the leader of a group of its own, that serves `connection`."""
        ...

    def end(self, pid: int) -> int | None:
        """How the process ended, once it has; its group is killed first."""
        ...


class RunTelemetry(Protocol):
    """What a run tells OpenTelemetry. None of it raises an exception, and nothing depends on it."""

    def call(self, tool: str, decision_id: str, call_id: str) -> Any:
        """A call that begins here, as ``guardrails.telemetry.calls`` has it; None: it failed."""
        ...

    def spent(self, usage: Usage) -> None:
        """Count what was spent between calls."""
        ...

    def opened(self) -> None:
        """The run is entered here."""
        ...

    def closed(self, error: BaseException | None) -> None:
        """The run is left here, perhaps because of `error`."""
        ...

    def traceparent(self) -> str:
        """The current trace, for another process that joins the run; empty where there is none."""
        ...


class SecretGuard(Protocol):
    """Says which secrets in a call's arguments it is refused for."""

    def __call__(self, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, str]:
        """The kind of each by its JSON pointer; empty where the call may go on."""
        ...


class Enforcer(Protocol):
    """What a run holds of its governor: the services that its calls go through."""

    @property
    def engine(self) -> PolicyEngine: ...  # noqa: D102  # named by its type
    @property
    def ledger(self) -> Ledger: ...  # noqa: D102  # named by its type
    @property
    def kill_switch(self) -> KillSwitch: ...  # noqa: D102  # named by its type
    @property
    def approvals(self) -> Approvals: ...  # noqa: D102  # named by its type
    @property
    def record(self) -> Record: ...  # noqa: D102  # named by its type
    @property
    def clock(self) -> Clock: ...  # noqa: D102  # named by its type
    @property
    def in_flight(self) -> InFlight: ...  # noqa: D102  # named by its type
    @property
    def nursery(self) -> Nursery: ...  # noqa: D102  # named by its type

    @property
    def limits(self) -> Limits: ...  # noqa: D102  # named by its type
    @property
    def secrets(self) -> SecretGuard | None: ...  # noqa: D102  # named by its type
    @property
    def prices(self) -> Prices: ...  # noqa: D102  # named by its type

    def last_breaker_reset(self, run_id: str) -> int:
        """The number of the last time that somebody let a stopped run go on; 0 for never."""
        ...

    def notify(  # noqa: PLR0913  # what a notice states, each by its name
        self,
        kind: NoticeKind,
        title: str,
        *,
        severity: Severity | None = None,
        facts: Mapping[str, Fact] | None = None,
        agent: str | None = None,
        run_id: str | None = None,
    ) -> None:
        """Tell people of it; never blocks, never raises."""
        ...

    def claim(self, name: str, tool: Any) -> None:
        """Note that `tool` goes by `name` here.

        Raises:
            ConfigError: another tool has that name.
        """
        ...
