"""A failed assertion says what was expected, what is decided, by which rule, where, and why."""

from __future__ import annotations

from decimal import Decimal

import pytest

import guardrails as gr
from guardrails import testing

pytestmark = pytest.mark.guardrails(agent="billing", at="2026-03-01T12:00:00Z")


def call(amount):
    return {"order_id": "A-17", "amount": Decimal(amount)}


def failing(assertion, *args, **more):
    with pytest.raises(AssertionError) as failed:
        assertion(*args, **more)
    return str(failed.value)


def test_a_denial_in_place_of_a_permission_names_rule_file_row_and_values(governed, shop):
    said = failing(governed.assert_allowed, shop.refund, call(9000))
    assert said.startswith("refund: expected `allow`, and it is `deny`\n")
    assert '  args       {"amount":9000,"order_id":"A-17"}' in said
    assert "  by         billing in dev" in said
    assert "  says       [refunds] a refund is more than 0 and at most 5000" in said
    assert "refunds.rego:5  [refunds] deny: " in said
    assert "input.args.amount is 9000" in said


def test_whom_the_call_is_for_is_told(governed, shop):
    said = failing(
        governed.assert_allowed,
        shop.refund,
        call(9000),
        principal="ann@acme.example",
        labels=["urgent", "eu"],
    )
    assert "billing in dev, for ann@acme.example, labels eu, urgent" in said


def test_a_rule_that_was_to_speak_tells_what_it_waited_for(governed, shop):
    said = failing(governed.assert_denied, shop.refund, call(20), because="refunds")
    assert "expected `deny` because of `refunds`, and it is `allow`" in said
    assert "[refunds] not met: not data.guardrails.rules.refunds.moderate" in said


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        ("refund", "and no rule of that name is loaded (did you mean `refunds`?)"),
        ("qqq", "and no rule of that name is loaded;"),
        ("refunds", "expected because of `refunds`; the rules behind it: `access`"),
    ],
)
def test_a_rule_that_is_not_behind_it_is_told_from_one_that_is_not_there(
    governed, shop, rule, hint
):
    said = failing(governed.assert_allowed, shop.refund, call(20), because=rule)
    assert hint in said


def test_because_of_several_rules_means_all_of_them(governed, shop):
    everything = {**call(2000)}
    governed.assert_needs_approval(shop.refund, everything, because=["defaults"])
    said = failing(
        governed.assert_needs_approval, shop.refund, everything, because=["defaults", "access"]
    )
    assert "expected because of `access`" in said


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        ({"approvers": "finance-ops"}, True),
        ({"approvers": ["finance-ops"], "quorum": 2}, True),
        ({"quorum": 2, "because": "defaults"}, True),
        ({"approvers": ["finance-ops", "operations"]}, False),
        ({"approvers": []}, False),
        ({"approvers": "finance-ops", "quorum": 1}, False),
        ({"quorum": 3}, False),
    ],
)
def test_approvers_and_quorum_are_those_of_one_approval(governed, shop, wanted, holds):
    if holds:
        governed.assert_needs_approval(shop.refund, call(2000), **wanted)
        return
    said = failing(governed.assert_needs_approval, shop.refund, call(2000), **wanted)
    assert "must approve it" in said
    assert "  asks       [defaults] 2 of finance-ops, within 14400 s" in said


def test_what_the_decorator_asks_is_asked_by_the_decorator(governed, shop):
    governed.assert_needs_approval(
        shop.secret, because="decorator", approvers="vault-keepers", quorum=1
    )


def test_a_refusal_before_policy_is_no_denial_and_says_how_to_expect_it(governed, shop):
    said = failing(governed.assert_denied, shop.refund, call(20), spent={"usd": 5})
    assert "expected `deny`, and it is `budget_exceeded`" in said
    assert "assert_refused(…, code='budget_exceeded')" in said


def test_arguments_that_do_not_fit_are_told_as_they_were_given(governed, shop):
    said = failing(governed.assert_allowed, shop.refund, {"order_id": "A-17"})
    assert "it is `invalid_arguments`" in said
    assert "args.amount: missing" in said


def test_a_refusal_code_that_is_none_is_an_error_and_no_failed_assertion(governed, shop):
    with pytest.raises(ValueError, match="there is no refusal `budget_exeeded`; there are"):
        governed.assert_refused(shop.refund, call(20), code="budget_exeeded")
    with governed.run(), pytest.raises(ValueError, match="there is no refusal `denied`"):
        testing.assert_refused(shop.refund, call(20), code="denied")


def test_rewritten_arguments_are_compared_exactly(governed, shop):
    long = {"text": "a long note"}
    governed.assert_allowed(shop.note, long, runs_with={"text": "a long n"})
    said = failing(governed.assert_allowed, shop.note, long, runs_with={"text": "a long"})
    assert 'expected to run with `text` = "a long", not "a long n"' in said
    assert '  rewritten  {"day":"2026-01-01","text":"a long n"}' in said
    said = failing(governed.assert_allowed, shop.note, long, runs_with={"txt": "a"})
    assert "not nothing" in said


def test_true_is_not_one(governed, shop):
    said = failing(governed.assert_allowed, shop.refund, call(1), runs_with={"amount": True})
    assert "expected to run with `amount` = true, not 1" in said


def test_the_functions_of_the_module_assert_about_the_current_run(governed, shop):
    with governed.run():
        testing.assert_allowed(shop.refund, call(20), because="access")
        testing.assert_denied(shop.refund, call(0), because="refunds")
        testing.assert_needs_approval(shop.refund, call(2000), approvers="finance-ops")
        testing.assert_refused(shop.refund, {}, code="invalid_arguments")
        said = failing(testing.assert_denied, shop.refund, call(20), because="refund")
        assert "it is `allow`" in said
    with governed.run(labels=["x"]) as run:
        governed.clock.set("2026-03-01T01:00:00Z")
        testing.assert_shadowed(shop.note, {"text": "a"}, because="notes", run=run)
    assert shop.RAN == []


def test_outside_of_every_run_nothing_is_asserted(shop):
    with pytest.raises(gr.NoActiveRun, match=r"governed\.run"):
        testing.assert_allowed(shop.refund, call(20))


def test_they_work_with_a_governor_of_the_programs_own(shop):
    with testing.run():
        testing.assert_allowed(shop.refund, call(20), because="testing")


def test_in_an_open_run_nobody_can_be_asked_about_another_one(governed, shop):
    with governed.run(), pytest.raises(gr.ConfigError, match="is open: decide in it"):
        governed.assert_allowed(shop.refund, call(20), principal="ann@acme.example")


def test_what_is_no_tool_is_an_error(governed):
    with pytest.raises(gr.ConfigError, match="is no governed tool"):
        governed.assert_allowed(len, {})
    with pytest.raises(gr.ConfigError, match="is no governed tool"):
        governed.assert_denied("refnd", {})


def test_an_agent_that_is_not_there_is_an_error_with_a_suggestion(governed, shop):
    with pytest.raises(gr.ConfigError, match="did you mean `billing`"):
        governed.assert_denied(shop.refund, call(20), agent="biling")


@pytest.mark.parametrize(
    ("spent", "message"), [({"dollars": 1}, "'dollars': there are `usd` and `tokens`")]
)
def test_what_cannot_be_spent_is_an_error(governed, shop, spent, message):
    with pytest.raises(gr.ConfigError, match=message):
        governed.decide(shop.refund, call(20), spent=spent)


def test_calls_before_that_the_budget_forbids_are_an_error(governed, shop):
    with pytest.raises(gr.ConfigError, match=r"cannot have called `refund` 51 times before"):
        governed.decide(shop.refund, call(20), after={shop.refund: 51})


def test_calls_before_whose_price_is_not_known_are_an_error(governed, shop):
    with pytest.raises(gr.ConfigError, match="the price of `note` depends on its arguments"):
        governed.decide(shop.refund, call(20), after={shop.note: 1})


@pytest.mark.parametrize("moment", ["tomorrow", "2026-03-01", "2026-03-01T12:00:00", 5])
def test_a_moment_without_its_time_zone_is_an_error(governed, moment):
    with pytest.raises(ValueError, match="a moment with its time zone is needed"):
        governed.clock.set(moment)
