"""Policies whose bundles bring the agents along, as those of an OPA server must.

The register gives policies their agents. A bundle that an OPA server loads has to hold them, too,
and the same bundle may be loaded here. Then the bundle's count, so that both decide by the same
data; where they are not the register's, that is logged, for enforcement goes by the register.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from guardrails.engines.layers import DATA_ROOT
from guardrails.errors import PolicyLoadError
from guardrails.rego.values import equal, from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.engines.source import Policies, PolicySource

AGENTS: Final = "agents"

_log: Final = logging.getLogger("guardrails")


class BundledAgents:
    """The policies of another source, with the agents that its bundles hold, if they hold any.

    Args:
        source: Where the policies are.
    """

    def __init__(self, source: PolicySource) -> None:
        self.source = source

    def read(self, given: Mapping[str, Any]) -> Policies:
        """The policies as they are now; see :meth:`guardrails.engines.source.PolicySource.read`."""
        alone = self.source.read({})
        own = alone.data.get(DATA_ROOT)
        if not isinstance(own, dict):
            msg = f"`{DATA_ROOT}` in the bundle's data is no object"
            raise PolicyLoadError(msg)
        kept = dict(given)
        registered = kept.pop(AGENTS, None) if AGENTS in own else None
        if registered is not None and not equal(from_json(own[AGENTS]), from_json(registered)):
            _log.warning(
                "the bundle's agents are not those of the register: policies go by the bundle,"
                " owners, budgets and delegates by the register"
            )
        twice = own.keys() & kept.keys()
        if twice:
            msg = f"`{DATA_ROOT}.{min(twice)}` is given by the program, and by a bundle"
            raise PolicyLoadError(msg)
        return replace(alone, data={**alone.data, DATA_ROOT: {**own, **kept}})


__all__ = ["AGENTS", "BundledAgents"]
