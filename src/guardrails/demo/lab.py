"""Where the scenes play: the examples' own configuration, with everything observed."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import guardrails as gr
from guardrails.audit.memory import MemoryRecord
from guardrails.config import FILE_NAME, Config
from guardrails.demo.calls import Call, calls_of
from guardrails.resources import examples_directory

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from decimal import Decimal
    from pathlib import Path
    from types import ModuleType

    from guardrails import ports
    from guardrails.engines.in_process import InProcessEngine, Loaded
    from guardrails.errors import Finding


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to the engine, and its answer.

    Attributes:
        document: The input.
        decision: What was decided.
        nanoseconds: How long it took.
    """

    document: Mapping[str, Any]
    decision: gr.Decision
    nanoseconds: int


class ObservedEngine:
    """An engine that keeps what it was asked; implements :class:`guardrails.ports.PolicyEngine`."""

    def __init__(self, inner: ports.PolicyEngine) -> None:
        self._inner = inner
        self.asked: list[Asked] = []

    @property
    def revision(self) -> str:
        """The policy revision that decides now."""
        return self._inner.revision

    def decide(self, document: Mapping[str, Any], decision_id: str) -> gr.Decision:
        """The inner engine's decision."""
        started = time.perf_counter_ns()
        decision = self._inner.decide(document, decision_id)
        self.asked.append(Asked(document, decision, time.perf_counter_ns() - started))
        return decision

    async def decide_async(self, document: Mapping[str, Any], decision_id: str) -> gr.Decision:
        """The same for a coroutine."""
        started = time.perf_counter_ns()
        decision = await self._inner.decide_async(document, decision_id)
        self.asked.append(Asked(document, decision, time.perf_counter_ns() - started))
        return decision

    def explain(
        self, document: Mapping[str, Any], rules: Collection[str] = ()
    ) -> Sequence[Finding]:
        """The inner engine's words."""
        return self._inner.explain(document, rules)


@dataclass(frozen=True, slots=True)
class Lab:
    """The services that the scenes use.

    Attributes:
        config: The configuration of the examples.
        governor: Their governor.
        engine: Its engine, observed.
        policies: What that decides with.
        record: Its record.
    """

    config: Config
    governor: gr.Governor
    engine: ObservedEngine
    policies: Loaded
    record: MemoryRecord

    @classmethod
    def open(cls) -> Lab:
        """The examples' governor, built from their configuration.

        Raises:
            ConfigError: the examples are missing, or somebody broke their configuration.
            PolicyLoadError: somebody broke their policies.
        """
        config = Config.load(examples_directory() / FILE_NAME)
        loaded = gr.load_governor(config.file)
        inner = cast("InProcessEngine", loaded.engine)  # what a configuration gives
        engine = ObservedEngine(inner)
        record = MemoryRecord()
        governor = gr.Governor(
            engine=engine,
            register=loaded.register,
            environment=loaded.environment,
            record=record,
            modes=loaded.modes,
            limits=loaded.limits,
        )
        return cls(config, governor, engine, inner.loaded, record)

    @property
    def directory(self) -> Path:
        """Where the examples are."""
        return self.config.file.parent

    @property
    def approvals(self) -> ports.Approvals:
        """The requests to people, with what people do with them."""
        return self.governor.approvals

    def example(self, name: str) -> ModuleType:
        """The example ``NAME.py``, imported.

        Raises:
            ConfigError: there is no such example.
        """
        file = self.directory / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"guardrails_examples.{name}", file)
        if spec is None or spec.loader is None or not file.is_file():
            msg = f"the example `{file}` is missing"
            raise gr.ConfigError(msg)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def dollars(self, agent: str) -> Decimal:
        """What the register lets a run of `agent` spend here.

        Raises:
            ConfigError: somebody took the limit away.
        """
        environment = self.governor.environment
        budget = self.governor.register.agent(agent).budgets.get(environment)
        if budget is None or budget.usd is None:
            msg = f"{self.config.agents}: `{agent}` needs `usd` in its budget for `{environment}`"
            raise gr.ConfigError(msg)
        return budget.usd

    def mark(self) -> int:
        """A place in the record: now."""
        return len(self.record.events)

    def calls(self, since: int = 0) -> list[Call]:
        """The calls whose events were recorded since a :meth:`mark`."""
        return calls_of(self.record.events[since:])
