"""Golden decisions: every difference is told, call by call, and nothing is written unasked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import ConfigError
from guardrails.model.decision import ApprovalDemand
from guardrails.testing import golden
from guardrails.testing.verdict import Verdict

BASE = Verdict("allow", "refund", {"amount": 1}, {"amount": 1}, "billing", "dev", rules=("access",))

texts = st.text(max_size=10).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
arguments = st.dictionaries(texts, values, max_size=3)
demands = st.builds(
    ApprovalDemand,
    st.sampled_from(["defaults", "decorator"]),
    texts,
    st.lists(st.sampled_from(["a", "b-c"]), min_size=1, max_size=2).map(tuple),
    st.integers(1, 3),
    st.integers(1, 9),
)
verdicts = st.builds(
    Verdict,
    says=st.sampled_from(["allow", "deny", "require_approval", "budget_exceeded"]),
    tool=st.sampled_from(["refund", "crm/note"]),
    args=arguments,
    runs_with=arguments,
    agent=st.sampled_from(["billing", "reader"]),
    environment=st.just("dev"),
    principal=st.one_of(st.none(), texts),
    labels=st.lists(texts, max_size=2).map(tuple),
    rules=st.lists(st.sampled_from(["access", "refunds"]), max_size=2, unique=True).map(tuple),
    reasons=st.lists(texts, max_size=1).map(tuple),
    approvals=st.lists(demands, max_size=2, unique_by=lambda each: each.rule).map(tuple),
    revision=texts,
)


def of(*some):
    return golden.text_of({str(number): each for number, each in enumerate(some)})


@given(some=st.lists(verdicts, min_size=1, max_size=4))
def test_a_file_is_yaml_and_says_the_same_of_the_same(some):
    text = of(*some)
    read = yaml.safe_load(text)
    assert [each["decision"] for each in read] == [each.says for each in some]
    assert [each["call"]["args"] for each in read] == [each.args for each in some]
    assert text == of(*some)
    assert golden.difference(text, text) is None
    assert all(line.isprintable() for line in text.split("\n"))


@given(one=verdicts, other=verdicts)
def test_no_decision_looks_like_another_one(one, other):
    """What tells two verdicts apart is in the file, but for what changes by itself."""
    same = (
        (one.says, frozenset(one.rules), one.args, one.runs_with, one.tool, one.agent)
        == (
            other.says,
            frozenset(other.rules),
            other.args,
            other.runs_with,
            other.tool,
            other.agent,
        )
        and [(a.rule, a.approvers, a.quorum, a.expires_in) for a in one.approvals]
        == [(a.rule, a.approvers, a.quorum, a.expires_in) for a in other.approvals]
        and (one.principal, one.labels) == (other.principal, other.labels)
    )
    if not same and one.args == other.args:
        assert of(one) != of(other)
    if same:
        assert of(one) == of(other)


def test_ids_wording_and_revision_change_nothing():
    other = replace(BASE, reasons=("[access] in other words",), revision="sha256:other")
    assert of(BASE) == of(other)


def test_a_flip_is_told_by_its_call_and_line():
    flipped = replace(BASE, says="deny", rules=("refunds",))
    unchanged = replace(BASE, args={"amount": 2}, runs_with={"amount": 2})
    said = golden.difference(
        golden.text_of([unchanged, BASE]), golden.text_of([unchanged, flipped])
    )
    assert said == (
        'decided otherwise (line 5): {tool: "refund", agent: "billing", environment: "dev",'
        ' args: {"amount":1}}\n'
        "  - decision: allow\n"
        '  - rules: ["access"]\n'
        "  + decision: deny\n"
        '  + rules: ["refunds"]'
    )


def test_calls_that_come_and_go_are_told():
    other = replace(BASE, tool="note")
    said = golden.difference(golden.text_of([BASE]), golden.text_of([other]))
    assert said.splitlines()[0].startswith("a call that is decided no more (line 2): ")
    assert "a new call: " in said


@pytest.mark.parametrize("edit", [lambda text: text + "\n", lambda text: text.replace("#", "##")])
def test_a_file_that_somebody_wrote_into_is_no_golden_file(edit):
    text = golden.text_of([BASE])
    assert golden.difference(edit(text), text) is not None


def test_no_calls_are_no_golden_decisions():
    with pytest.raises(ConfigError, match="would hold whatever policy says"):
        golden.text_of([])


def test_one_call_twice_needs_names():
    with pytest.raises(ConfigError, match=r"twice: .* as a mapping of names"):
        golden.text_of([BASE, BASE])
    assert golden.text_of({"first": BASE, "then": BASE}).count('name: "') == 2


def test_what_has_no_json_form_is_an_error():
    with pytest.raises(ConfigError, match="have no JSON form"):
        golden.text_of([replace(BASE, args={"x": object()})])


def test_numbers_are_exact():
    text = golden.text_of([replace(BASE, args={"amount": Decimal("0.10")})])
    assert '{"amount":0.1}' in text


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "a.yaml"
    golden.write(path, "one\n")
    golden.write(path, "two\n")
    assert golden.read(path) == "two\n"
    assert list(path.parent.iterdir()) == [path]
    assert golden.read(tmp_path / "no.yaml") is None
    with pytest.raises(ConfigError, match=r"below\.yaml: cannot be written"):
        golden.write(path / "below.yaml", "x")


def test_line_ends_of_another_system_are_no_difference(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(golden.text_of([BASE]).replace("\n", "\r\n").encode())
    kept = golden.read(path)
    assert kept is not None
    assert golden.difference(kept, golden.text_of([BASE])) is None
