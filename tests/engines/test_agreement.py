"""Answers are the same where they do the same, and comparable where revisions do not gainsay it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from guardrails.engines.agreement import are_comparable, differences
from guardrails.errors import EvaluationError, Reason
from guardrails.model.decision import (
    ApprovalDemand,
    Decision,
    Effect,
    MalformedDecision,
    Obligation,
)

DIGEST = "sha256:" + "0" * 64
OTHER = "sha256:" + "1" * 64
DECISION = Decision(
    Effect.REQUIRE_APPROVAL,
    (),
    (ApprovalDemand("limits", "over 1000", ("finance-ops",)),),
    (Obligation("transform", "/args/note", {"n": 1}),),
    revision="a",
    decision_id="d",
)


def test_the_names_of_revision_and_call_make_no_difference() -> None:
    assert differences(DECISION, replace(DECISION, revision="b", decision_id="e")) == ()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"effect": Effect.DENY}, ("effect",)),
        ({"reasons": (Reason("a", "b"),)}, ("reasons",)),
        ({"approvals": ()}, ("approvals",)),
        ({"approvals": (replace(DECISION.approvals[0], quorum=2),)}, ("approvals",)),
        ({"would": Effect.ALLOW}, ("would",)),
        ({"obligations": ()}, ("obligations",)),
        ({"obligations": (Obligation("transform", "/args/note", {"n": True}),)}, ("obligations",)),
        ({"obligations": (Obligation("transform", "/args/note", {"n": Decimal("1.0")}),)}, ()),
        ({"effect": Effect.ALLOW, "approvals": ()}, ("effect", "approvals")),
    ],
)
def test_whatever_is_done_makes_a_difference(changes, found) -> None:
    assert differences(DECISION, replace(DECISION, **changes)) == found


def test_errors_are_the_same_by_their_kind() -> None:
    failed = EvaluationError("eval_type_error", "here", file="a.rego", row=3)
    assert differences(failed, EvaluationError("eval_type_error", "there")) == ()
    assert differences(failed, EvaluationError("eval_conflict_error", "there")) == ("answer",)
    assert differences(failed, DECISION) == differences(DECISION, failed) == ("answer",)
    assert differences(MalformedDecision("a"), MalformedDecision("b")) == ()
    assert differences(MalformedDecision("a"), failed) == ("answer",)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (DIGEST, "unversioned", True),  # pushed to OPA, which tells nothing of it
        (f"authz=v1 {DIGEST}", "unversioned", True),
        (f"authz=v1 {DIGEST}", "authz@v1", True),
        (f"authz=v1 {DIGEST}", "authz@v1,other@7", True),  # OPA serves others, too
        (f"authz=v1 {DIGEST}", "authz@v2", False),
        (f"a=1,b=2 {DIGEST}", "a@1,b@3", False),
        (f"a=1,b=2 {DIGEST}", "a@1,b@2", True),
        (f"authz=v1 {DIGEST}", "other@v1", False),
        (f"file:b.tar.gz=v1 {DIGEST}", "authz@v1", True),  # a file has no name that OPA knows
        (f"file:b.tar.gz=v1 {DIGEST}", "/srv/b.tar.gz@v1,other@7", True),
        (f"file:b.tar.gz=v1 {DIGEST}", "authz@v2", False),
        (f"file:b.tar.gz=v1 {DIGEST}", "b.tar.gz@v2", False),
        (f"file:b.tar.gz=v1 {DIGEST}", "unversioned", True),
        (DIGEST, "authz@v1", False),  # a directory here, a bundle there: nothing says the same
        (DIGEST, f"authz@{DIGEST}", True),  # a bundle that is named by the digest
        (DIGEST, f"authz@{OTHER}", False),
        (DIGEST, DIGEST, True),
        (DIGEST, OTHER, False),
        (f"authz=v1 {DIGEST}", "authz@?", True),
        (f"authz={DIGEST} {OTHER}", f"authz@{DIGEST}", True),
        (f"a={DIGEST},b=1 {OTHER}", f"a@{DIGEST},b@2", False),
        (f"authz=v1, of June {DIGEST}", "authz@v1, of June", True),
        (f"authz=v1, of June {DIGEST}", "authz@v1, of July", False),
    ],
)
def test_what_can_be_compared(ours, theirs, expected) -> None:
    assert are_comparable(ours, theirs) is expected
