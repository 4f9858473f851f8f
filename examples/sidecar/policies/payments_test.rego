package guardrails_test.payments

import data.guardrails.rules.payments

denied(amount) := count(found) if {
	found := payments.deny with input.tool.name as "pay_invoice" with input.args.amount as amount
}

test_small_sums_are_paid if {
	denied(0) == 0
	denied(1000) == 0
}

test_nothing_else_is if {
	every amount in [1001, -1, null, "20", true, [], {}] {
		denied(amount) == 1
	}
}

test_a_missing_amount_is_none if {
	found := payments.deny with input.tool.name as "pay_invoice"
	count(found) == 1
}

test_other_tools_are_others_business if {
	found := payments.deny with input.tool.name as "read_invoice" with input.args.amount as 4180
	count(found) == 0
}
