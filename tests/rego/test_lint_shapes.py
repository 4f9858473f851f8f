"""Policies that OPA takes and that do not decide what was meant: found, and mended."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.rego.lint_shapes import SHAPES
from tests.rego.test_lint_refused import module

from guardrails.rego.lint import Finding, lint
from guardrails.rego.opa_binary import check, find_opa

if TYPE_CHECKING:
    from tests.rego.lint_corpus import Case

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    f"{name}_schema": json.loads(
        (ROOT / "policies/schemas" / name / "schema.json").read_text("utf-8")
    )
    for name in ("input", "data")
}
NAMES = [f"{case.rule_id} {case.bad}".replace("\n", " ")[:70] for case in SHAPES]
ELEVEN = {
    "fail-open-comparison",
    "fail-open-missing-data",
    "fail-open-message",
    "fail-open-not-equal",
    "fail-open-list",
    "fail-open-suffix",
    "fail-open-every",
    "fail-open-in-object",
    "fail-open-regex",
    "fail-open-object-get",
    "contribution",
    "number-comparison",
}


def found(text: str) -> list[Finding]:
    return lint(module(text), use_opa=False, **SCHEMAS)


@pytest.mark.parametrize("case", SHAPES, ids=NAMES)
def test_it_is_found_and_its_mend_passes(case: Case) -> None:
    findings = found(case.bad)
    own = [finding for finding in findings if finding.rule_id == case.rule_id]
    assert own, findings
    assert all(finding.row for finding in own)
    assert all(finding.mend for finding in own) or case.rule_id == "contribution"
    assert found(case.good) == []


def test_each_of_the_eleven_shapes_has_its_rule() -> None:
    assert {case.rule_id for case in SHAPES} >= ELEVEN


def test_opa_takes_them_all() -> None:
    opa = find_opa()
    if opa is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    refused = [
        (text, errors)
        for case in SHAPES
        for text in (case.bad, case.good)
        if (errors := check(opa, module(text), strict=False))
    ]
    assert refused == []


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
def test_the_mend_of_a_comparison_keeps_its_sense(sign: str) -> None:
    body = f"input.args.amount {sign} data.guardrails_data.project.limit"
    text = (
        f'deny contains "m" if not good\n\ngood if {{\n\tis_number(input.args.amount)\n\t{body}\n}}'
    )
    (finding,) = found(text)
    amount, limit = "input.args.amount", "data.guardrails_data.project.limit"
    low, high = (amount, limit) if sign.startswith("<") else (limit, amount)
    strict = ">" if len(sign) == 1 else ">="
    assert f"`{high} - {low} {strict} 0`" in finding.mend


@pytest.mark.parametrize(
    "folders",
    [
        ("policies",),
        ("examples/policies", "policies/fixtures"),
        ("examples/sidecar/policies", "policies/fixtures"),
    ],
)
def test_what_is_shipped_has_no_finding(folders: tuple[str, ...]) -> None:
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.rego"))]
    modules = {str(file.relative_to(ROOT)): file.read_text("utf-8") for file in files}
    assert modules
    assert lint(modules, use_opa=False, **SCHEMAS) == []


def test_without_schemas_fields_are_not_judged() -> None:
    text = 'deny contains "m" if not good\n\ngood if input.tol.name == "x"'
    assert lint(module(text), use_opa=False) == []


GOOD = 'deny contains "m" if not good\n\n'
NUMBER = "good if {\n\tis_number(input.args.n)\n\tinput.args.n <= limit\n}\n\nlimit := 10"
TWO = 'some a in input.tool.labels\n\tsome b in input.tool.labels\n\ta == "x"\n\tb == "y"'
EXCEPTION = 'input.args.to in {"a", "b"}\n\tnot startswith(input.args.to, "b")'
SOUND = {
    "a project's own documents": GOOD + "good if data.guardrails_data.ledger[input.agent.id] == 1",
    "arguments are free": GOOD + "good if input.args.a.b == 1",
    "what the input leaves open": GOOD + "good if input.run.history.refund == 1",
    "what the data leaves open": GOOD + "good if data.guardrails_data.project.x.y == 1",
    "one field, two bodies": 'deny contains "m" if input.tool.name == "a"\n\n'
    'deny contains "m" if input.tool.name == "b"',
    "two locals of one list": f'deny contains "m" if {{\n\t{TWO}\n}}',
    "an exception in a good case": f"{GOOD}good if {{\n\t{EXCEPTION}\n}}",
    "a whole number in a rule": GOOD + NUMBER,
    "a whole number by its schema": GOOD
    + "good if input.run.calls <= data.guardrails_data.project.most",
    "dates as texts": GOOD
    + 'good if {\n\tis_string(input.args.day)\n\tinput.args.day >= "2026-01-01"\n}',
}


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_no_false_alarm(text: str) -> None:
    assert found(text) == []


def test_a_type_check_does_not_make_a_list_of_what_is_bad_a_good_case() -> None:
    body = 'is_string(input.args.table)\n\tnot input.args.table in {"users"}'
    (finding,) = found(f"{GOOD}good if {{\n\t{body}\n}}")
    assert finding.rule_id == "fail-open-list"
