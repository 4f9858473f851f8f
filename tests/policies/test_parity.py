"""The shipped library decides alike on OPA and through both planners, also on junk."""

from __future__ import annotations

import copy
import json
import os
import random
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from guardrails.rego.program import Program
from guardrails.rego.sources import find_sources
from guardrails.rego.values import to_json

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "policies" / "guardrails"
ENTRY = "guardrails/decision"
CASES = 6000 if os.environ.get("GUARDRAILS_SOAK") == "1" else 300
BATCH = 500
QUERY = (
    "[d | some c in data.cases; call := c.input; given := c.data; d := data.guardrails.decision"
    " with input as call with data.guardrails_data as given]"
)

JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 2.5, 1e30, "", "x", "prod", "read", "customer_facing",
    [], [None], ["prod"], ["read"], [[]], {}, {"x": 1}, {"amount": -5}, "2026-13-01",
    "a@acme.example\n",
]  # fmt: skip

CALL: dict[str, Any] = {
    "agent": {
        "id": "billing",
        "version": 3,
        "owner": "dana@acme.example",
        "environment": "prod",
        "labels": [],
    },
    "principal": "customer:1",
    "tool": {
        "name": "pay",
        "resource": "payments",
        "operation": "write",
        "labels": ["moves_money", "customer_facing"],
        "hidden": [],
    },
    "args": {"amount": 20, "to": "pat@customer.example", "cc": None},
    "call": {"id": "c1"},
    "run": {"id": "r1", "ancestry": [], "remaining": {"usd": 4.5, "calls": 10}},
    "time": 1781524800000000000,
}

DATA: dict[str, Any] = {
    "agents": {
        "billing": {
            "version": 3,
            "owner": "dana@acme.example",
            "environments": ["dev", "prod"],
            "access": [{"resource": "payments", "operations": ["read", "write"]}],
            "contacts": ["pat@customer.example", "@acme.example"],
            "review_by": "2026-12-31",
            "approval": {"pay": {"above": 100.50, "argument": "amount"}},
        }
    },
    "thresholds": {"pay": {"amount": {"above": 1000.0, "approvers": ["finance-ops"]}}},
    "blocked_tools": {"dev": ["wire"]},
    "approvers": {"moves_money": {"approvers": ["finance-ops"], "quorum": 2}},
    "contact_arguments": {"mail": ["address"]},
}

VALUES: dict[str, list[Any]] = {
    "environment": ["prod", "dev", "Prod", "staging"],
    "name": ["pay", "wire", "mail", "match"],
    "operation": ["read", "write", "execute"],
    "labels": [[], ["moves_money"], ["pii"], ["production_config", "deletes_data"], ["pii", 1]],
    "amount": [0, 4180.0, 100.5, 100.51, 1000, 1000.01, 1e12, "20"],
    "to": ["a@ACME.example", "eve@evil.example", ["pat@customer.example"], "e@x,a@acme.example"],
    "cc": [[], "a@acme.example", "eve@evil.example"],
    "remaining": [{}, {"usd": 0}, {"usd": -0.01}, {"calls": "5"}],
    "time": [0, 1798761599999999999, 1798761600000000000, 9223372036854775808, 0.5],
    "review_by": ["2026-12-31", "2026-06-15", "2026-06-14", "2026-02-30", "soon"],
    "approval": [
        {},
        {"moves_money": {"required": False}},
        {"pay": {"required": False, "approvers": ["x"]}},
        {"pii": {"approvers": ["privacy"], "quorum": 0}},
        {"moves_money": None},
        {"customer_facing": {"approvers": ["finance-ops"], "quorum": 2}},
    ],
    "contact_arguments": [{}, {"pay": []}, {"pay": ["to", "cc"]}, {"pay": "to"}],
    "contacts": [[], [1, "@acme.example"], "@acme.example"],
    "unreviewed_environments": [["prod"], "prod"],
    "approvers": [{}, {"moves_money": []}, {"customer_facing": {"approvers": []}}],
    "above": [1000.5, 1000.0, 1000, 10.25, 1e21, "1000"],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a document."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [found for key, inner in items for found in ((*path, key), *places(inner, (*path, key)))]


def spoil(document: Any, rng: random.Random) -> None:
    """Changes one place in a document: to a telling value, to junk, or to nothing."""
    path = rng.choice(places(document))
    target = document
    for key in path[:-1]:
        target = target[key]
    last = path[-1]
    choice = rng.random()
    if choice < 0.6 and last in VALUES:
        target[last] = copy.deepcopy(rng.choice(VALUES[last]))
    elif choice < 0.8 or isinstance(target, list):
        target[last] = copy.deepcopy(rng.choice(JUNK))
    else:
        del target[last]


def cases(count: int) -> list[dict[str, Any]]:
    """Calls with their data, most of them changed in a few places."""
    rng = random.Random(20260615)  # a reproducible sample, no secret
    made = []
    for _ in range(count):
        case = {"input": copy.deepcopy(CALL), "data": copy.deepcopy(DATA)}
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            spoil(case["input"] if rng.random() < 0.6 else case["data"], rng)
        made.append(case)
    return made


def by_opa(opa: str, batch: list[dict[str, Any]], folder: Path) -> list[str]:
    """OPA's decisions; an error of any builtin is an error of the whole batch."""
    file = folder / "cases.json"
    file.write_text(json.dumps({"cases": batch}), encoding="utf-8")
    command = [
        opa, "eval", "--strict-builtin-errors", "--format", "raw", "--ignore", "*_test.rego",
        "--data", str(LIBRARY), "--data", str(file), QUERY,
    ]  # fmt: skip
    done = subprocess.run(  # the binary that this test is about
        command, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return [canonical(item) for item in json.loads(done.stdout, parse_float=Decimal)]


def canonical(decision: Any) -> str:
    """One text for equal decisions; the sets in them are sorted by both engines already."""
    return json.dumps(decision, sort_keys=True, default=str)


def program(planner: str, opa: str) -> Program:
    """The library, planned by one of the two planners."""
    modules = find_sources([LIBRARY], ignore_tests=True).modules
    return Program.from_modules(modules, [ENTRY], planner=planner, opa=opa)  # type: ignore[arg-type]  # the parameter's two values


@pytest.mark.parametrize("planner", ["regopy", "opa"])
def test_decisions_equal_those_of_opa(planner: str, opa: str, tmp_path: Path) -> None:
    loaded = program(planner, opa)
    sample = cases(CASES)
    effects = set()
    for start in range(0, len(sample), BATCH):
        batch = json.loads(json.dumps(sample[start : start + BATCH]), parse_float=Decimal)
        expected = by_opa(opa, sample[start : start + BATCH], tmp_path)
        assert len(expected) == len(batch)
        for case, theirs in zip(batch, expected, strict=True):
            ours = loaded.evaluate(
                ENTRY,
                case["input"],
                {"guardrails_data": case["data"]},
                strict_builtin_errors=True,
            )
            assert canonical(to_json(ours)) == theirs, case
            effects.add(json.loads(theirs)["effect"])
    assert effects == {"allow", "deny", "require_approval"}


def test_the_sample_is_the_same_every_time() -> None:
    assert cases(20) == cases(20)
    assert CALL["args"] == {"amount": 20, "to": "pat@customer.example", "cc": None}
