"""``guardrails.yaml``: where policies, agents and the record are, and what is permitted here.

::

    environment: prod            # must be given; agents cannot choose it
    agents: agents.yaml          # the register
    library: true                # the shipped policy library is the base layer
    presets: [read_only]         # packs of the shipped library
    policies: policies           # the project's own, one directory or a list; on top of the library
    modes: [enforce, shadow]     # `observe` lets denied calls run, so it has to be named
    planner: regopy              # or opa
    opa: .tools/opa              # the binary, where it is not on PATH
    record: .guardrails/record   # null: kept in memory alone; see `config/record.py`
    approvers: approvers.yaml    # who may answer; else the program vouches for them
    escalation: {finance-ops: [{after: 30m, to: finance-leads}]}    # of unanswered requests
    state: .guardrails           # what the processes of this machine share; null: nothing
    runs: {keep: 7d, at_most: 10000}      # for how long, and how many, ended runs are listed
    limits: {depth: 64, nodes: 10000, bytes: 1048576}    # of a call's arguments
    alerts: {…}                  # whom to tell; see `config/alerts.py`
    prices: {…}                  # what models cost; see `config/prices.py`
    budgets: {…}                 # what runs may spend together; see `config/budgets.py`
    breakers: {…}                # when a run that loops is stopped; see `config/breakers.py`
    server: {…}                  # of `guardrails serve`; see `config/server.py`
    telemetry: {…}               # what OpenTelemetry is told; see `config/telemetry.py`
    candidate: {policy: policies-next}    # tried beside, decides nothing; `config/candidate.py`

The engine's keys are in ``config/engine.py``. Environment variables may say where things are,
and what the file leaves open: ``config/variables.py``.

Only ``environment`` must be there; the other values above except ``presets``,
``policies``, ``opa``, ``approvers``, ``escalation``, ``alerts``, ``prices``, ``server`` and
``candidate`` are what holds when they are not. Paths are relative to the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from guardrails.config.alerts import SinkConfig, WrittenAlerts, alert_problems, sinks_of
from guardrails.config.breakers import BreakersSection
from guardrails.config.budgets import Budgets
from guardrails.config.candidate import CandidateConfig, WrittenCandidate, candidate_config
from guardrails.config.engine import (
    DEFAULT_ENGINE,
    Engine,
    EngineConfig,
    Reload,
    WrittenSidecar,
    WrittenVerified,
    engine_of,
    engine_problems,
    engine_warnings,
)
from guardrails.config.escalation import EscalationSteps, escalation_of
from guardrails.config.kept_runs import DEFAULT_KEPT_RUNS, KeptRuns
from guardrails.config.prices import WrittenPrices
from guardrails.config.record import Record, record_problem
from guardrails.config.server import ServerConfig, WrittenServer, server_of, server_problems
from guardrails.config.telemetry import TelemetrySection
from guardrails.config.variables import Setting, overlaid
from guardrails.errors import ConfigError
from guardrails.model.breakers import DEFAULT_BREAKERS, Breakers
from guardrails.model.budget_plan import BudgetPlan
from guardrails.model.facts import Mode
from guardrails.model.limits import DEFAULT_LIMITS, Limits
from guardrails.pricing.price_list import PriceList
from guardrails.register.source import (
    Mapped,
    Problem,
    Source,
    SourceError,
    field_names,
    nearest,
    quoted,
    shown,
)
from guardrails.register.words import (  # pydantic reads them at run time
    EnvironmentName,
    Listed,
    Name,
    OneOrMany,
    Some,
    Text,
)
from guardrails.register.yaml_source import read_yaml
from guardrails.resources import policies_directory
from guardrails.telemetry.settings import DEFAULT_SETTINGS, OFF, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.model.approval import Escalation
    from guardrails.model.record_plan import RecordPlan
    from guardrails.register.source import KeyPath

FILE_NAME: Final = "guardrails.yaml"
"""The file that is looked for."""

VARIABLE: Final = "GUARDRAILS_CONFIG"
"""The environment variable that names another file."""

_MODES: Final = tuple(mode.value for mode in Mode)
_PLANNERS: Final = ("regopy", "opa")


@dataclass(frozen=True, slots=True)
class Config:
    """What a ``guardrails.yaml`` says; all paths are absolute.

    Attributes:
        file: The file itself.
        environment: Where this process runs.
        agents: The register.
        library: Whether the shipped policy library is the base layer.
        presets: Packs of the shipped library that are added.
        policies: The project's own policies, in their order.
        modes: The modes that runs may have.
        planner: ``regopy`` or ``opa``.
        opa: The OPA binary; None to look on ``PATH``.
        record: Where the record is, and how safe; None to keep it in memory alone.
        approvers: The people who may answer requests, with their keys; None where the program
            itself vouches for whoever answers.
        escalation: Whom an unanswered request is put to besides, and when.
        state: The directory of what the processes of this machine share: budgets, kills, runs;
            None to keep that in memory, each process its own.
        runs: Which ended runs are still listed.
        limits: How large arguments may be.
        alerts: The sinks of notices.
        prices: What models cost.
        engine: Which engine decides, and where its policies come from.
        settings: What environment variables say.
        warnings: What else is to be said about the configuration.
        breakers: What stops a run that loops, fails or spends too fast; None where nothing is to.
        budgets: The accounts that runs share.
        server: What ``guardrails serve`` is made of; None where nothing is served.
        telemetry: What OpenTelemetry is told, where the program uses it.
        candidate: Policies that are tried beside, and decide nothing.
    """

    file: Path
    environment: str
    agents: Path
    library: bool = True
    presets: tuple[str, ...] = ()
    policies: tuple[Path, ...] = ()
    modes: tuple[str, ...] = ("enforce", "shadow")
    planner: Literal["regopy", "opa"] = "regopy"
    opa: Path | None = None
    record: RecordPlan | None = None
    approvers: Path | None = None
    escalation: tuple[Escalation, ...] = ()
    state: Path | None = None
    runs: KeptRuns = DEFAULT_KEPT_RUNS
    limits: Limits = DEFAULT_LIMITS
    alerts: tuple[SinkConfig, ...] = ()
    prices: PriceList = field(default_factory=PriceList, compare=False, repr=False)
    engine: EngineConfig = DEFAULT_ENGINE
    settings: tuple[Setting, ...] = ()
    warnings: tuple[str, ...] = ()
    breakers: Breakers | None = DEFAULT_BREAKERS
    budgets: BudgetPlan = field(default_factory=BudgetPlan)
    server: ServerConfig | None = None
    telemetry: Settings = DEFAULT_SETTINGS
    candidate: CandidateConfig | None = None

    @classmethod
    def find(cls, start: str | Path | None = None) -> Config:
        """The configuration that holds in a directory.

        Args:
            start: The directory; None for the working directory, and then
                ``GUARDRAILS_CONFIG`` comes first.

        Raises:
            ConfigError: there is none, or it is wrong.
        """
        return cls.load(find_file(start))

    @classmethod
    def load(cls, path: str | Path, *, environment: str | None = None) -> Config:
        """The configuration in the file at `path`.

        Args:
            path: The file.
            environment: What it would say in this environment, whichever it names; for tests.

        Raises:
            ConfigError: it cannot be read.
            SourceError: it is wrong, or names what is not there; each problem has its place.
        """
        file = Path(path).absolute()
        warnings: list[str] = []
        source, settings = overlaid(read_yaml(file), field_names(_Written), warnings.append)
        if environment is not None and isinstance(source.value, dict):
            source = replace(
                source,
                value={**source.value, "environment": environment},
                origins={**source.origins, ("environment",): "a test"},
            )
        written = source.validate(_Written)
        problems = list(_missing(written, source, file.parent))
        if problems:
            raise SourceError(problems)
        warnings += map(str, engine_warnings(written, source))
        config = _resolved(written, source, file)
        return replace(config, settings=settings, warnings=tuple(warnings))


def find_file(start: str | Path | None = None) -> Path:
    """The configuration file that holds in a directory; see :meth:`Config.find`.

    Raises:
        ConfigError: there is none.
    """
    named = os.environ.get(VARIABLE) if start is None else None
    if named:
        if not Path(named).is_file():
            raise ConfigError(f"{VARIABLE} names `{named}`, which is no file")
        return Path(named)
    first = Path.cwd() if start is None else Path(start).absolute()
    for directory in (first, *first.parents):
        if (directory / FILE_NAME).is_file():
            return directory / FILE_NAME
    raise ConfigError(
        f"there is no {FILE_NAME} in `{first}` or above it; `guardrails init` makes one, "
        f"and {VARIABLE} can name one elsewhere"
    )


def _mode(value: object) -> object:
    return _one_of(value, _MODES)


def _planner(value: object) -> object:
    return _one_of(value, _PLANNERS)


def _one_of(value: object, known: tuple[str, ...]) -> object:
    if value not in known:
        hint = nearest(str(value), known)
        msg = f"{shown(value)} is not known{hint}; there are {quoted(known)}"
        raise ValueError(msg)
    return value


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _Limits(Mapped):
    depth: Annotated[int, Field(ge=1, le=256)] = DEFAULT_LIMITS.depth
    nodes: Annotated[int, Field(ge=1, le=1_000_000)] = DEFAULT_LIMITS.nodes
    bytes: Annotated[int, Field(ge=1, le=64 << 20)] = DEFAULT_LIMITS.text


class _Written(Mapped):
    """The file as it is written."""

    environment: EnvironmentName
    agents: Text = "agents.yaml"
    library: bool | None = None
    presets: Listed[Name] = ()
    policies: Annotated[Listed[Text], BeforeValidator(_one_or_many), OneOrMany()] = ()
    modes: Some[Annotated[str, BeforeValidator(_mode), WithJsonSchema({"enum": [*_MODES]})]] = (
        "enforce",
        "shadow",
    )
    planner: Annotated[Literal["regopy", "opa"], BeforeValidator(_planner)] = "regopy"
    opa: Text | None = None
    record: Record | None = Field(default=".guardrails/record", validate_default=True)
    approvers: Text | None = None
    escalation: EscalationSteps = Field(default={}, validate_default=True)
    state: Text | None = ".guardrails"
    runs: KeptRuns = DEFAULT_KEPT_RUNS
    limits: _Limits = _Limits()
    alerts: WrittenAlerts = Field(default={}, validate_default=True)
    prices: WrittenPrices = Field(default_factory=WrittenPrices)
    engine: Engine = "in_process"
    sidecar: WrittenSidecar | None = None
    verified: WrittenVerified = WrittenVerified()
    bundle: Text | None = None
    opa_config: Text | None = None
    reload: Reload = None
    breakers: BreakersSection | None = BreakersSection()
    budgets: Budgets = Field(default_factory=Budgets)
    server: WrittenServer | None = None
    telemetry: TelemetrySection | None = TelemetrySection()
    candidate: WrittenCandidate | None = None


WRITTEN: Final[type[Mapped]] = _Written
"""What the file may hold, for its schema."""


def _resolved(written: _Written, source: Source, file: Path) -> Config:
    base = file.parent
    limits = written.limits
    return Config(
        file=file,
        environment=written.environment,
        agents=base / written.agents,
        # A bundle brings all of its policies along.
        library=not _is_bundled(written) if written.library is None else written.library,
        presets=written.presets,
        policies=tuple(base / each for each in written.policies),
        modes=written.modes,
        planner=written.planner,
        opa=None if written.opa is None else base / written.opa,
        record=None if written.record is None else written.record.plan(base),
        approvers=None if written.approvers is None else base / written.approvers,
        escalation=escalation_of(written.escalation),
        state=None if written.state is None else base / written.state,
        runs=written.runs,
        limits=Limits(depth=limits.depth, nodes=limits.nodes, text=limits.bytes),
        alerts=sinks_of(written.alerts, source, base),
        prices=written.prices.price_list(),
        engine=engine_of(written, base),
        breakers=None if written.breakers is None else written.breakers.breakers(),
        budgets=written.budgets.plan(written.environment),
        server=server_of(written.server, base),
        telemetry=OFF if written.telemetry is None else written.telemetry.settings(),
        candidate=candidate_config(written.candidate, base),
    )


def _is_bundled(written: _Written) -> bool:
    return written.bundle is not None


def _missing(written: _Written, source: Source, base: Path) -> Iterator[Problem]:
    """What the file names and is not there."""
    if not (base / written.agents).is_file():
        yield source.problem(
            ("agents",), f"the register `{base / written.agents}` is no file", of_key=True
        )
    wrong = None if written.record is None else record_problem(written.record)
    if wrong is not None:
        yield source.problem(("record", "directory"), wrong)
    if written.approvers is not None and not (base / written.approvers).is_file():
        yield source.problem(("approvers",), f"`{base / written.approvers}` is no file")
    for index, each in enumerate(written.policies):
        path: KeyPath = ("policies", index)
        if not (base / each).exists():
            yield source.problem(path, f"`{base / each}` does not exist")
    if written.opa is not None and not (base / written.opa).is_file():
        yield source.problem(("opa",), f"`{base / written.opa}` is no file")
    if _is_bundled(written):
        for key, is_given in (
            ("library", bool(written.library)),
            ("presets", bool(written.presets)),
            ("policies", bool(written.policies)),
        ):
            if is_given:
                message = "`bundle` holds all policies; leave this out, or the bundle"
                yield source.problem((key,), message, of_key=True)
    elif written.library is False and not written.policies:
        yield source.problem(
            ("library",), "without the library, `policies` must name the project's own"
        )
    if written.candidate is not None and not (base / written.candidate.policy).exists():
        place = base / written.candidate.policy
        yield source.problem(("candidate", "policy"), f"`{place}` does not exist")
    yield from _unknown_presets(written, source)
    yield from alert_problems(written.alerts, source)
    yield from server_problems(written.server, written.approvers, source)
    yield from engine_problems(written, source, base)


def _unknown_presets(written: _Written, source: Source) -> Iterator[Problem]:
    if not written.presets:
        return
    shipped = policies_directory() / "presets"
    known = sorted(each.name for each in shipped.iterdir() if each.is_dir())
    for index, preset in enumerate(written.presets):
        if preset not in known:
            hint = nearest(preset, known)
            message = f"there is no preset `{preset}`{hint}; there are {quoted(known)}"
            yield source.problem(("presets", index), message)
