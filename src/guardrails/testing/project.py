"""A project's own policies, register and limits, for its tests: no state on disk, no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from guardrails.audit.memory import MemoryRecord
from guardrails.audit.redaction import Redaction
from guardrails.config import Config, find_file
from guardrails.config.layers import policy_files
from guardrails.decider import opa_config_of
from guardrails.engines.bundled_agents import BundledAgents
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.source import BundleFile
from guardrails.errors import ConfigError
from guardrails.register import Register
from guardrails.telemetry import Telemetry
from guardrails.telemetry.settings import OFF
from guardrails.testing.answering import Approvers
from guardrails.testing.doubles import FakeClock, RecordingGovernor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """What a ``guardrails.yaml`` says, read once; it makes governors for tests.

    Policies are decided in this process, whatever engine the file names; budgets, approvals,
    kills and the record are in memory; nobody is told of anything.

    Attributes:
        file: The configuration.
        register: The agents.
        engine: What decides; its policies are compiled once.
    """

    file: Path
    register: Register
    engine: InProcessEngine
    _configs: dict[str | None, Config] = field(default_factory=dict, repr=False)

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, data: Mapping[str, Any] | None = None
    ) -> Project:
        """The project that a configuration describes.

        Args:
            path: The file; None to look for it as :func:`guardrails.load_governor` does.
            data: What the program itself gives to policies, as to
                :func:`guardrails.load_governor`.

        Raises:
            ConfigError: there is none, it or the register is wrong, or its policies come from a
                bundle service.
            PolicyLoadError: the policies cannot be used.
        """
        config = Config.load(find_file() if path is None else path)
        register = Register.load(config.agents)
        given = dict(data or {})
        if "agents" in given:
            msg = "data: `agents` comes from the register, not from a test"
            raise ConfigError(msg)
        engine = _engine(config, lambda: {**given, "agents": register.policy_data()})
        return cls(config.file, register, engine, {None: config})

    def config(self, environment: str | None = None) -> Config:
        """What the file says in an environment; None for the one that it names.

        Raises:
            ConfigError: that is no name of an environment.
        """
        if environment not in self._configs:
            self._configs[environment] = Config.load(self.file, environment=environment)
        return self._configs[environment]

    def approvers(self, clock: FakeClock) -> Approvers:
        """The people who may answer.

        Raises:
            ConfigError: the file that names them is wrong.
        """
        config = self.config()
        if config.approvers is None:
            return Approvers(clock, None, config.escalation)
        # Only here: it needs the extra `approvals`.
        from guardrails.config.approvers import ApproversFile  # noqa: PLC0415  # as above

        return Approvers(clock, ApproversFile(config.approvers), config.escalation)

    def governor(
        self,
        *,
        environment: str | None = None,
        clock: FakeClock | None = None,
        approvers: Approvers | None = None,
        tools: Iterable[Callable[..., Any]] = (),
    ) -> RecordingGovernor:
        """A new governor: nothing is spent, killed or asked yet.

        Args:
            environment: Where it is to run; None for the configuration's own environment.
            clock: Its clock; None for a new one.
            approvers: The people who answer; None for nobody but whom the test names.
            tools: Governed functions that it knows from the start.

        Raises:
            ConfigError: the environment is none.
        """
        config = self.config(environment)
        clock = clock if clock is not None else FakeClock()
        approvers = approvers if approvers is not None else self.approvers(clock)
        plan = config.record
        # With a key of its own: the configured one may be a file that is not made yet.
        redaction = Redaction() if plan is None else Redaction(plan.recording)
        return RecordingGovernor(
            engine=self.engine,
            register=self.register,
            environment=config.environment,
            record=MemoryRecord(redaction=redaction),
            secrets=redaction.refused if redaction.recording.refuses else None,
            clock=clock,
            approvals=approvers.service,
            modes=config.modes,
            limits=config.limits,
            prices=config.prices,
            budgets=config.budgets,
            breakers=config.breakers,
            telemetry=Telemetry(OFF, environment=config.environment),
            tools=tools,
        )


def _engine(config: Config, data: Callable[[], Mapping[str, Any]]) -> InProcessEngine:
    opa = opa_config_of(config)
    if opa is not None and opa.bundles:
        msg = (
            f"{config.file}: its policies come from the bundles of `{config.engine.opa_config}`,"
            " and tests ask no bundle service; let them have a guardrails.yaml of their own,"
            " with `policies` or `bundle`"
        )
        raise ConfigError(msg)
    if config.engine.bundle is not None:
        binary = None if config.opa is None else str(config.opa)
        bundle = BundleFile(config.engine.bundle, planner=config.planner, opa=binary)
        return InProcessEngine(BundledAgents(bundle), data)
    return InProcessEngine(policy_files(config), data)
