"""What an engineer writes who needs ``policy.rego`` in Python: ifs over tables made at start.

The input has the shape that :func:`guardrails.enforcement.document.input_document` gives it, so
only the arguments are checked for their types. The pattern is `re`'s, not google-re2's: one
character class and one literal cannot backtrack without bound, nobody would add a dependency for
it by hand, and a call of `re` costs a fraction of one through google-re2's Python wrapper.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_CONTACT: Final = re.compile(r"[a-z0-9._-]+@(?:acme|brandt|helvig)\.example")


def make_decide(data: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The function that decides about one input document.

    Args:
        data: The content of ``guardrails_data``; it is folded into tables here, once.
    """
    grants = frozenset(
        (agent, resource, operation)
        for agent, entry in data["agents"].items()
        for resource, operations in entry["access"].items()
        for operation in operations
    )
    clearances = frozenset(
        (agent, environment)
        for agent, entry in data["agents"].items()
        for environment in entry["environments"]
    )
    blocked = frozenset(
        (environment, tool)
        for environment, tools in data["blocked_tools"].items()
        for tool in tools
    )
    limits = dict(data["limits"])
    is_contact = _CONTACT.fullmatch

    def decide(input: dict[str, Any]) -> dict[str, Any]:
        agent = input["agent"]
        tool = input["tool"]
        args = input["args"]
        agent_id = agent["id"]
        environment = agent["environment"]
        name = tool["name"]
        remaining = input["run"]["remaining"]
        denials = []

        if (agent_id, tool["resource"], tool["operation"]) not in grants:
            denials.append("the register does not grant this to the agent")
        if (agent_id, environment) not in clearances:
            denials.append("the agent may not run in this environment")
        if (environment, name) in blocked:
            denials.append("the tool is blocked in this environment")
        if name in limits:
            amount = args.get("amount")
            if not (type(amount) in (int, Decimal) and 0 <= amount <= limits[name]):
                denials.append("the amount is above the limit, or is no amount")
        to = args.get("to")
        if to is not None and not (type(to) is str and is_contact(to)):
            denials.append("the recipient is no contact")
        for left in remaining.values():
            if left < 0:
                denials.append("the run has no budget left")
                break
        else:
            if not remaining:
                denials.append("the run has no budget left")

        if denials:
            denials.sort()
            return {"effect": "deny", "reasons": denials}
        return {"effect": "allow", "reasons": ["granted by the register"]}

    return decide
