"""Decisions of the shipped library: each rule's way, and each fail-open shape as an attack."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from guardrails.rego.program import Program
from guardrails.rego.sources import find_sources
from guardrails.rego.values import to_json

POLICIES = Path(__file__).parents[2] / "policies"
ENTRY = "guardrails/decision"
REMOVED = object()

CALL: dict[str, Any] = {
    "agent": {"id": "a", "owner": "dana@acme.example", "environment": "prod"},
    "tool": {"name": "pay", "resource": "payments", "operation": "write", "labels": []},
    "args": {"amount": 20, "to": "pat@customer.example"},
    "run": {"remaining": {"usd": 5, "calls": 10}},
    "time": 1781524800000000000,  # 2026-06-15T12:00:00Z
}
AGENT: dict[str, Any] = {
    "owner": "dana@acme.example",
    "environments": ["prod"],
    "access": [{"resource": "payments", "operations": ["read", "write"]}],
    "contacts": ["pat@customer.example", "@acme.example"],
    "review_by": "2026-12-31",
}
DATA: dict[str, Any] = {
    "agents": {"a": AGENT},
    "thresholds": {"pay": {"amount": {"above": 1000, "approvers": ["finance-ops"]}}},
    "blocked_tools": {},
}
CUSTOMER = {"tool.labels": ["customer_facing"]}
LIFTED = {"agents.a.approval": {"customer_facing": {"required": False}}}


def changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy with the values at dotted paths replaced, or removed."""
    copied = copy.deepcopy(document)
    for path, value in changes.items():
        *parents, last = path.split(".")
        target = copied
        for key in parents:
            target = target[key]
        if value is REMOVED:
            del target[last]
        else:
            target[last] = value
    return copied


def loaded(*more: Path) -> Program:
    """The library, with further packages of rules."""
    modules = find_sources([POLICIES / "guardrails", *more], ignore_tests=True).modules
    return Program.from_modules(modules, [ENTRY])


@pytest.fixture(scope="module")
def library() -> Program:
    """The library alone, as a project gets it."""
    return loaded()


def decide(
    program: Program, call: dict[str, Any] | None = None, data: dict[str, Any] | None = None
) -> Any:
    """The decision on the valid call with these changes."""
    given = {"guardrails_data": changed(DATA, data or {})}
    result = program.evaluate(ENTRY, changed(CALL, call or {}), given, strict_builtin_errors=True)
    return to_json(result)


def rules(decision: Any) -> set[str]:
    """The ids of the rules that a decision names."""
    return {item["rule"] for item in decision["reasons"] + decision["approvals"]}


def test_a_call_within_every_rule_is_allowed(library: Program) -> None:
    assert decide(library) == {
        "effect": "allow",
        "reasons": [{"rule": "access", "reason": "allowed"}],
        "approvals": [],
        "obligations": [],
    }


@pytest.mark.parametrize(
    ("rule", "call", "data"),
    [
        ("guardrails", {"tool.resource": "mail"}, {}),
        ("guardrails", {"tool.operation": "delete"}, {}),
        ("ownership", {"agent.owner": "eve@evil.example"}, {}),
        ("review", {}, {"agents.a.review_by": "2026-06-14"}),
        ("review", {}, {"agents.a.review_by": REMOVED}),
        ("environments", {}, {"agents.a.environments": ["dev"]}),
        ("environments", {}, {"blocked_tools": {"prod": ["pay"]}}),
        ("contacts", CUSTOMER | {"args.to": "eve@evil.example"}, {}),
        ("budget", {"run.remaining": {"usd": -0.01}}, {}),
        ("budget", {"run.remaining": {}}, {}),
        ("thresholds", {}, {"thresholds": REMOVED}),
        ("defaults", {"tool.labels": REMOVED}, {}),
    ],
)
def test_each_rule_denies(
    library: Program, rule: str, call: dict[str, Any], data: dict[str, Any]
) -> None:
    decision = decide(library, call, data)
    assert decision["effect"] == "deny"
    assert rule in rules(decision)


def test_a_threshold_asks(library: Program) -> None:
    decision = decide(library, {"args.amount": 4180})
    assert decision["effect"] == "require_approval"
    assert decision["approvals"] == [
        {
            "rule": "thresholds",
            "reason": "amount above 1000",
            "approvers": ["finance-ops"],
            "quorum": 1,
            "expires_in": 14400,
        }
    ]


@pytest.mark.parametrize(
    "label", ["customer_facing", "moves_money", "production_config", "deletes_data"]
)
def test_the_four_classes_ask_until_the_register_lifts_them(library: Program, label: str) -> None:
    labelled = {"tool.labels": [label]}
    assert rules(decide(library, labelled)) == {"defaults"}
    lifted = {"agents.a.approval": {label: {"required": False}}}
    assert decide(library, labelled, lifted)["effect"] == "allow"


def test_small_sums_pass_unasked(library: Program) -> None:
    register = {"agents.a.approval": {"moves_money": {"above": 100, "argument": "amount"}}}
    money = {"tool.labels": ["moves_money"]}
    assert decide(library, money | {"args.amount": 100}, register)["effect"] == "allow"
    assert rules(decide(library, money | {"args.amount": 101}, register)) == {"defaults"}


def test_the_preset_leaves_only_reads() -> None:
    program = loaded(POLICIES / "presets" / "read_only")
    assert rules(decide(program)) == {"read_only"}
    assert decide(program, {"tool.operation": "read"})["effect"] == "allow"


def test_the_preset_signals_asks_about_what_breakers_notice_and_only_narrows() -> None:
    program = loaded(POLICIES / "presets" / "signals")
    noticed: dict[str, Any] = {"run.signals": ["repeat"]}
    assert decide(program, {"run.signals": []})["effect"] == "allow"
    assert rules(decide(program, noticed)) == {"signals"}
    assert decide(program, noticed | {"tool.operation": "read"})["effect"] == "allow"
    assert rules(decide(program)) == {"signals"}
    assert decide(program, noticed | {"tool.resource": "unknown"})["effect"] == "deny"


@pytest.mark.parametrize("amount", [None, True, False, -1, "5", [], [5], {}, REMOVED])
def test_attack_1_an_amount_that_is_no_number(library: Program, amount: object) -> None:
    assert decide(library, {"args.amount": amount})["effect"] == "require_approval"


@pytest.mark.parametrize("limit", [REMOVED, None, "1000", []])
def test_attack_2_a_limit_that_is_missing(library: Program, limit: object) -> None:
    decision = decide(library, {"args.amount": 4180}, {"thresholds.pay.amount.above": limit})
    assert "thresholds" in rules(decision)
    assert decision["effect"] == "deny"


def test_attack_3_no_argument_is_there_for_a_message(library: Program) -> None:
    assert decide(library, {"args": {}})["effect"] == "require_approval"
    assert decide(library, {"args": REMOVED})["effect"] == "require_approval"


@pytest.mark.parametrize("field", ["agent.owner", "agent.environment", "agent.id", "agent", "run"])
def test_attack_4_a_field_that_is_missing(library: Program, field: str) -> None:
    assert decide(library, {field: REMOVED})["effect"] == "deny"


@pytest.mark.parametrize(
    "to",
    [
        "eve@evil.example,a@acme.example",
        "eve@evil.example a@acme.example",
        "eve@evil.example@acme.example",
        "eve@notacme.example",
        "eve@acme.example.evil.example",
        ["pat@customer.example", "eve@evil.example"],
    ],
)
def test_attack_5_an_address_that_ends_well(library: Program, to: object) -> None:
    assert rules(decide(library, CUSTOMER | {"args.to": to}, LIFTED)) == {"contacts"}


def test_attack_6_nobody_is_everybody(library: Program) -> None:
    assert rules(decide(library, CUSTOMER | {"args.to": []}, LIFTED)) == {"contacts"}
    assert rules(decide(library, CUSTOMER | {"args.to": REMOVED}, LIFTED)) == {"contacts"}


def test_attack_7_objects_where_lists_belong(library: Program) -> None:
    values = {"access": "write", "x": "payments"}
    for path in ("agents.a.environments", "agents.a.access", "agents.a.contacts"):
        call = CUSTOMER if path.endswith("contacts") else {}
        assert decide(library, call, {path: values})["effect"] == "deny"


def test_attack_8_a_newline_after_the_address(library: Program) -> None:
    for to in ("a@acme.example\n", "x\na@acme.example"):
        assert rules(decide(library, CUSTOMER | {"args.to": to}, LIFTED)) == {"contacts"}
    assert rules(decide(library, {}, {"agents.a.review_by": "2026-12-31\n"})) == {"review"}


@pytest.mark.parametrize("args", [None, [], "to", 1, ["to"]])
def test_attack_9_arguments_that_are_no_object(library: Program, args: object) -> None:
    assert decide(library, CUSTOMER | {"args": args}, LIFTED)["effect"] == "deny"


@pytest.mark.parametrize("kind", ["deny", "allow", "shadow", "require_approval", "obligations"])
def test_attack_10_data_that_poses_as_a_rule(library: Program, kind: str) -> None:
    given = {"guardrails_data": DATA}
    text = f"package guardrails.rules.posed\n\n{kind} := [data.guardrails_data.agents]\n"
    modules = find_sources([POLICIES / "guardrails"], ignore_tests=True).modules
    program = Program.from_modules({**modules, "posed.rego": text}, [ENTRY], checked=False)
    decision = to_json(program.evaluate(ENTRY, CALL, given, strict_builtin_errors=True))
    assert decision["effect"] == "deny"
    assert {"rule": "posed", "reason": f"{kind} is not a set"} in decision["reasons"]
