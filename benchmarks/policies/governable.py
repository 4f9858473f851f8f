"""The reference policies in an engine of this package, as governed calls ask it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.source import Policies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.policies.policy import Policy
    from guardrails.engines.source import PolicySource

_AS_DECISION: Final = """
package guardrails

# METADATA
# entrypoint: true
decision := {
	"effect": data.flat.decision.effect,
	"reasons": [{"rule": "flat", "reason": each} | some each in data.flat.decision.reasons],
	"approvals": [],
	"obligations": [],
}
"""
"""What `flat` decides, as the decision that enforcement reads."""


def engine(policy: Policy) -> InProcessEngine:
    """The policy, loaded."""
    return engine_of(Given(modules(policy), policy.data))


def engine_of(source: PolicySource) -> InProcessEngine:
    """What a source gives, loaded; nothing is kept for another load."""
    return InProcessEngine(source, dict, cache=None)


def modules(policy: Policy) -> dict[str, str]:
    """Its modules, with the decision that enforcement reads."""
    made = dict(policy.modules)
    if policy.name == "flat":
        head, rest = made["policy.rego"].split("package guardrails\n", 1)
        made["policy.rego"] = f"{head}package flat\n{rest}"
        made["decision.rego"] = _AS_DECISION
    return made


@dataclass(frozen=True, slots=True)
class Given:
    """A policy source that has what it gives."""

    modules: Mapping[str, str]
    data: Mapping[str, Any]

    def read(self, given: Mapping[str, Any]) -> Policies:  # noqa: ARG002  # the port's
        """What there is."""
        return Policies(self.modules, self.data)
