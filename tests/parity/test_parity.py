"""The engine in this process decides what a real OPA server decides; a campaign that can fail.

The whole campaign runs with GUARDRAILS_SOAK=1, and as ``make parity``; else a sample of it.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from tests.parity.campaign import FULL, Tally, campaign, compare, plainly
from tests.parity.inputs import JUNK, NUMERALS, cases, places, text_of
from tests.parity.subjects import Subject, subjects

from guardrails.engines.layers import PolicyFiles
from guardrails.rego.agreement_inputs import Vocabulary
from guardrails.rego.opa_binary import find_opa

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
SAMPLE = 250
SAMPLED = ("library", "library + banking")

pytestmark = pytest.mark.opa


@pytest.fixture(scope="module")
def opa() -> str:
    found = find_opa()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("OPA is missing: run `make opa`")
        pytest.skip("no OPA: run `make opa`")
    return found


def tallies(opa: str) -> list[Tally]:
    if SOAK:
        return list(campaign(opa, FULL))
    with tempfile.TemporaryDirectory() as folder:
        chosen = [each for each in subjects(Path(folder)) if each.name in SAMPLED]
        return [compare(opa, each, SAMPLE, compiled=False) for each in chosen]


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_shipped_policies_decide_alike_here_and_on_an_opa_server(opa) -> None:
    found = tallies(opa)
    assert [str(each) for tally in found for each in tally.differences] == []
    outcomes = set().union(*(tally.outcomes for tally in found))
    assert {"allow", "deny", "require_approval"} <= outcomes, "what is not reached is not compared"
    if SOAK:
        assert sum(tally.inputs for tally in found) >= 20_000
        assert "error eval_type_error" in outcomes, "strict builtin errors are compared, too"


def one_rule(folder: Path, condition: str) -> Subject:
    """A policy of one rule about `input.args.amount`."""
    (folder / "one.rego").write_text(
        "package guardrails\n\n"
        'default decision := {"effect": "deny"}\n\n'
        f'decision := {{"effect": "allow"}} if {condition}\n',
        encoding="utf-8",
    )
    calls = tuple({"args": {"amount": 400 + each}} for each in range(20))
    return Subject("one rule", PolicyFiles((folder,)), {}, calls, decides=False)


def test_a_policy_that_says_something_else_is_a_difference(opa, tmp_path) -> None:
    subject = one_rule(tmp_path, "input.args.amount <= 400")
    other = (tmp_path / "one.rego").read_text("utf-8").replace("<= 400", "<= 401")
    tally = compare(opa, subject, 60, compiled=False, served={"one.rego": other})
    assert tally.differences
    # The sound call of 401 is one; numbers that are written plainly do not make it agree.
    assert any('"amount": 401' in each.case.text for each in tally.differences)
    assert tally.defects == []


def test_a_comparison_that_opa_gets_wrong_is_its_defect_and_is_counted(opa, tmp_path) -> None:
    subject = one_rule(tmp_path, "input.args.amount <= 1000.5")
    tally = compare(opa, subject, 400, compiled=False)
    assert tally.differences == []
    assert tally.defects
    for each in tally.defects:
        amount = json.loads(each.case.text, parse_float=str)["args"]["amount"]
        # OPA strips every zero and point at the end of what is written with a point.
        assert "." in amount
        stripped = amount.rstrip(".0")
        assert (
            not stripped.strip("-") or stripped[-1] == "e" or Decimal(stripped) != Decimal(amount)
        )


def test_plain_numbers_are_the_same_document() -> None:
    for text in (each[1:] for each in NUMERALS):
        assert Decimal(plainly(text)) == Decimal(text)
        assert "e" not in plainly(text).lower()
    document = '{"a": [1.50, "1.50", {"b": -0.0}], "\\u0001": 10.0, "c": 7}'
    assert json.loads(plainly(document), parse_float=Decimal) == json.loads(
        document, parse_float=Decimal
    )
    assert plainly(document).count("1.50") == 1, "texts stay as they are"


def test_every_field_of_every_call_is_missing_once() -> None:
    call = {"agent": {"id": "a"}, "args": {"to": ["x", "y"]}, "time": 1}
    made = list(cases([call], {"type": "object"}, Vocabulary(("x",)), random.Random(0), 200))
    missing = [json.loads(each.text) for each in made if each.kind == "field missing"]
    assert len(missing) == len(list(places(call))) == 7
    assert {"args": {"to": ["x", "y"]}, "time": 1} in missing
    assert {"agent": {"id": "a"}, "args": {"to": ["y"]}, "time": 1} in missing
    assert {each.kind for each in made} > {"sound", "junk", "number", "text", "words"}


def test_junk_is_of_every_type_and_written_as_it_is() -> None:
    assert {type(each) for each in JUNK} == {type(None), bool, int, float, str, list, dict}
    assert text_of({"a": NUMERALS[0], "b": "x"}) == '{"a": 0.0, "b": "x"}'
