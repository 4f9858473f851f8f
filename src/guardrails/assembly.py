"""A governor from a configuration: the services that ``guardrails.yaml`` asks for, together."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, cast

from guardrails.approvals import ApprovalService
from guardrails.approvals.stores.memory import MemoryRequests
from guardrails.audit.memory import MemoryRecord
from guardrails.clock import SystemClock
from guardrails.errors import ConfigError, NoActiveRun
from guardrails.governor import Governor
from guardrails.model.notice import NoticeKind
from guardrails.runs.context import current_run
from guardrails.runs.run_token import RunTokens
from guardrails.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from guardrails import ports
    from guardrails.activations import Activations
    from guardrails.audit.redaction import Redaction
    from guardrails.config import Config
    from guardrails.config.approvers import ApproversFile
    from guardrails.engines.verified import Divergence
    from guardrails.model.budget import Budget
    from guardrails.register import Register
    from guardrails.runs.directory import RunDirectory
    from guardrails.runs.kill_shared import SharedKillSwitch
    from guardrails.runs.scope import RunScope

_log: Final = logging.getLogger("guardrails")


def load_governor(
    path: str | Path | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    tools: Iterable[Callable[..., Any]] = (),
) -> Governor:
    """The governor that a ``guardrails.yaml`` describes.

    Args:
        path: The file; None to take ``GUARDRAILS_CONFIG``, else to look for it upward from
            the working directory.
        data: What the program itself knows and policies read below ``data.guardrails_data``,
            as ``{"accounts": …}``; not ``agents``, which the register gives.
        tools: Governed functions that are known from the start, as those that this process
            resumes calls of.

    Raises:
        ConfigError: there is none, or it or the register is wrong.
        PolicyLoadError: the policies cannot be used.
    """
    # Only here, since a program that builds its own governor needs neither YAML nor Rego.
    from guardrails.alerts.dispatcher import Dispatcher  # noqa: PLC0415  # as above
    from guardrails.config import Config  # noqa: PLC0415  # as above
    from guardrails.config.layers import policy_files  # noqa: PLC0415  # as above
    from guardrails.decider import make_decider  # noqa: PLC0415  # as above
    from guardrails.divergences import notice_of, recorder  # noqa: PLC0415  # as above
    from guardrails.opa_reports import OpaReports  # noqa: PLC0415  # as above
    from guardrails.register import Register  # noqa: PLC0415  # as above
    from guardrails.trial import with_candidate  # noqa: PLC0415  # as above

    clock = SystemClock()
    config = Config.find() if path is None else Config.load(path)
    register = Register.load(config.agents)
    given = dict(data or {})
    if "agents" in given:
        msg = "load_governor: data: `agents` comes from the register, not from the program"
        raise ConfigError(msg)
    _require_known_agents(config, register)
    _tell(config)
    telemetry = Telemetry(config.telemetry, environment=config.environment)
    record, redaction = _record_of(config)
    write = recorder(record, clock)
    acts = activations_of(config, record, register, clock)

    def diverged(found: Divergence) -> None:
        # None is found before there is a governor, by which calls are decided.
        try:
            write(found)
        finally:
            telemetry.diverged()
            governor.notify(NoticeKind.DIVERGENCE, **notice_of(found))

    decider = make_decider(
        config,
        policy_files(config),
        lambda: {**given, "agents": register.policy_data()},
        report=diverged,
        clock=clock,
        activating=acts.policies,
    )
    with ExitStack() as opened:
        opened.callback(decider.close)
        switch = kill_switch_of(config)
        if switch is not None:
            opened.callback(switch.close)
        directory = directory_of(config)
        if directory is not None:
            opened.callback(directory.close)
        approvals = approval_service(config, clock)
        opened.callback(approvals.close)
        routes = [sink.route(clock) for sink in config.alerts]
        reports = OpaReports(config, decider.opa, decider.in_process, decider.bundles, clock)
        opened.callback(reports.end)
        alerts = Dispatcher(routes) if routes else None
        _watch_queues(telemetry, verified=decider.verified, alerts=alerts, record=record)
        governor = Governor(
            engine=with_candidate(
                decider.engine, config, given, record=record, clock=clock, closing=opened.callback
            ),
            register=register,
            environment=config.environment,
            record=record,
            modes=config.modes,
            limits=config.limits,
            secrets=redaction.refused if redaction.recording.refuses else None,
            approvals=approvals,
            clock=clock,
            alerts=alerts,
            prices=config.prices,
            ledger=lambda governor: _ledger(config, governor),
            budgets=config.budgets,
            kill_switch=switch,
            directory=directory,
            breakers=config.breakers,
            tokens=None if config.state is None else RunTokens(config.state),
            tools=tools,
            telemetry=telemetry,
            closing=[opened.pop_all().close],
            afterwards=[reports.rest],
            approval_link="" if config.server is None else config.server.link,
        )
    reports.start()
    return governor


def _record_of(config: Config) -> tuple[ports.Record, Redaction]:
    """The record that a configuration asks for, and what it keeps out of it."""
    from guardrails.audit.opening import open_record, redaction_of  # noqa: PLC0415  # as in load_governor
    from guardrails.audit.redaction import Redaction  # noqa: PLC0415  # as in load_governor

    plan = config.record
    if plan is None:
        redaction = Redaction()
        return MemoryRecord(redaction=redaction), redaction
    redaction = redaction_of(plan)
    return open_record(plan, redaction=redaction), redaction


def _watch_queues(telemetry: Telemetry, **parts: object) -> None:
    """Have telemetry ask each part that has a queue how much waits in it."""
    for name, part in parts.items():
        waiting = getattr(part, "waiting", None)  # a record in memory, or a plain file, has none
        if waiting is not None:
            telemetry.watch_queue(name, waiting)


def _tell(config: Config) -> None:
    """Say what else than the file decides about the configuration: nothing of it is silent."""
    for setting in config.settings:
        # What takes the place of the file's word is louder than what the file leaves open.
        _log.log(logging.INFO if setting.replaces is None else logging.WARNING, "%s", setting)
    for warning in config.warnings:
        _log.warning("%s", warning)


def activations_of(
    config: Config, record: ports.Record, register: Register, clock: ports.Clock
) -> Activations:
    """What archives and records policies as they come into force; register and approvers are.

    Raises:
        ConfigError: the approvers' file is wrong.
        StateUnavailable: they cannot be archived or recorded.
    """
    from guardrails.activations import Activations  # noqa: PLC0415  # as in load_governor
    from guardrails.audit.archive import DIRECTORY, Archive  # noqa: PLC0415  # as in load_governor

    archive = None if config.state is None else Archive(config.state / DIRECTORY)
    acts = Activations(record, archive, clock)
    acts.register(config.agents, register)
    approvers = approvers_of(config)
    if approvers is not None:
        acts.approvers(approvers.path, approvers.current())
    return acts


def approval_service(config: Config, clock: ports.Clock) -> ApprovalService:
    """The requests to people that a configuration names, and who may answer them.

    Raises:
        ConfigError: the approvers' file is wrong.
        StateUnavailable: the file of the requests cannot be used.
    """
    approvers = approvers_of(config)
    if config.state is None:
        return ApprovalService(
            MemoryRequests(), clock, approvers=approvers, escalation=config.escalation
        )
    # Only here: a governor whose state is in memory needs no SQLite.
    from guardrails.approvals.stores.sqlite import SqliteRequests  # noqa: PLC0415  # as above

    table = SqliteRequests(config.state / "approvals.sqlite")
    return ApprovalService(table, clock, approvers=approvers, escalation=config.escalation)


def approvers_of(config: Config) -> ApproversFile | None:
    """The file of who may answer; None where the program itself vouches for them.

    Raises:
        ConfigError: their file is wrong.
    """
    if config.approvers is None:
        return None
    from guardrails.config.approvers import ApproversFile  # noqa: PLC0415  # as in load_governor

    return ApproversFile(config.approvers)


def kill_switch_of(config: Config) -> SharedKillSwitch | None:
    """The machine's kill switch, or None where a configuration shares no state.

    Raises:
        StateUnavailable: it cannot be used.
    """
    from guardrails.runs.kill_shared import SharedKillSwitch  # noqa: PLC0415  # as in load_governor

    return None if config.state is None else SharedKillSwitch(config.state)


def directory_of(config: Config) -> RunDirectory | None:
    """The machine's directory of runs, or None where a configuration shares no state.

    Raises:
        StateUnavailable: it cannot be used.
    """
    from guardrails.runs.directory import RunDirectory  # noqa: PLC0415  # as in load_governor

    if config.state is None:
        return None
    return RunDirectory(config.state, keep=config.runs.keep, at_most=config.runs.at_most)


def _ledger(config: Config, governor: Governor) -> ports.Ledger | None:
    """The ledger of this machine's processes; None for one in memory, each process its own."""
    if config.state is None:
        return None
    from guardrails.runs.ledgers.sqlite import FILE_NAME, SqliteLedger  # noqa: PLC0415  # as above

    plan = config.budgets
    return SqliteLedger(
        config.state / FILE_NAME,
        governor.alerted,
        on_act=governor.acted,
        clock=governor.clock,
        time_zone=plan.time_zone,
        lease=plan.lease,
        on_crash=plan.on_crash,
    )


def _require_known_agents(config: Config, register: Register) -> None:
    named = [("agents", name) for name in config.budgets.agents]
    for account, (match, _) in config.budgets.accounts.items():
        named += [(f"accounts.{account}.match.agents", name) for name in sorted(match.agents)]
    for place, name in named:
        if name not in register.entries:
            known = ", ".join(f"`{each}`" for each in sorted(register.entries))
            msg = f"{config.file}: budgets.{place}: there is no agent `{name}`; there are {known}"
            raise ConfigError(msg)


_default: Governor | None = None
_loading: Final = threading.Lock()


def default_governor() -> Governor:
    """The process's governor, loaded by :func:`load_governor` at first use."""
    global _default  # noqa: PLW0603  # besides the ContextVar the one piece of module state
    if _default is None:
        with _loading:
            if _default is None:
                _default = load_governor()
    return _default


def run(  # noqa: PLR0913  # the words of a run, each by its name
    agent: str,
    *,
    budget: Budget | None = None,
    principal: str | None = None,
    labels: Iterable[str] | None = None,
    mode: str | None = None,
    id: str | None = None,
    wait: float | None = None,
    governor: Governor | None = None,
) -> RunScope:
    """A run of `agent` under `governor`, else the current run's, else the default one.

    Everything else is as :meth:`Governor.run` says.
    """
    governor = governor if governor is not None else _governor_of_here()
    return governor.run(
        agent, budget=budget, principal=principal, labels=labels, mode=mode, id=id, wait=wait
    )


def run_token(*, expires_in: float = 300) -> str:
    """A signed text with which another process can join the current run; see :func:`join_run`.

    It goes into that process's environment, under ``GUARDRAILS_RUN_TOKEN``. Everything else is
    as :meth:`Governor.run_token` says.
    """
    if current_run() is None:
        msg = "there is no run to carry; open one with `guardrails.run(...)`"
        raise NoActiveRun(msg)
    return _governor_of_here().run_token(expires_in=expires_in)


def join_run(token: str | None = None, *, governor: Governor | None = None) -> RunScope:
    """The run that was carried into this process, for ``with``; under the default governor.

    Everything else is as :meth:`Governor.join_run` says.
    """
    return (governor if governor is not None else _governor_of_here()).join_run(token)


def _governor_of_here() -> Governor:
    current = current_run()
    # A run knows its governor as a port; only governors open runs.
    return (
        default_governor()
        if current is None
        else cast("Governor", cast("object", current.governor))
    )
