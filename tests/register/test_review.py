"""A register that loads can still lack what production needs; findings name the place."""

from __future__ import annotations

from datetime import date

from guardrails.register import Register
from guardrails.register.review import findings
from guardrails.register.yaml_source import parse_yaml

TODAY = date(2026, 6, 15)
COMPLETE = """\
bot:
  owner: dana@acme.example
  deputy: kim@acme.example
  purpose: Pays.
  on_call: {notify: "#pay"}
  signed_off: {by: kim@acme.example, on: 2026-06-15}
  review_by: 2026-06-15
  budget: {prod: {usd: 5}}
  access: {payments: [read]}
"""


def found(text: str) -> list[str]:
    register = Register.from_source(parse_yaml(text, "a.yaml"))
    return [str(problem) for problem in findings(register, TODAY)]


def test_a_complete_entry_has_no_findings_on_the_last_day_of_its_review():
    assert found(COMPLETE) == []


def test_an_overdue_review_and_a_future_sign_off_are_found():
    text = COMPLETE.replace("on: 2026-06-15", "on: 2026-06-16").replace(
        "_by: 2026-06-15", "_by: 2026-06-14"
    )
    assert [line.split(" ")[0] for line in found(text)] == ["a.yaml:6:42:", "a.yaml:7:14:"]


def test_production_needs_each_of_the_five():
    for name in ("deputy", "purpose", "on_call", "signed_off", "review_by"):
        kept = [line for line in COMPLETE.splitlines() if not line.startswith(f"  {name}:")]
        (problem,) = found("\n".join(kept))
        assert problem == f"a.yaml:1:1: bot: lacks `{name}`, which an agent in `prod` needs"


def test_development_needs_only_an_owner_a_budget_and_access():
    assert found("b: {owner: d@a.example, budget: {dev: {usd: 1}}, access: {x: [read]}}") == []
    assert len(found("b: {owner: d@a.example}")) == 2
