"""cedarpy: Cedar in Rust, with its policies and entities parsed once and kept as handles.

Cedar is another language, so `flat` is translated. What differs: contacts are matched by `like`
with a wildcard before the @, since there are no regular expressions; amounts are whole cents and
budgets whole micro-dollars, since there are no decimals with arithmetic; the request holds only
what the policies read, and is made before the clock runs; nulls are left out.
"""

from __future__ import annotations

import json
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from benchmarks.variant import NotThereError, Variant, variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.policies.policy import Policy

NAME: Final = "cedarpy handles"
_GRANTED: Final = "granted by the register"

_POLICIES: Final = """
@id("granted by the register")
permit (principal, action, resource);

@id("the register does not grant this to the agent")
forbid (principal, action, resource)
unless { principal has grants && principal.grants.contains(context.grant) };

@id("the agent may not run in this environment")
forbid (principal, action, resource)
unless { principal has environments && principal.environments.contains(context.environment) };

@id("the tool is blocked in this environment")
forbid (principal, action, resource)
when { resource has blocked && resource.blocked.contains(context.environment) };

@id("the amount is above the limit, or is no amount")
forbid (principal, action, resource)
when { resource has limit }
unless { context has amount && context.amount >= 0 && context.amount <= resource.limit };

@id("the recipient is no contact")
forbid (principal, action, resource)
when { context has to }
unless {
  context.to like "*@acme.example" ||
  context.to like "*@brandt.example" ||
  context.to like "*@helvig.example"
};

@id("the run has no budget left")
forbid (principal, action, resource)
unless {
  (context has usd || context has tokens || context has calls || context has seconds) &&
  (if context has usd then context.usd >= 0 else true) &&
  (if context has tokens then context.tokens >= 0 else true) &&
  (if context has calls then context.calls >= 0 else true) &&
  (if context has seconds then context.seconds >= 0 else true)
};
"""


def cedarpy(policy: Policy) -> Variant:
    """Cedar's decision with the reasons that its policies are annotated with.

    Raises:
        NotThereError: it is not installed.
    """
    try:
        module = import_module("cedarpy")
    except ImportError as error:
        raise NotThereError(f"cedarpy is not installed: {error}") from error
    policies = module.PolicySet.from_str(_POLICIES)
    entities = module.Entities.from_json_str(json.dumps(_entities(policy.data["guardrails_data"])))
    is_authorized = module.is_authorized

    def decide(request: Any) -> Any:
        result = is_authorized(request, policies, entities)
        reasons = sorted(result.diagnostics.id_annotations_by_reason.values())
        return {"effect": "allow" if result.allowed else "deny", "reasons": reasons}

    remark = "`like` for the pattern, whole cents; the request made before"
    return variant(NAME, decide, prepare=_request, remark=remark)


def _entities(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    agents = [
        _entity(
            "Agent",
            name,
            grants=[
                f"{operation}:{resource}"
                for resource, operations in entry["access"].items()
                for operation in operations
            ],
            environments=entry["environments"],
        )
        for name, entry in data["agents"].items()
    ]
    blocked: dict[str, list[str]] = {}
    for environment, names in data["blocked_tools"].items():
        for name in names:
            blocked.setdefault(name, []).append(environment)
    tools = []
    for name in sorted(blocked.keys() | data["limits"].keys()):
        attributes: dict[str, Any] = {"blocked": blocked.get(name, [])}
        if name in data["limits"]:
            attributes["limit"] = int(data["limits"][name] * 100)
        tools.append(_entity("Tool", name, **attributes))
    return agents + tools


def _entity(kind: str, name: str, **attributes: Any) -> dict[str, Any]:
    return {"uid": {"type": kind, "id": name}, "attrs": attributes, "parents": []}


def _request(input: Mapping[str, Any]) -> dict[str, Any]:
    agent, tool, args = input["agent"], input["tool"], input["args"]
    context = {
        "grant": f"{tool['operation']}:{tool['resource']}",
        "environment": agent["environment"],
        **{name: _whole(name, left) for name, left in input["run"]["remaining"].items()},
    }
    if type(args.get("amount")) in (int, Decimal):
        context["amount"] = int(args["amount"] * 100)
    if args.get("to") is not None:
        context["to"] = args["to"]
    return {
        "principal": {"type": "Agent", "id": agent["id"]},
        "action": {"type": "Action", "id": "call"},
        "resource": {"type": "Tool", "id": tool["name"]},
        "context": context,
    }


def _whole(name: str, left: Decimal | int) -> int:
    return int(left * 1_000_000) if name == "usd" else int(left)
