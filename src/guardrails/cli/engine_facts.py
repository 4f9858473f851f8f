"""What decides about calls here: what is configured, reachable, active, how old, and what if not.

For ``doctor``, which loads and asks everything, and for ``status``, which only looks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.reading import read
from guardrails.cli.moments import ago
from guardrails.cli.policy_sources import nearby
from guardrails.clock import SystemClock
from guardrails.config.layers import policy_files
from guardrails.decider import make_sidecar, opa_config_of
from guardrails.divergences import KIND
from guardrails.engines.agreement import are_comparable
from guardrails.engines.bundled import start_bundled_engine
from guardrails.engines.bundled_agents import BundledAgents
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.probe import PROBE
from guardrails.engines.source import BundleFile
from guardrails.errors import EvaluationError, GuardrailsError, PolicyUnavailable
from guardrails.model.decision import MalformedDecision
from guardrails.opa.bundles.board import posted
from guardrails.opa.bundles.persistence import BundleStore
from guardrails.opa.bundles.service import BundleService
from guardrails.opa.version import objection
from guardrails.register import Register
from guardrails.register.source import printable
from guardrails.rego.program import Interpreted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from guardrails.config import Config
    from guardrails.engines.sidecar import SidecarEngine, SidecarStatus
    from guardrails.opa.bundles.board import Posted
    from guardrails.opa.bundles.status import BundleStatus
    from guardrails.opa.config import OpaConfig

_DIGEST: Final = 12
"""Digits of a digest that are shown."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What decides, and how it stands.

    Attributes:
        engine: ``in_process``, ``sidecar`` or ``verified``.
        policies: Where the policies of this process come from; empty where it has none.
        changed_ns: When they last changed on disk, in UTC nanoseconds.
        revision: Their revision; None where they were not loaded.
        problem: Why they cannot be used; None if they can, or were not loaded.
        modules: How many modules they have; None where they were not loaded.
        interpreted: Why they are interpreted and not compiled; None if they are, or not loaded.
        bundles: How each bundle of a service is.
        kept_ns: When each bundle was last kept on disk.
        processes: What running processes say of their bundles; None where that cannot be seen.
        sidecar: How it stands with the OPA server; None where none is configured.
        sidecar_problem: Why the server cannot be asked as it is configured.
        sidecar_undecided: Why the server does not decide, though it answers.
        comparable: Whether both decide by the same revision, as far as they say; None where
            that is not known.
        divergences: How many the record holds.
        divergences_of_revision: How many of them are of `revision`; None where that is not known.
        last_divergence_ns: When the last was.
        last_divergence_revision: What the last was about; empty where it does not say.
        record_problem: Why the record cannot be read, and divergences are not known.
    """

    engine: str
    policies: str = ""
    changed_ns: int | None = None
    revision: str | None = None
    problem: str | None = None
    modules: int | None = None
    interpreted: str | None = None
    bundles: tuple[BundleStatus, ...] = ()
    kept_ns: Mapping[str, int] | None = None
    processes: tuple[Posted, ...] | None = None
    sidecar: SidecarStatus | None = None
    sidecar_problem: str | None = None
    sidecar_undecided: str | None = None
    comparable: bool | None = None
    divergences: int = 0
    divergences_of_revision: int | None = None
    last_divergence_ns: int | None = None
    last_divergence_revision: str = ""
    record_problem: str | None = None

    @property
    def is_bundled(self) -> bool:
        """Whether the policies of this process are the bundles of services."""
        return self.kept_ns is not None

    @property
    def without_sidecar(self) -> str:
        """What would happen if the OPA server went away now."""
        if self.problem is not None:
            return "no process starts, with it or without: the policies of here cannot be used"
        if self.engine == "in_process":
            return "nothing: calls are decided in this process"
        if self.engine == "verified":
            return (
                "calls are decided in this process, and none is checked; a process that has found"
                " a divergence refuses them"
            )
        if self.sidecar is not None and self.sidecar.on_unavailable == "in_process":
            by = "" if self.revision is None else f", by revision {short(self.revision)}"
            return f"calls are decided in this process{by}, until it answers again"
        return "every call is refused, until it answers again"

    @property
    def has_diverged(self) -> bool:
        """Whether what decides now was found to differ, as far as that is known."""
        here = self.divergences_of_revision
        return self.divergences > 0 if here is None else here > 0

    @property
    def diverged(self) -> str:
        """How many divergences the record holds, of which revision, and when the last was."""
        if self.record_problem is not None:
            return f"not known: {self.record_problem}"
        said = f"{self.divergences} in the record"
        if self.divergences_of_revision is not None:
            said += f", {self.divergences_of_revision} by the revision that decides now"
        if self.last_divergence_ns is not None:
            said += f", the last {ago(self.last_divergence_ns)} ago"
        if self.last_divergence_revision:
            said += f" by revision {short(self.last_divergence_revision)}"
        return said

    def lines(self) -> Iterator[tuple[str, str, bool]]:
        """What ``status`` shows: a word, what there is to say, and whether it is amiss."""
        yield "engine", self.engine, False
        if self.policies:
            age = "" if self.changed_ns is None else f", changed {ago(self.changed_ns)} ago"
            yield "policies", f"{self.policies}{age}", False
        if self.is_bundled:
            yield from self._bundles()
        if self.engine != "in_process":
            yield "OPA", *self._sidecar()
            yield "", f"without it {self.without_sidecar}", False
        if self.divergences or self.record_problem is not None:
            is_amiss = self.has_diverged or self.record_problem is not None
            yield "diverged", self.diverged, is_amiss

    def _bundles(self) -> Iterator[tuple[str, str, bool]]:
        if self.processes is None:
            yield "bundles", "how they are in processes cannot be seen with `state: null`", False
        elif not self.processes:
            yield "bundles", "no process is running that shows how they are", False
        for each in self.processes or ():
            for bundle in each.bundles:
                said = f"{bundle.get('name')} in process {each.process.pid}: "
                said += f"revision {bundle.get('active_revision') or '?'}"
                since = bundle.get("last_successful_activation")
                said += f", active since {since}" if since else ", not active"
                wrong = bundle.get("message")
                said += f"; {wrong}" if wrong else ""
                yield "bundle", printable(said), bool(wrong) or not since

    def _sidecar(self) -> tuple[str, bool]:
        if self.sidecar is None:
            return self.sidecar_problem or "was not asked", self.sidecar_problem is not None
        where = self.sidecar.address
        if self.sidecar.opa_version is None:
            return f"{where}: {self.sidecar.last_error or 'no answer'}", True
        why = objection(self.sidecar.opa_version) or self.sidecar_undecided
        if why is not None:
            return f"{where}: {why}", True
        version, revision = self.sidecar.opa_version, short(self.sidecar.revision)
        return f"{where}: OPA {version}, revision {revision}", False

    def document(self) -> dict[str, Any]:
        """The facts as JSON values."""
        sidecar = self.sidecar
        return {
            "engine": self.engine,
            "policies": self.policies or None,
            "changed_ns": self.changed_ns,
            "revision": self.revision,
            "problem": self.problem,
            "bundles": [each.document() for each in self.bundles],
            "processes": None
            if self.processes is None
            else [
                {"pid": each.process.pid, "at": each.at, "bundles": list(each.bundles)}
                for each in self.processes
            ],
            "sidecar": None
            if sidecar is None
            else {
                "address": sidecar.address,
                "reachable": sidecar.is_reachable,
                "opa_version": sidecar.opa_version,
                "revision": sidecar.revision,
                "error": self.sidecar_undecided or sidecar.last_error,
                "on_unavailable": sidecar.on_unavailable,
            },
            "comparable": self.comparable,
            "divergences": self.divergences,
            "divergences_of_revision": self.divergences_of_revision,
            "last_divergence_ns": self.last_divergence_ns,
            "last_divergence_revision": self.last_divergence_revision or None,
            "record_problem": self.record_problem,
            "without_sidecar": self.without_sidecar,
        }


def short(revision: str) -> str:
    """A revision for people: its digest cut."""
    named, _, digest = revision.rpartition("sha256:")
    return f"{named}{digest[:_DIGEST]}" if digest else revision


def engine_facts(config: Config, *, load: bool, probe: bool = True) -> EngineFacts:
    """What decides by this configuration.

    Args:
        config: The configuration.
        load: Whether to load the policies of this process, and ask for bundles.
        probe: Whether to ask the OPA server. It is asked for one decision.

    Raises:
        ConfigError: the register or OPA's configuration is wrong.
    """
    wanted = config.engine
    facts: dict[str, Any] = {"engine": wanted.name}
    if wanted.decides_here:
        opa = opa_config_of(config)
        facts |= _policies(config, opa)
        if load:
            facts |= _loaded(config, opa)
    if wanted.sidecar is not None and probe:
        facts |= _sidecar(config)
    sidecar: SidecarStatus | None = facts.get("sidecar")
    revision: str | None = facts.get("revision")
    if sidecar is not None and sidecar.opa_version is not None and revision is not None:
        facts["comparable"] = are_comparable(revision, sidecar.revision)
    facts |= _divergences(config, revision)
    return EngineFacts(**facts)


def _policies(config: Config, opa: OpaConfig | None) -> dict[str, Any]:
    """Where the policies are, and when they last changed."""
    if opa is not None and opa.bundles:
        store = BundleStore(opa.persistence_directory)
        kept: dict[str, int] = {}
        for bundle in opa.bundles:
            path = store.path(bundle.name)
            if path.is_file():
                kept[bundle.name] = path.stat().st_mtime_ns
        names = ", ".join(bundle.name for bundle in opa.bundles)
        return {
            "policies": f"bundles of {nearby(_path(config.engine.opa_config))}: {names}",
            "kept_ns": kept,
            "changed_ns": max(kept.values(), default=None),
            "processes": None
            if config.state is None
            else posted(config.state, SystemClock().now_ns()),
        }
    if config.engine.bundle is not None:
        roots: tuple[Path, ...] = (config.engine.bundle,)
        said = f"bundle {nearby(config.engine.bundle)}"
    else:
        roots = policy_files(config).layers
        layers = ["library"] if config.library else []
        layers += [f"preset {preset}" for preset in config.presets]
        layers += [str(nearby(path)) for path in config.policies]
        said = " + ".join(layers)
    return {"policies": said, "changed_ns": max(_changes(roots), default=None)}


def _loaded(config: Config, opa: OpaConfig | None) -> dict[str, Any]:
    register = Register.load(nearby(config.agents))
    planner, binary = config.planner, None if config.opa is None else str(config.opa)

    def data() -> dict[str, Any]:
        return {"agents": register.policy_data()}

    service: BundleService | None = None
    try:
        if opa is not None and opa.bundles:
            # Without a store: looking changes nothing on disk.
            looked_at = [replace(each, persist=False) for each in opa.bundles]
            service = BundleService(looked_at)
            engine = start_bundled_engine(service, data, planner=planner, opa=binary, patience=0)
        elif config.engine.bundle is not None:
            bundle = BundleFile(config.engine.bundle, planner=planner, opa=binary)
            engine = InProcessEngine(BundledAgents(bundle), data)
        else:
            engine = InProcessEngine(policy_files(config), data)
    except GuardrailsError as error:
        found: dict[str, Any] = {"problem": str(error).partition("\n")[0]}
    else:
        decider = engine.loaded.decider
        found = {
            "revision": engine.revision,
            "modules": len(engine.loaded.modules),
            "interpreted": decider.reason if isinstance(decider, Interpreted) else None,
        }
    finally:
        if service is not None:
            service.stop()
    if service is not None:
        found["bundles"] = tuple(service.status().values())
    return found


def _sidecar(config: Config) -> dict[str, Any]:
    wanted = config.engine.sidecar
    if wanted is None:
        return {}
    try:
        server = make_sidecar(wanted, fallback=None, clock=SystemClock())
    except GuardrailsError as error:
        return {"sidecar_problem": str(error)}
    try:
        status = server.probe()
        undecided = None if status.opa_version is None else _undecided(server)
    finally:
        server.close()
    # The fallback is the configuration's; nothing is loaded to ask one question.
    return {
        "sidecar_undecided": undecided,
        "sidecar": replace(status, on_unavailable=wanted.on_unavailable),
    }


def _undecided(server: SidecarEngine) -> str | None:
    """Why a server that answers has no decision about a plain call; None if it has."""
    try:
        server.decide(PROBE, "doctor")
    except (EvaluationError, MalformedDecision, PolicyUnavailable) as error:
        return str(error)
    return None


def _divergences(config: Config, revision: str | None) -> dict[str, Any]:
    """What the record says of divergences, and how many are of `revision`, if that is known."""
    if config.record is None:
        return {}
    try:
        if not config.record.path.exists():
            return {}
    except OSError as error:
        return {"record_problem": f"the record cannot be read: {error}"}
    number = of_revision = 0
    last: dict[str, Any] = {}
    try:
        for event in read(config.record.path):
            if event["kind"] == KIND:
                last = event
                number += 1
                # One that does not say may well be of this one.
                of_revision += event.get("revision") in (None, revision)
    except GuardrailsError as error:
        return {"record_problem": str(error)}
    time, its = last.get("time"), last.get("revision")
    return {
        "divergences": number,
        "divergences_of_revision": None if revision is None else of_revision,
        "last_divergence_ns": time if isinstance(time, int) else None,
        "last_divergence_revision": its if isinstance(its, str) else "",
    }


def _changes(roots: tuple[Path, ...]) -> Iterator[int]:
    for root in roots:
        if root.is_file():
            yield root.stat().st_mtime_ns
        for directory, _, names in os.walk(root):
            for name in names:
                if name.endswith((".rego", ".json", ".yaml", ".yml")):
                    yield os.stat(os.path.join(directory, name)).st_mtime_ns  # noqa: PTH116, PTH118  # many


def _path(path: Path | None) -> Path:
    if path is None:
        msg = "no file of OPA's is configured"
        raise ValueError(msg)
    return path


__all__ = ["EngineFacts", "engine_facts", "short"]
