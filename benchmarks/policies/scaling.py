"""Policies that grow in one direction each, made by a fixed rule: the same text every time.

Every generated rule denies one kind of call of one tool, in the library's safe pattern: the good
case has a helper, and what is not known to be good is denied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.calls import call
from benchmarks.policies.library.inputs import CASES as LIBRARY_CASES
from benchmarks.policies.policy import Policy
from benchmarks.policies.reference import flat, library
from benchmarks.workload import Case
from guardrails.resources import policies_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

_CHECKS: Final = (
    (
        "the amount is above the limit, or is no amount",
        "is_number(input.args.amount)",
        "input.args.amount >= 0",
        "{limit} - input.args.amount >= 0",
    ),
    ("the currency is none of ours", 'input.args.currency in {{"EUR", "USD", "X{number}"}}'),
    (
        "the reference is no reference",
        "is_string(input.args.reference)",
        'startswith(input.args.reference, "INV-")',
    ),
    (
        "the note is too long",
        "is_string(input.args.note)",
        "count(input.args.note) <= {limit}",
    ),
    ("production is closed to this", 'input.agent.environment in {{"prod", "env-{number}"}}'),
)
"""What a rule says, and the conditions of its good case."""

_HEAD: Final = "import future.keywords.not\n"

_FLAT_DECISION: Final = """
# METADATA
# entrypoint: true
decision := {"effect": "deny", "reasons": sort(deny)} if {
	count(deny) > 0
} else := {"effect": "allow", "reasons": []}
"""

_AGENT: Final = {
    "version": "1",
    "owner": "dana.ruiz@acme.example",
    "environments": ["prod"],
    "access": [{"resource": "things", "operations": ["write"]}],
    "contacts": [],
    "delegates": [],
    "approval": {},
}


def _rule(number: int, tool: int) -> str:
    """Rule `number`, about one tool; each round of five checks the same five things."""
    reason, *conditions = _CHECKS[number % len(_CHECKS)]
    limit = 1000 + number % 7 * 100
    body = "\n".join(f"\t{line.format(limit=limit, number=number)}" for line in conditions)
    return (
        f'deny contains "rule {number}, tool_{tool}: {reason}" if {{\n'
        f'\tinput.tool.name == "tool_{tool}"\n'
        f"\tnot good_{number}\n"
        "}\n\n"
        f"good_{number} if {{\n{body}\n}}\n"
    )


def _rules(numbered: Iterable[tuple[int, int]]) -> str:
    return "\n".join(_rule(number, tool) for number, tool in numbered)


_GOOD: Final = {"amount": 418, "currency": "EUR", "reference": "INV-2041", "note": "urgent"}


def _case(name: str, effect: str, weight: int, tool: int, **changes: Any) -> Case:
    document = call(
        agent="agent-0",
        tool=f"tool_{tool}",
        resource="things",
        operation="write",
        args={**_GOOD, **changes},
    )
    return Case(name, document, effect, weight)


CASES: Final = (
    _case("allowed", "allow", 4, 0),
    _case("another tool, allowed", "allow", 4, 1),
    _case("too much", "deny", 1, 0, amount=418_000),
    _case("two reasons", "deny", 1, 1, currency="GBP", note=None),
)
"""Calls of the first two tools: in every size the same rules apply to them."""


def rules(count: int, tools: int) -> Policy:
    """One package of `count` rules over `tools` tools, as many for each."""
    each = count // tools
    numbered = [(tool * each + place, tool) for tool in range(tools) for place in range(each)]
    text = f"package guardrails\n\n{_HEAD}{_FLAT_DECISION}\n{_rules(numbered)}"
    name = f"{count:,} rules, {tools} tools"
    return Policy(name, {"rules.rego": text}, {"guardrails_data": {}}, CASES)


def packages(count: int, rules: int = 500, tools: int = 50) -> Policy:
    """The same rules in `count` rule packages beside the shipped merge and its access rule.

    The ten rules of a tool stand in as many packages as there are, up to ten.
    """
    shipped = policies_directory() / "guardrails"
    modules = {
        "main.rego": (shipped / "main.rego").read_text(encoding="utf-8"),
        "access.rego": (shipped / "rules" / "access.rego").read_text(encoding="utf-8"),
    }
    numbered = [(number, number // 10 % tools) for number in range(rules)]
    for package in range(count):
        text = _rules(numbered[package::count])
        head = f"package guardrails.rules.generated_{package}\n\n{_HEAD}\n"
        modules[f"generated_{package}.rego"] = head + text
    data = {"guardrails_data": {"agents": {"agent-0": _AGENT}}}
    name = f"{rules} rules in {count} package{'s' if count > 1 else ''}"
    return Policy(name, modules, data, CASES)


def lines(least: int) -> Policy:
    """A policy of at least `least` lines, in the shipped layout, ten packages of rules."""
    count = 100
    while True:
        policy = packages(10, rules=count, tools=max(count // 10, 2))
        length = sum(text.count("\n") for text in policy.modules.values())
        if length >= least:
            return Policy(f"{length:,} lines", policy.modules, policy.data, policy.cases)
        count += 10


def grants(agents: int) -> Policy:
    """The shipped library over the reference register and more agents, ten grants each.

    Args:
        agents: How many more; the calls are those of the reference register's agents.
    """
    reference = library()
    more = {
        f"agent-{number:06}": {
            **_AGENT,
            "access": [
                {"resource": f"resource-{(number + place) % 997}", "operations": ["read"]}
                for place in range(10)
            ],
        }
        for number in range(agents)
    }
    settings = reference.data["guardrails_data"]
    data = {"guardrails_data": {**settings, "agents": {**settings["agents"], **more}}}
    return Policy(f"{agents * 10:,} grants more", reference.modules, data, LIBRARY_CASES)


def entries(count: int) -> Policy:
    """`flat` over `count` more grants in its register: ten to an agent that makes no calls."""
    reference = flat()
    settings = reference.data["guardrails_data"]
    more = {
        f"agent-{number:06}": {
            "environments": ["prod"],
            "access": {f"resource-{(number + place) % 997}": ["read"] for place in range(10)},
        }
        for number in range(count // 10)
    }
    data = {"guardrails_data": {**settings, "agents": {**settings["agents"], **more}}}
    return Policy(f"{count:,} entries", reference.modules, data, reference.cases)
