"""The composition root: one object that holds every service, and opens runs.

A little over 500 lines, so that what a program may ask of it is read in one place.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakValueDictionary

from guardrails.alerts.teller import Teller
from guardrails.approvals import ApprovalService
from guardrails.approvals.events import event_of
from guardrails.approvals.stores.memory import MemoryRequests
from guardrails.audit.exact_json import exact_json
from guardrails.audit.memory import MemoryRecord
from guardrails.clock import SystemClock
from guardrails.enforcement import dry_run, invoke, resuming
from guardrails.enforcement.annotations import load_validators
from guardrails.enforcement.invoke import new_id
from guardrails.enforcement.joining import joined_run, token_of
from guardrails.enforcement.lineage import reopened
from guardrails.enforcement.nursery import Nursery
from guardrails.enforcement.opening import (
    budget_of,
    facts_of,
    id_of,
    labels_of,
    mode_of,
    narrowing,
    principal_of,
    wait_of,
)
from guardrails.enforcement.tools import tool_of
from guardrails.errors import ConfigError, NoActiveRun, RunClosed, StateUnavailable
from guardrails.model.account import Standing
from guardrails.model.approval import ApprovalState
from guardrails.model.budget_plan import BudgetPlan
from guardrails.model.call import Event
from guardrails.model.facts import Mode
from guardrails.model.kill import Scope
from guardrails.model.limits import DEFAULT_LIMITS, Limits
from guardrails.ports import Ledger
from guardrails.pricing.price_list import PriceList
from guardrails.runs.breakers import RunBreakers
from guardrails.runs.context import current_run
from guardrails.runs.inflight import InFlight
from guardrails.runs.kill import MemoryKillSwitch
from guardrails.runs.ledgers.memory import MemoryLedger
from guardrails.runs.run import Run
from guardrails.runs.run_token import VARIABLE
from guardrails.runs.scope import RunScope
from guardrails.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from guardrails import ports
    from guardrails.enforcement.call import Call
    from guardrails.enforcement.definition import Tool
    from guardrails.model.approval import ApprovalRequest
    from guardrails.model.breakers import Breakers
    from guardrails.model.budget import Budget
    from guardrails.model.decision import Decision
    from guardrails.model.kill import Kill
    from guardrails.model.notice import Undelivered
    from guardrails.runs.alerts import Alert
    from guardrails.runs.directory import RunDirectory
    from guardrails.runs.run_token import RunTokens

_log: Final = logging.getLogger("guardrails")


class Governor:
    """Everything that decides about calls, put together: the services, and the runs they govern.

    Most programs let :func:`guardrails.load_governor` build it from ``guardrails.yaml``.

    Args:
        engine: Decides.
        register: The agents that exist.
        environment: Where this process runs, as ``prod``; agents cannot choose it.
        ledger: Who may still spend what, or a function that makes it for this governor, as one
            whose alerts go to :meth:`alerted`; in memory where not given.
        kill_switch: What was killed; in this process where not given.
        approvals: Requests to people; in memory where not given.
        record: Where decisions are written down; in memory where not given.
        clock: The time; the machine's where not given.
        modes: The modes that runs may have. ``observe`` lets denied calls run, so it has
            to be named, and is logged as a warning.
        tools: Governed functions that are known from the start.
        limits: How large the arguments of one call may be.
        secrets: Says for which secrets in its arguments a call is refused; None for none.
        alerts: Tells people; None to log and record alone.
        prices: What models cost; the published prices where not given.
        directory: Where runs are listed for other processes to see; nowhere where not given.
        breakers: What stops a run that loops, fails or spends too fast; None where nothing is to.
        tokens: Signs what carries a run into another process; None where none is carried.
        closing: Called by :meth:`close`, as what ends the engine's threads and connections.
        budgets: The accounts that runs share; None for none but the runs' own. Configuration
            has defaults for them, a governor built by hand has what it is given.
        approval_link: Where people see an approval request, with ``{id}``; it goes into notices.

    Raises:
        ConfigError: something does not fit, as two tools of one name.
    """

    def __init__(  # noqa: PLR0913  # the services, each by its name
        self,
        *,
        engine: ports.PolicyEngine,
        register: ports.Register,
        environment: str,
        ledger: ports.Ledger | Callable[[Governor], ports.Ledger | None] | None = None,
        kill_switch: ports.KillSwitch | None = None,
        approvals: ports.Approvals | None = None,
        record: ports.Record | None = None,
        clock: ports.Clock | None = None,
        modes: Iterable[str] = (Mode.ENFORCE, Mode.SHADOW),
        tools: Iterable[Callable[..., Any]] = (),
        limits: Limits = DEFAULT_LIMITS,
        secrets: ports.SecretGuard | None = None,
        alerts: ports.Alerts | None = None,
        prices: ports.Prices | None = None,
        directory: RunDirectory | None = None,
        breakers: Breakers | None = None,
        tokens: RunTokens | None = None,
        closing: Iterable[Callable[[], object]] = (),
        afterwards: Iterable[Callable[[], object]] = (),
        budgets: BudgetPlan | None = None,
        approval_link: str = "",
        telemetry: Telemetry | None = None,
    ) -> None:
        self.engine = engine
        self.register = register
        self.environment = environment
        self.limits = limits
        self.secrets = secrets
        self._closing, self._afterwards = tuple(closing), tuple(afterwards)
        self.clock = clock if clock is not None else SystemClock()
        self.record = record if record is not None else MemoryRecord()
        self.budgets = budgets if budgets is not None else BudgetPlan()
        self.alerts = alerts
        if alerts is not None:
            alerts.subscribe(self._undelivered)
        self._runs: WeakValueDictionary[str, Run] = WeakValueDictionary()
        self._teller = Teller(
            alerts,
            register=register,
            clock=self.clock,
            environment=environment,
            agent_of=self._agent_of,
            link=approval_link,
        )
        self.notify = self._teller.tell  # tells people of anything else, as of a divergence
        self.ledger = self._ledger(ledger)
        self.kill_switch = kill_switch if kill_switch is not None else MemoryKillSwitch()
        self.approvals = (
            approvals if approvals is not None else ApprovalService(MemoryRequests(), self.clock)
        )
        self.approvals.subscribe(self._approval_changed)
        self.telemetry = telemetry or Telemetry(environment=environment)
        self.telemetry.watch_pending(lambda: len(self.approvals.list(ApprovalState.PENDING)))
        self.prices = prices if prices is not None else PriceList()
        self.directory = directory
        self.nursery = Nursery()
        self.in_flight = InFlight(self.kill_switch)
        self.kill_switch.subscribe(self._killed, here=True)
        self.breakers = breakers
        self._tokens = tokens
        self.modes = frozenset(Mode(mode) for mode in modes)
        self._tools: dict[str, Tool] = {}
        load_validators()
        self._claiming = threading.RLock()  # reentrant: a signal handler may call tools, too
        if Mode.OBSERVE in self.modes:
            _log.warning(
                "mode `observe` is permitted in environment `%s`: "
                "runs in it execute calls that policy denies",
                environment,
            )
        for function in tools:
            tool = tool_of(function)
            if tool is None:
                msg = f"Governor(tools=…): {function!r} is not governed; decorate it first"
                raise ConfigError(msg)
            self.claim(tool.facts.name, tool)

    def run(  # noqa: PLR0913  # the words of a run, each by its name
        self,
        agent: str,
        *,
        budget: Budget | None = None,
        principal: str | None = None,
        labels: Iterable[str] | None = None,
        mode: str | None = None,
        id: str | None = None,
        wait: float | None = None,
    ) -> RunScope:
        """A run of `agent`, for ``with`` or ``async with``; inside a run, a child of it.

        Args:
            agent: The agent's id in the register.
            budget: The run's limits, never more than the register grants; None for the
                register's. In a child it is a cap besides the parent's limits.
            principal: On whose behalf; a child inherits it.
            labels: Words for policy.
            mode: ``shadow`` to withhold what is no read; ``observe`` where configuration
                permits it; None for enforcement, or the parent's mode.
            id: The run's id; None for a new one. A closed run leaves nothing behind: its
                id given again is a new run with a new budget. A run whose process died goes on
                under its id with what it had spent, where processes share their state.
            wait: Seconds that a call waits for an approval; None to raise
                ``ApprovalPending`` at once.

        Raises:
            ConfigError: there is no such agent, or an argument is wrong.
            CallDenied: the parent's agent may not delegate to this one, another principal
                is named, or there is no budget.
            RunClosed: the current run has ended.
        """
        parent = current_run()
        if parent is not None:
            if cast("object", parent.governor) is not self:
                msg = "a run is open under another governor; leave it first, or use its governor"
                raise ConfigError(msg)
            if parent.is_closed:
                msg = f"run {parent.id} has ended; it opens no further runs"
                raise RunClosed(msg, run_id=parent.id, agent=parent.agent.id)
        entry = self.register.agent(agent)
        chosen = id_of(id)
        whose = principal_of(principal, parent)
        words = labels_of(labels)
        run_id = chosen or new_id()
        run = Run(
            id=run_id,
            agent=facts_of(entry, self.environment),
            governor=self,
            budget=budget_of(entry, self.environment, budget, parent),
            principal=whose,
            labels=words,
            mode=mode_of(mode, parent, self.modes, Mode.ENFORCE),
            wait=wait_of(wait, parent),
            parent=parent,
            narrowed_by=narrowing(self.register, entry, parent),
            breakers=self._breakers_of(run_id),
            terms=self.budgets.terms_for(
                Standing(entry.id, self.environment, whose, frozenset((*words, *entry.labels)))
            ),
            named=chosen is not None,
        )
        run.telemetry = self.telemetry.for_run(run.id, run.agent, run.mode)
        self._runs[run.id] = run
        if self.directory is None:
            return RunScope(run)
        return RunScope(run, self.directory.listing(run, self.engine.revision, self._tools))

    def decide(
        self,
        tool: Callable[..., Any] | str,
        args: Mapping[str, Any],
        run: Run | None = None,
    ) -> Decision:
        """The decision about a call with these arguments; nothing is executed, spent or asked.

        Args:
            tool: The governed function, or the name of one that this governor knows.
            args: The arguments by name.
            run: The run it would be made in; None for the current one.

        Raises:
            Refusal: there is no decision, as where the arguments do not fit.
            ConfigError: there is no such tool.
        """
        return dry_run.decide(self.tool(tool), args, run if run is not None else current_run())

    def resume_call(self, request_id: str, *, hidden: Mapping[str, Any] | None = None) -> Any:
        """What an approved call gives, made here in the place of its agent; once, whoever tries.

        Its run is opened again with the same agent, principal, labels and mode, and the call goes
        the way of every call: a denial, a kill, a budget hold. Where its arguments were edited,
        the call with the new ones is made. (:meth:`resume` lifts a kill.)

        Args:
            request_id: The approved request.
            hidden: The values of hidden parameters, which are not stored.

        Raises:
            Refusal: it did not run; :class:`ApprovalRejected` where it was used before.
            ConfigError: there is no such tool here, or it cannot be resumed; its run is open in
                another process, or another one here; it is a coroutine function.
        """
        call = self._resumed(request_id, hidden)
        if call.is_async:
            name = call.tool.facts.name
            msg = f"`{name}` is a coroutine function; await resume_call_async(…)"
            raise ConfigError(msg)
        with self._place_of(call):
            return invoke.make(call)

    async def resume_call_async(
        self, request_id: str, *, hidden: Mapping[str, Any] | None = None
    ) -> Any:
        """As :meth:`resume_call`, for coroutine functions, and plain ones, on an event loop."""
        call = self._resumed(request_id, hidden)
        with self._place_of(call):
            return (await invoke.make_async(call)) if call.is_async else invoke.make(call)

    def kill(self, target: str | Scope, *, reason: str, by: str = "operator") -> Kill:
        """Stop everything in `target`: no further call starts, async work in flight is cancelled.

        Args:
            target: ``all``, ``env/NAME``, ``agent/ID``, ``agent/ID@VERSION``, ``run/ID``
                (with its children) or ``tool/NAME``.
            reason: Why; the stopped runs carry it.
            by: Who did it.

        Raises:
            ValueError: `target` names nothing that can be killed.
        """
        scope = Scope.parse(target) if isinstance(target, str) else target
        return self.kill_switch.kill(scope, reason=reason, by=by)

    def resume(self, target: str | Scope, *, reason: str, by: str = "operator") -> None:
        """Lift a kill. A run that was killed never resumes.

        It is recorded before it is done: what cannot be recorded stays killed.

        Raises:
            ValueError: `target` names nothing that can be killed.
            GuardrailsError: it was not killed, or is a run; or it could not be recorded.
        """
        scope = Scope.parse(target) if isinstance(target, str) else target
        said = {"scope": str(scope), "reason": reason, "by": by}
        killed = any(kill.scope == scope for kill in self.kill_switch.active())
        if killed and scope.kind != "run":  # else the switch says below why it cannot be
            self._write("resume", **said)
        try:
            self.kill_switch.resume(scope, reason=reason, by=by)
        except Exception:
            if killed:
                self._write("resume.failed", **said)
            raise

    def run_token(self, run: Run | None = None, *, expires_in: float = 300) -> str:
        """A signed text with which another process of this machine can join a run.

        Hand it over in the environment of that process, under ``GUARDRAILS_RUN_TOKEN``; there
        :meth:`join_run` opens the run. Several processes may join with one token.

        Args:
            run: The run; None for the current one.
            expires_in: Seconds within which a process has to join; a day at most.

        Raises:
            NoActiveRun: there is no run.
            RunClosed, RunKilled, BreakerTripped: it takes no further calls.
            StateUnavailable: its account, or the key, is in this process alone.
        """
        run = run if run is not None else current_run()
        if run is None:
            msg = "there is no run to carry; open one with `guardrails.run(...)`"
            raise NoActiveRun(msg)
        token = token_of(run, self._tokens, expires_in)
        self._write("run.shared", run=run.id, expires_in=expires_in)
        return token

    def join_run(self, token: str | None = None) -> RunScope:
        """The run that `token` carries here, for ``with``: the same agent, budget, mode, kills.

        Leaving it leaves the run open where it was opened; once it has ended there, calls
        here are refused.

        Args:
            token: What :meth:`run_token` gave; None to take ``GUARDRAILS_RUN_TOKEN``.

        Raises:
            NoActiveRun: there is no token.
            CallDenied: the token is not good here and now.
            RunClosed: on entry: the run has ended.
            StateUnavailable: ledger or key are this process's alone.
        """
        token = os.environ.get(VARIABLE) if token is None else token
        if not token:
            msg = f"no run was carried into this process: {VARIABLE} is not set"
            raise NoActiveRun(msg, hint="set it to `guardrails.run_token()` of the run to join")
        if self._tokens is None:
            msg = "no run can be joined here: there is no key to check its token"
            raise StateUnavailable(msg, hint="name a directory under `state` in guardrails.yaml")
        claims = self._tokens.read(token, environment=self.environment, now_ns=self.clock.now_ns())
        run = joined_run(
            claims,
            governor=self,
            register=self.register,
            environment=self.environment,
            modes=self.modes,
            breakers=self._breakers_of(claims.chain[-1].run),
        )
        run.telemetry = self.telemetry.for_run(run.id, run.agent, run.mode, trace=claims.trace)
        self._runs[run.id] = run
        return RunScope(run, None if self.directory is None else self.directory.join(run.id))

    def reset_breakers(self, run_id: str, *, reason: str, by: str = "operator") -> None:
        """Let a run of this process that a breaker stopped go on; its breakers begin anew.

        Args:
            run_id: The run that was stopped, as the refusal names it.
            reason: Why that is right; it is recorded.
            by: Who did it.

        Raises:
            ConfigError: no such run is at work in this process, or it has no breakers.
        """
        run = self._runs.get(run_id)
        if run is None or run.is_closed or run.breakers is None:
            known = ", ".join(f"`{each}`" for each in sorted(self._runs)) or "none"
            msg = f"no run `{run_id}` with breakers is at work in this process; at work are {known}"
            raise ConfigError(msg)
        self._write("breaker.reset", run=run_id, reason=reason, by=by)
        run.breakers.reset()

    def last_breaker_reset(self, run_id: str) -> int:
        """The number of the last reset by an operator elsewhere; 0 for none, or none to be read."""
        if self.directory is None:
            return 0
        try:
            found = self.directory.last_reset(run_id)
        except StateUnavailable:  # the run stays stopped
            return 0
        return 0 if found is None else found.n

    def claim(self, name: str, tool: Tool) -> None:
        """Note that `tool` goes by `name` here.

        Raises:
            ConfigError: another tool has that name.
        """
        known = self._tools.get(name)
        if known is tool:
            return
        with self._claiming:
            known = self._tools.setdefault(name, tool)
            if known.identity != tool.identity:
                msg = (
                    f"two tools are called `{name}`: {known} and {tool}; policy could not tell "
                    "them apart, give one another name: @governed_tool(name=…)"
                )
                raise ConfigError(msg)
            self._tools[name] = tool

    def close(self) -> None:
        """End the engine, give back what is held of shared accounts, tell people, close the record.

        Runs that are still open can make no further calls.
        """
        with ExitStack() as stack:
            # A stack ends all of them, also where one raises; the last that is named here first.
            for end in self._afterwards:
                stack.callback(end)
            stack.callback(self.record.close)
            if self.alerts is not None:
                stack.callback(self.alerts.close)
            stack.callback(self.ledger.close)
            stack.callback(self.nursery.close)
            for end in self._closing:
                stack.callback(end)

    def _breakers_of(self, run_id: str) -> RunBreakers | None:
        if self.breakers is None:
            return None
        return RunBreakers(run_id, self.breakers, self.clock.monotonic)

    def _resumed(self, request_id: str, hidden: Mapping[str, Any] | None) -> Call:
        request = self.approvals.latest(request_id)
        resuming.check(request)
        return resuming.call_of(self.tool(request.tool), request, hidden or {}, new_id())

    def _place_of(self, call: Call) -> AbstractContextManager[None]:
        return reopened(self, resuming.of(call), self._runs, self.directory)

    def tool(self, tool: Callable[..., Any] | str) -> Tool:
        """What is known of a governed function, or of one that this governor knows by name.

        Raises:
            ConfigError: there is no such tool.
        """
        found = self._tools.get(tool) if isinstance(tool, str) else tool_of(tool)
        if found is None:
            known = ", ".join(f"`{name}`" for name in sorted(self._tools)) or "none"
            msg = f"{tool!r} is no governed tool that this governor knows; known are {known}"
            raise ConfigError(msg)
        return found

    def _killed(self, kill: Kill) -> None:
        _log.warning("%s was killed by %s: %s", kill.scope, kill.by, kill.reason)
        try:
            self._write("kill", scope=str(kill.scope), reason=kill.reason, by=kill.by)
        except Exception:  # noqa: BLE001  # see below
            # The kill is in force and must stay so, recorded or not.
            _log.exception("the kill of %s could not be recorded", kill.scope)
        self._teller.killed(kill)

    def alerted(self, alert: Alert) -> None:
        """Log and record that a part of a limit is used; what ledgers are told to call."""
        _log.warning("%s", alert)
        facts = alert.document()
        try:
            now, run_id = self.clock.now_ns(), alert.run_id or None
            self.record.write(Event("alert", now, run_id=run_id, detail=facts))
        finally:
            self._teller.used(str(alert), alert.account, alert.percent, facts, alert.run_id)

    def _agent_of(self, run_id: str) -> str | None:
        run = self._runs.get(run_id)
        return None if run is None else run.agent.id

    def _undelivered(self, undelivered: Undelivered) -> None:
        self._write("alert.undelivered", **undelivered.document())

    def acted(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Log and record what was done to an account, as that a crashed process was charged."""
        said = " ".join(f"{name}={exact_json(value)}" for name, value in detail.items())
        _log.warning("%s %s", kind, said)
        self._write(kind, **detail)

    def _ledger(
        self, given: ports.Ledger | Callable[[Governor], ports.Ledger | None] | None
    ) -> ports.Ledger:
        ledger = given if given is None or isinstance(given, Ledger) else given(self)
        if ledger is None:
            zone = self.budgets.time_zone
            return MemoryLedger(self.alerted, clock=self.clock, time_zone=zone)
        return ledger

    def _approval_changed(self, request: ApprovalRequest, step: str) -> None:
        self.record.write(event_of(request, step))
        self._teller.asked(request, step)

    def _write(self, kind: str, **detail: Any) -> None:
        self.record.write(Event(kind, self.clock.now_ns(), detail=detail))
