"""What an engineer writes who needs the shipped library in Python, for one register.

Every rule package and the merge are here; what depends on the data alone is worked out at start.
The library's own packages contribute no obligation and no shadow, so these stay empty.

The input has the shape that :func:`guardrails.enforcement.document.input_document` gives it, and
the data follows its schema. For `re` instead of google-re2 see the hand-written `flat`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ADDRESS: Final = re.compile(r"[A-Za-z0-9._+'-]+@[A-Za-z0-9.-]+")
_FULL_DATE: Final = re.compile(r"2[0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")
_PRINTABLE: Final = re.compile(r"[!-~]+")
_UNREVIEWED: Final = (
    "dev", "development", "test", "testing", "ci", "local", "demo", "sandbox", "staging",
)  # fmt: skip
_RECIPIENTS: Final = ("to", "recipient", "recipients", "cc", "bcc", "email")
_ASKS_ALWAYS: Final = frozenset({"moves_money", "deletes_data"})
_ASKS_UNLESS_READ: Final = frozenset({"customer_facing", "production_config"})
_KNOWN: Final = _ASKS_ALWAYS | _ASKS_UNLESS_READ
_LAST_INSTANT: Final = 1 << 63  # what the clock can say ends here


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold: above it the demand is made."""

    argument: str
    above: int | Decimal
    demand: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Agent:
    """What the register says of one agent, ready to be asked; this one may do nothing."""

    owner: str | None = None
    environments: frozenset[str] = frozenset()
    grants: frozenset[tuple[str, str]] = frozenset()
    contacts: frozenset[str] = frozenset()
    folded: frozenset[str] = frozenset()
    review_until: int = 0
    needs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_NOBODY: Final = Agent()


def _agent(entry: Mapping[str, Any]) -> Agent:
    contacts = entry.get("contacts", [])
    owner = entry["owner"]
    return Agent(
        owner=owner if owner.strip() else None,
        environments=frozenset(entry["environments"]),
        grants=frozenset(
            (grant["resource"], operation)
            for grant in entry["access"]
            for operation in grant["operations"]
        ),
        contacts=frozenset(contact for contact in contacts if not contact.startswith("@")),
        folded=frozenset(contact.lower() for contact in contacts if _PRINTABLE.fullmatch(contact)),
        review_until=_end_of(entry.get("review_by")),
        needs=entry.get("approval", {}),
    )


def _end_of(day: str | None) -> int:
    """The first nanosecond after `day`; 0 where it is no date."""
    if day is None or not _FULL_DATE.fullmatch(day):
        return 0
    year, month, number = map(int, day.split("-"))
    try:
        start = dt.datetime(year, month, number, tzinfo=dt.UTC)
    except ValueError:
        if (month, number) != (2, 29):
            return 0
        start = dt.datetime(year, 2, 28, tzinfo=dt.UTC)
    after = start + dt.timedelta(days=1)
    return min(int(after.timestamp()) * 1_000_000_000, _LAST_INSTANT)


def _limits(tool: Mapping[str, Mapping[str, Any]]) -> tuple[Limit, ...]:
    return tuple(
        Limit(
            argument,
            limit["above"],
            {
                "rule": "thresholds",
                "reason": f"{argument} above {limit['above']}"[:512],
                "approvers": limit["approvers"],
                "quorum": limit.get("quorum", 1),
                "expires_in": limit.get("expires_in", 14400),
            },
        )
        for argument, limit in tool.items()
    )


def _within(value: object, above: int | Decimal) -> bool:
    return type(value) in (int, Decimal) and 0 <= value <= above  # type: ignore[operator]  # a number, by its type


def _in_order(demand: dict[str, Any]) -> tuple[Any, ...]:
    """Rego sorts objects by their keys, then by their values."""
    return (
        demand["approvers"],
        demand["expires_in"],
        demand["quorum"],
        demand["reason"],
        demand["rule"],
    )


def _by_reason(denial: dict[str, str]) -> tuple[str, str]:
    return (denial["reason"], denial["rule"])


def _listed_contact(value: object, agent: Agent) -> bool:
    if type(value) is not str:
        return False
    if value in agent.contacts:
        return True
    if not _ADDRESS.fullmatch(value):
        return False
    address = value.lower()
    return address in agent.folded or address[address.index("@") :] in agent.folded


def _reachable(value: object, agent: Agent) -> bool:
    if type(value) is list:
        return all(_listed_contact(one, agent) for one in value)
    return value is None or _listed_contact(value, agent)


def _lifted(said: Mapping[str, Any], args: Mapping[str, Any]) -> bool:
    if said.get("required") is False and len(said) == 1:
        return True
    return "above" in said and _within(args.get(said["argument"]), said["above"])


def _points(name: str, operation: str, labels: list[str], needs: Mapping[str, Any]) -> list[str]:
    """The labels, or else the tool, on which somebody may have to be asked."""
    points = [
        label
        for label in labels
        if label in _ASKS_ALWAYS
        or (operation != "read" and label in _ASKS_UNLESS_READ)
        or (label in needs and label not in _KNOWN)
    ]
    return points or ([name] if name in needs else [])


def _questions(
    asked: list[tuple[str, Mapping[str, Any]]], standards: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """One demand for all points on which the same people are asked."""
    together = defaultdict(list)
    for point, said in asked:
        standard = standards.get(point, {})
        approvers = said.get("approvers") or standard.get("approvers", ["operations"])
        quorum = said.get("quorum") or standard.get("quorum", 1)
        expires_in = said.get("expires_in") or standard.get("expires_in", 14400)
        together[tuple(approvers), quorum, expires_in].append(point)
    return [
        {
            "rule": "defaults",
            "reason": f"{', '.join(sorted(points))}: a person decides"[:512],
            "approvers": list(approvers),
            "quorum": quorum,
            "expires_in": expires_in,
        }
        for (approvers, quorum, expires_in), points in together.items()
    ]


def make_decide(  # noqa: C901, PLR0915  # holds `decide`, see there
    data: Mapping[str, Any],
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The function that decides about one input document.

    Args:
        data: The content of ``guardrails_data``; it is folded into tables here, once.
    """
    agents = {name: _agent(entry) for name, entry in data["agents"].items()}
    thresholds = {tool: _limits(limits) for tool, limits in data["thresholds"].items()}
    blocked = frozenset(
        (environment, tool)
        for environment, tools in data["blocked_tools"].items()
        for tool in tools
    )
    standards = data.get("approvers", {})
    contact_arguments = data.get("contact_arguments", {})
    exempt = frozenset(data.get("unreviewed_environments", _UNREVIEWED))
    permitted = frozenset(
        (resource, operation)
        for server, operations in data.get("mcp", {}).items()
        for operation, resources in operations.items()
        for resource in resources
        if resource.split(".")[0] == server
    )

    def decide(  # noqa: C901, PLR0912, PLR0915  # in one piece, as one writes what has to be fast
        input: dict[str, Any],
    ) -> dict[str, Any]:
        caller = input["agent"]
        tool = input["tool"]
        args = input["args"]
        name = tool["name"]
        operation = tool["operation"]
        labels = tool["labels"]
        environment = caller["environment"]
        agent = agents.get(caller["id"], _NOBODY)
        denials = []

        resource = tool["resource"]
        granting = ["access"] if (resource, operation) in agent.grants else []
        if "mcp" in labels:
            if (resource, operation) not in permitted:
                reason = "mcp.json does not permit this operation on this resource"
                denials.append({"rule": "mcp", "reason": reason})
            elif (resource.split(".")[0], operation) in agent.grants:
                granting.append("mcp")
        if not granting:
            denials.append({"rule": "guardrails", "reason": "no rule allows this call"})

        remaining = input["run"]["remaining"]
        for left in remaining.values():
            if left < 0:
                denials.append({"rule": "budget", "reason": "the run has no budget left"})
                break
        else:
            if not remaining:
                denials.append({"rule": "budget", "reason": "the run has no budget left"})

        carriers = contact_arguments.get(name)
        if carriers is None and operation != "read" and "customer_facing" in labels:
            carriers = _RECIPIENTS
        if carriers:
            recipients = [args.get(carrier) for carrier in carriers]
            if not all(_reachable(value, agent) for value in recipients):
                reason = "a recipient is not among the agent's contacts"
                denials.append({"rule": "contacts", "reason": reason})
            if all(value is None or value == [] for value in recipients):
                reason = (
                    "no argument is known to name the recipient; list it under contact_arguments"
                )
                denials.append({"rule": "contacts", "reason": reason})

        if environment not in agent.environments:
            reason = "the agent is not cleared for this environment"
            denials.append({"rule": "environments", "reason": reason})
        if (environment, name) in blocked:
            reason = "the tool is blocked in this environment, or blocked_tools is malformed"
            denials.append({"rule": "environments", "reason": reason})

        if agent.owner is None or agent.owner != caller["owner"]:
            denials.append({"rule": "ownership", "reason": "the agent has no named owner"})

        if environment not in exempt and input["time"] >= agent.review_until:
            reason = "the agent's review is overdue, or its review_by is no date (YYYY-MM-DD)"
            denials.append({"rule": "review", "reason": reason})

        if denials:
            denials.sort(key=_by_reason)
            return {"effect": "deny", "reasons": denials, "approvals": [], "obligations": []}

        approvals = [
            {**limit.demand, "approvers": list(limit.demand["approvers"])}
            for limit in thresholds.get(name, ())
            if not _within(args.get(limit.argument), limit.above)
        ]
        needs = agent.needs
        if labels or name in needs:
            own = needs.get(name)
            asked = [
                (point, said)
                for point in _points(name, operation, labels, needs)
                if not _lifted(said := own if own is not None else needs.get(point, {}), args)
            ]
            if asked:
                approvals += _questions(asked, standards)
        if approvals:
            approvals.sort(key=_in_order)
            return {
                "effect": "require_approval",
                "reasons": [],
                "approvals": approvals,
                "obligations": [],
            }

        return {
            "effect": "allow",
            "reasons": [{"rule": name, "reason": "allowed"} for name in granting],
            "approvals": [],
            "obligations": [],
        }

    return decide
