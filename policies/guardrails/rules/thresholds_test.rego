package guardrails_test.thresholds

import data.guardrails.rules.thresholds
import future.keywords.not

limits := {"refund": {"amount": {"above": 1000, "approvers": ["finance-ops"]}}}

asked(args, given) := found if {
	found := thresholds.require_approval with input.tool.name as "refund"
		with input.args as args
		with data.guardrails_data.thresholds as given
}

denied(given) if {
	count(thresholds.deny) == 1 with input.tool.name as "refund"
		with input.args as {"amount": 1}
		with data.guardrails_data.thresholds as given
	asked({"amount": 5000}, given) == set()
}

test_up_to_the_limit_nobody_is_asked if {
	every amount in [0, 1, 999.99, 1000] {
		asked({"amount": amount}, limits) == set()
	}
}

test_above_it_a_person_decides if {
	every amount in [1000.01, 1001, 1e12] {
		asked({"amount": amount}, limits) == {{
			"reason": "amount above 1000",
			"approvers": ["finance-ops"],
			"quorum": 1,
			"expires_in": 14400,
		}}
	}
}

test_what_is_no_amount_counts_as_above if {
	every amount in [null, false, true, -1, "5", "5000", [], [5], {}, {"value": 5}] {
		count(asked({"amount": amount}, limits)) == 1
	}
	every args in [{}, {"Amount": 5}, [], "amount", null] {
		count(asked(args, limits)) == 1
	}
}

test_missing_arguments_count_as_above if {
	given := limits
	count(thresholds.require_approval) == 1 with input.tool.name as "refund"
		with data.guardrails_data.thresholds as given
}

test_terms_can_be_given if {
	asked({"amount": 11}, {"refund": {"amount": {"above": 10, "approvers": ["a", "b"], "quorum": 2, "expires_in": 60}}}) == {{
		"reason": "amount above 10",
		"approvers": ["a", "b"],
		"quorum": 2,
		"expires_in": 60,
	}}
}

test_every_argument_is_asked_for_by_itself if {
	given := {"refund": {
		"amount": {"above": 10, "approvers": ["a"]},
		"count": {"above": 1, "approvers": ["b"]},
	}}
	count(asked({"amount": 11, "count": 2}, given)) == 2
	count(asked({"amount": 11, "count": 1}, given)) == 1
}

test_other_tools_are_not_asked_for if {
	count(thresholds.deny) == 0 with input.tool.name as "match" with data.guardrails_data.thresholds as {}
	asked({"amount": 5000}, {"wire": {"amount": {"above": 1, "approvers": ["a"]}}}) == set()
}

test_malformed_limits_deny if {
	every given in [
		null, true, "refund", [],
		{"refund": null}, {"refund": 1000}, {"refund": [{"above": 1, "approvers": ["a"]}]},
		{"refund": {"amount": 1000}}, {"refund": {"amount": {}}},
		{"refund": {"amount": {"approvers": ["a"]}}},
		{"refund": {"amount": {"above": "1000", "approvers": ["a"]}}},
		{"refund": {"amount": {"above": null, "approvers": ["a"]}}},
		{"refund": {"amount": {"above": 1}}},
		{"refund": {"amount": {"above": 1, "approvers": []}}},
		{"refund": {"amount": {"above": 1, "approvers": "a"}}},
		{"refund": {"amount": {"above": 1, "approvers": ["a"], "quorom": 2}}},
	] {
		denied(given)
	}
}

test_nothing_known_denies if {
	count(thresholds.deny) == 1
	count(thresholds.deny) == 1 with input.tool.name as "refund" with data.guardrails_data as {}
	count(thresholds.deny) == 1 with data.guardrails_data.thresholds as {}
}

test_whole_numbers_with_a_point_compare_as_numbers if {
	given := {"refund": {"amount": {"above": 1000.5, "approvers": ["a"]}}}
	count(asked({"amount": 4180.0}, given)) == 1
	whole := {"refund": {"amount": {"above": 1000.0, "approvers": ["a"]}}}
	asked({"amount": 100.51}, whole) == set()
}
