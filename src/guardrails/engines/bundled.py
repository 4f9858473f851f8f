"""The embedded engine, with the policies of a bundle service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from guardrails.engines.bundled_agents import BundledAgents
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.source import Bundles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.engines.in_process import Loaded
    from guardrails.opa.bundle_set import BundleSet
    from guardrails.opa.bundles.service import BundleService
    from guardrails.rego.compile_cache import CompileCache
    from guardrails.rego.planner import PlannerName


def start_bundled_engine(  # noqa: PLR0913  # what an engine is made of, by name
    service: BundleService,
    data: Callable[[], Mapping[str, Any]],
    *,
    planner: PlannerName = "regopy",
    opa: str | None = None,
    cache: CompileCache | Literal["user"] | None = "user",
    patience: float = 10.0,
    activating: Callable[[Loaded], None] | None = None,
) -> InProcessEngine:
    """An engine that decides with the bundles of `service`, and goes on to new ones as they come.

    Args:
        service: Not started yet; who stops it is the caller.
        data: What the policies read besides, as :class:`InProcessEngine` takes it.
        planner: Who plans bundles that have no plan for the decision.
        opa: Where an OPA binary is; None to look for it.
        cache: Where compiled policies are kept.
        patience: Seconds to wait for the first bundles.
        activating: As :class:`InProcessEngine` takes it.

    Raises:
        PolicyLoadError: There are no bundles that can decide; the service asks for no more.
    """
    made: list[InProcessEngine] = []

    def activate(bundles: BundleSet) -> None:
        source = BundledAgents(Bundles(bundles, planner, opa))
        if made:
            made[0].activate(source)
        else:
            made.append(InProcessEngine(source, data, cache=cache, activating=activating))

    try:
        service.start(activate, patience=patience)
    except BaseException:
        service.stop()
        raise
    return made[0]
