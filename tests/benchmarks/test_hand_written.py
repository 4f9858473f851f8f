"""The hand-written Python decides what Rego decides, whatever the arguments of a call hold."""

from __future__ import annotations

import copy
import datetime as dt
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from benchmarks.calls import NOON
from benchmarks.policies import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.rego import Program
from guardrails.rego.values import equal, from_json, to_json

MANY = settings(max_examples=3_000)

DIMENSIONS = ("usd", "tokens", "calls", "seconds")
ARGUMENTS = (
    "amount", "pieces", "percent", "replicas", "to", "cc", "bcc", "email", "recipient",
    "recipients", "guests", "channel", "note",
)  # fmt: skip
RECIPIENTS = (
    "orders@brandt.example", "Anna@HELVIG.example", "pat@customer.example", "eve@evil.example",
    "eve@evil.example,x@acme.example", "x@acme.example\n", "x@acme.example.evil.example", "",
    "@acme.example", "@brandt.example", "DE89370400440532013000", "#support", "legal@acme.example",
    "a b@acme.example", "\u0131@acme.example", "x@@acme.example", "\u212a@acme.example",
    "K@acme.example", "x@Brandt.example",
)  # fmt: skip
TOOLS = (
    "pay", "refund", "order", "run_shell", "drop_table", "wire_transfer", "pay_invoice",
    "place_order", "raise_salary", "issue_voucher", "send_mail", "invite", "post_message",
    "restart_service", "delete_temporary", "create_account", "lock_account", "get_ticket",
    "moves_money", "personal_data",
)  # fmt: skip
LABELS = (
    "moves_money", "deletes_data", "customer_facing", "production_config", "personal_data",
    "pay_invoice", "lock_account", "mcp", "x" * 600,
)  # fmt: skip
RESOURCES = (
    "payments", "mail", "stock", "files", "tickets", "crm", "crm.contacts", "crm.tasks",
    "crm.notes",
)  # fmt: skip
AMOUNTS = (
    0, -1, 1, 3, 20, 21, 50, 51, 100, Decimal("100.01"), Decimal("250.5"), Decimal("250.51"), 500,
    501, 1000, Decimal("1000.000001"), 2000, 5000, 2**63 - 1, -(2**63), Decimal("1e-30"), True,
)  # fmt: skip


def nanoseconds(day: str) -> int:
    """Midnight of `day`, UTC."""
    return int(dt.datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) * 1_000_000_000


TIMES = [
    0, NOON, 2**63 - 1,
    *(nanoseconds(day) + off for day in ("2026-06-01", "2026-08-16", "2027-01-01", "2027-03-01")
      for off in (-1, 0)),
]  # fmt: skip

numbers = st.one_of(
    st.sampled_from(AMOUNTS),
    st.integers(-(2**63), 2**63 - 1),
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-9999, max_value=9999),
)
scalars = st.one_of(
    st.none(), st.booleans(), numbers, st.sampled_from(RECIPIENTS), st.text(max_size=12)
)
values = st.one_of(
    scalars,
    st.lists(st.one_of(st.sampled_from(RECIPIENTS), scalars), max_size=4),
    st.dictionaries(st.text(max_size=4), scalars, max_size=3),
)
left = st.one_of(
    st.integers(-3, 100),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-2, max_value=9),
)
remains = st.dictionaries(st.sampled_from(DIMENSIONS), left, max_size=4)
arguments = st.dictionaries(st.sampled_from(ARGUMENTS), values, max_size=5)


@cache
def loaded(name: str) -> tuple[Any, Program]:
    """A reference policy, and what the interpreter needs to decide by it."""
    policy = {"flat": reference.flat, "library": reference.library}[name]()
    program = Program.from_modules(
        policy.modules, [reference.ENTRYPOINT], data=policy.data, compiled=False
    )
    return policy, program


@st.composite
def inputs(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """One of the benchmark's calls, some of its parts changed, in the shape of enforcement."""
    policy, _ = loaded(name)
    document = copy.deepcopy(draw(st.sampled_from(policy.cases)).input)
    agents = policy.data["guardrails_data"]["agents"]
    owners = sorted({entry["owner"] for entry in agents.values() if "owner" in entry})
    changes = {
        ("agent", "id"): st.sampled_from([*sorted(agents), "nobody"]),
        ("agent", "owner"): st.sampled_from([*owners, "", "eve@evil.example"]),
        ("agent", "environment"): st.sampled_from(["prod", "staging", "dev", "Prod", "ci", ""]),
        ("tool", "name"): st.one_of(st.sampled_from(TOOLS), st.text(max_size=8)),
        ("tool", "resource"): st.sampled_from(RESOURCES),
        ("tool", "operation"): st.sampled_from(["read", "write", "execute", "delete", "Read"]),
        ("tool", "labels"): st.lists(st.sampled_from(LABELS), unique=True, max_size=3).map(sorted),
        ("args",): arguments,
        ("run", "remaining"): remains,
        ("time",): st.sampled_from(TIMES),
    }
    for path in draw(st.lists(st.sampled_from(sorted(changes)), max_size=3, unique=True)):
        target = document
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = draw(changes[path])
    return document


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "effects"),
    [("flat", {"allow", "deny"}), ("library", {"allow", "deny", "require_approval"})],
)
def test_hand_written_python_decides_what_rego_decides(name, effects):
    policy, program = loaded(name)
    reasons: set[str] = set()
    seen: set[str] = set()

    @MANY
    @given(inputs(name))
    def agree(document):
        before = copy.deepcopy(document)
        by_hand = policy.by_hand(document)
        assert document == before
        by_rego = program.evaluate(reference.ENTRYPOINT, document, strict_builtin_errors=True)
        assert equal(from_json(by_hand), from_json(to_json(by_rego))), (by_hand, by_rego)
        seen.add(by_hand["effect"])
        reasons.update(map(str, by_hand["reasons"]))

    agree()
    assert seen == effects
    # the denials, and what is said of an allowed call
    said_by_each_rule = {"flat": 6 + 1, "library": 9 + 2}
    assert len(reasons) == said_by_each_rule[name]


@pytest.mark.parametrize("name", ["flat", "library"])
def test_decisions_by_hand_share_nothing(name):
    policy, _ = loaded(name)
    for case in policy.cases:
        first = policy.by_hand(case.input)
        expected = copy.deepcopy(first)
        for value in first.values():
            if isinstance(value, list):
                value.append("changed")
        for approval in expected.get("approvals", ()):
            assert approval in first["approvals"]
        for approval in first.get("approvals", ())[:-1]:
            approval["approvers"].append("changed")
        assert policy.by_hand(case.input) == expected
