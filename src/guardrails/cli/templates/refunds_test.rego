package guardrails_test.refunds

import data.guardrails.rules.refunds
import future.keywords.not

denied(order, amount) if {
	count(refunds.deny) > 0 with input.tool.name as "refund"
		with input.args.order_id as order
		with input.args.amount as amount
}

test_a_refund_of_an_order_passes if {
	every amount in [0.01, 20, 5000] {
		not denied("A-17", amount)
	}
}

test_an_order_has_the_form_of_one if {
	every order in ["", "17", "A-", "a-17", "A-17 ", "A-17,B-2", null, true, 17, ["A-17"]] {
		denied(order, 20)
	}
}

test_an_amount_is_a_number_within_the_limit if {
	every amount in [0, -1, 5000.01, null, true, "20", [20], {}] {
		denied("A-17", amount)
	}
}

test_what_is_missing_is_denied if {
	count(refunds.deny) == 2 with input.tool.name as "refund"
}

test_other_tools_are_not_its_business if {
	count(refunds.deny) == 0 with input.tool.name as "match_invoice"
}
