"""The mask is that of the policies that decide now; it never fails silently."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.opa.logs.mask_policy import MaskPolicy
from guardrails.rego.planner import plan_modules

DECISION = 'package guardrails\n\ndecision := {"effect": "allow"}\n'
RULE = 'package system.log\n\nmask contains "/input/secret" if input.input.secret\n'
NESTED = 'package system\n\nlog.mask contains "/input/secret" if input.input.secret\n'
ENTRY = {"path": "guardrails/decision", "input": {"secret": "s3cret", "n": 1}}


@dataclass
class Policies:
    revision: str = "1"
    modules: dict[str, str] = field(default_factory=lambda: {"d.rego": DECISION})
    data: dict[str, Any] = field(default_factory=dict)
    plan: str | None = None


def mask(policies: Policies, rule: str = "system/log/mask") -> MaskPolicy:
    return MaskPolicy(lambda: policies, rule)


@pytest.mark.parametrize("text", [RULE, NESTED, RULE.replace("\n", "\r\n"), f"# x\n{RULE}"])
def test_a_rule_says_what_to_mask(text):
    ask = mask(Policies(modules={"d.rego": DECISION, "m.rego": text}))
    assert ask(ENTRY) == ["/input/secret"]
    assert ask({"input": {}}) == []


def test_another_rule_can_be_named():
    modules = {"m.rego": 'package hide.it\n\nall := ["/input"]\n'}
    assert mask(Policies(modules=modules), "hide/it/all")(ENTRY) == ["/input"]


def test_without_one_nothing_is_masked():
    assert mask(Policies())(ENTRY) is None
    elsewhere = "package system.logs\n\nmask := 1\n"
    assert mask(Policies(modules={"m.rego": elsewhere}))(ENTRY) is None
    silent = "package system.log\n\nmask := 1 if input.never\n"
    assert mask(Policies(modules={"m.rego": silent}))(ENTRY) is None


def test_data_can_say_it():
    data = {"system": {"log": {"mask": ["/input/secret"]}}}
    assert mask(Policies(data=data))(ENTRY) == ["/input/secret"]


def test_a_plan_can_have_it():
    plan = plan_modules({"m.rego": RULE, "d.rego": DECISION}, ["system/log/mask"]).document
    ask = mask(Policies(modules={}, plan=json.dumps(plan)))
    assert ask(ENTRY) == ["/input/secret"]


def test_new_policies_mask_anew():
    policies = Policies(modules={"m.rego": RULE})
    ask = mask(policies)
    assert ask(ENTRY) == ["/input/secret"]
    policies.modules = {"m.rego": RULE.replace("/input/secret", "/input/n")}
    assert ask(ENTRY) == ["/input/secret"], "as long as the revision is the same"
    policies.revision = "2"
    assert ask(ENTRY) == ["/input/n"]


def test_what_fails_is_an_error_and_not_silence():
    failing = (
        'package system.log\n\nmask contains "/input/secret" if to_number(input.input.secret) > 0\n'
    )
    with pytest.raises(EvaluationError):
        mask(Policies(modules={"m.rego": failing}))(ENTRY)
    broken = mask(Policies(modules={"m.rego": "package system.log\n\nmask contains x if y\n"}))
    for _ in range(2):
        with pytest.raises(PolicyLoadError):
            broken(ENTRY)
