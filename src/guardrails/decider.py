"""The engine that a configuration asks for, with all that belongs to it, and its end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from guardrails.engines.bundled import start_bundled_engine
from guardrails.engines.bundled_agents import BundledAgents
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.reloading import Reloader
from guardrails.engines.sidecar import SidecarEngine
from guardrails.engines.source import BundleFile
from guardrails.engines.verified import VerifiedEngine
from guardrails.errors import ConfigError
from guardrails.opa.bundles.board import StatusBoard
from guardrails.opa.bundles.persistence import BundleStore
from guardrails.opa.bundles.service import BundleService
from guardrails.opa.config import OpaConfig
from guardrails.opa.tls import TLS
from guardrails.opa.token import Token
from guardrails.register.source import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from guardrails import ports
    from guardrails.config import Config
    from guardrails.config.engine import SidecarConfig
    from guardrails.engines.in_process import Loaded
    from guardrails.engines.layers import PolicyFiles
    from guardrails.engines.verified import Divergence

_log: Final = logging.getLogger("guardrails")


@dataclass(frozen=True, slots=True)
class Decider:
    """What decides, and what it is made of.

    Attributes:
        engine: What governors ask.
        in_process: The engine in this process; None where nothing decides here.
        sidecar: The OPA server; None where none is asked.
        verified: The engine that checks the one by the other; None where nothing is checked.
        bundles: Keeps bundles up to date; None where policies come from files.
        reloader: Reads files again when they change; None where they are read once.
        opa: OPA's own configuration; None where none is named.
    """

    engine: ports.PolicyEngine
    in_process: InProcessEngine | None = None
    sidecar: SidecarEngine | None = None
    verified: VerifiedEngine | None = None
    bundles: BundleService | None = None
    reloader: Reloader | None = field(default=None, compare=False)
    opa: OpaConfig | None = None

    def close(self) -> None:
        """End every thread and connection. Decisions in this process can still be made."""
        if self.reloader is not None:
            self.reloader.close()
        if self.bundles is not None:
            self.bundles.stop()
        if self.verified is not None:
            self.verified.close()
        if self.sidecar is not None:
            self.sidecar.close()


def make_decider(  # noqa: PLR0913  # what an engine is made of, each by its name
    config: Config,
    files: PolicyFiles,
    data: Callable[[], Mapping[str, Any]],
    *,
    report: Callable[[Divergence], None],
    clock: ports.Clock,
    activating: Callable[[Loaded], None] | None = None,
) -> Decider:
    """The engine that `config` asks for.

    Args:
        config: The configuration.
        files: The layers of policies, where they come from directories.
        data: What policies read besides their files, as ``{"agents": …}``; only what decides in
            this process gets it.
        report: Told of each divergence.
        clock: The time.
        activating: Told of policies before they decide in this process.

    Raises:
        ConfigError: the configuration cannot be met.
        PolicyLoadError: policies that are to decide here cannot be used.
    """
    wanted = config.engine
    sidecar = wanted.sidecar
    here: Decider | None = None
    opa = opa_config_of(config)  # also where only OPA reads it: a wrong one is told of at once
    if wanted.decides_here:
        here = _in_process(config, files, data, opa, activating)
    if wanted.name == "in_process" and here is not None:
        return here
    if sidecar is None:
        msg = f"the engine `{wanted.name}` needs `sidecar: {{url: …}}`"
        raise ConfigError(msg)
    inner = None if here is None else here.in_process
    try:
        server = make_sidecar(
            sidecar, fallback=inner if wanted.name == "sidecar" else None, clock=clock
        )
    except ConfigError:
        if here is not None:
            here.close()
        raise
    parts = here or Decider(server)
    if wanted.name == "sidecar" or inner is None:
        return Decider(server, inner, server, None, parts.bundles, parts.reloader, opa)
    verified = VerifiedEngine(
        inner,
        server,
        share=wanted.share,
        refusals=wanted.refusals,
        report=report,
    )
    return Decider(verified, inner, server, verified, parts.bundles, parts.reloader, opa)


def make_sidecar(
    config: SidecarConfig, *, fallback: ports.PolicyEngine | None, clock: ports.Clock
) -> SidecarEngine:
    """The engine that asks the OPA server of a configuration. It does not connect yet.

    Raises:
        ConfigError: the settings do not go together, or a file of them cannot be used.
    """
    return SidecarEngine(
        config.url,
        deadline=config.deadline,
        token=token_of(config),
        tls=tls_of(config),
        fallback=fallback,
        clock=clock,
    )


def token_of(config: SidecarConfig) -> Token | None:
    """The bearer token that the server is shown."""
    if config.token_file is not None:
        return Token.of_file(config.token_file)
    return None if config.token_env is None else Token.of_environment(config.token_env)


def tls_of(config: SidecarConfig) -> TLS | None:
    """Whom to trust, and who this is; None for the system's certificates."""
    files = [None if each is None else str(each) for each in (config.ca, config.cert, config.key)]
    return TLS(*files) if any(files) else None


def opa_config_of(config: Config) -> OpaConfig | None:
    """OPA's own configuration, where one is named.

    Raises:
        ConfigError: it is wrong, or policies that are to decide here come from where nothing is
            read here: without them others would decide.
    """
    path = config.engine.opa_config
    if path is None:
        return None
    opa = OpaConfig.load(path)
    if config.engine.decides_here:
        if opa.elsewhere:
            raise SourceError(opa.elsewhere)
        none = opa.without_bundles
        if none is not None and not config.policies:
            said = f"{none.message}, and `{config.file}` names no `policies`; give one of them"
            raise SourceError([none._replace(message=said)])
    return opa


def _in_process(
    config: Config,
    files: PolicyFiles,
    data: Callable[[], Mapping[str, Any]],
    opa: OpaConfig | None,
    activating: Callable[[Loaded], None] | None,
) -> Decider:
    wanted = config.engine
    for finding in () if opa is None else opa.findings:
        _log.warning("%s", finding)
    if opa is not None and opa.bundles:
        _refuse_layers(config)
        service = BundleService(
            opa.bundles,
            store=BundleStore(opa.persistence_directory),
            board=None if config.state is None else StatusBoard(config.state),
        )
        engine = start_bundled_engine(
            service, data, planner=config.planner, opa=_opa(config), activating=activating
        )
        return Decider(engine, engine, bundles=service, opa=opa)
    if wanted.bundle is not None:
        bundle = BundleFile(wanted.bundle, planner=config.planner, opa=_opa(config))
        engine = InProcessEngine(BundledAgents(bundle), data, activating=activating)
        roots: tuple[Path, ...] = (wanted.bundle,)
    else:
        engine = InProcessEngine(files, data, activating=activating)
        roots = files.layers
    if wanted.reload is None:
        return Decider(engine, engine, opa=opa)
    reloader = Reloader(engine.reload, roots, seconds=wanted.reload)
    return Decider(engine, engine, reloader=reloader, opa=opa)


def _refuse_layers(config: Config) -> None:
    if config.policies or config.presets:
        msg = (
            f"{config.file}: policies come from the bundles of `{config.engine.opa_config}`, which"
            " hold all of them; leave `policies` and `presets` out"
        )
        raise ConfigError(msg)


def _opa(config: Config) -> str | None:
    return None if config.opa is None else str(config.opa)


__all__ = [
    "Decider",
    "make_decider",
    "make_sidecar",
    "opa_config_of",
    "tls_of",
    "token_of",
]
