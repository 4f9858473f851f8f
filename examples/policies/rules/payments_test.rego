package guardrails_test.payments

import data.guardrails.rules.payments
import future.keywords.not

# Tests follow the limit, so that changing it is one edit.
limit := payments.limit

asked(amount) if {
	count(payments.require_approval) == 1 with input.tool.name as "pay_difference"
		with input.args.amount as amount
}

denied(supplier, matrix) if {
	known := matrix
	count(payments.deny) == 1 with input.tool.name as "pay_difference"
		with input.args.supplier as supplier
		with data.guardrails_data.project.payment_matrix as known
}

test_up_to_the_limit_nobody_is_asked if {
	every amount in [0, 0.01, limit - 0.01, limit] {
		not asked(amount)
	}
}

test_above_it_finance_is_asked if {
	asked(limit + 0.01)
	asked(limit * 4)
}

test_what_is_no_amount_is_asked_about if {
	every amount in [null, true, -1, "5", [], [5], {}] {
		asked(amount)
	}
}

test_a_missing_amount_is_asked_about if {
	count(payments.require_approval) == 1 with input.tool.name as "pay_difference"
}

test_only_suppliers_in_the_matrix_are_paid if {
	not denied("Brandt", ["Brandt", "Helvig"])
	every supplier in ["Nordwind", "brandt", "Brandt ", "", null, true, 1, ["Brandt"], {"Brandt": "Brandt"}] {
		denied(supplier, ["Brandt", "Helvig"])
	}
}

test_a_matrix_that_is_no_list_admits_nobody if {
	every matrix in [null, true, "Brandt", {"Brandt": "Brandt"}, []] {
		denied("Brandt", matrix)
	}
}

test_a_missing_supplier_is_denied if {
	count(payments.deny) == 1 with input.tool.name as "pay_difference"
}

test_other_tools_are_not_its_business if {
	count(payments.deny) == 0 with input.tool.name as "match_invoice"
	count(payments.require_approval) == 0 with input.tool.name as "match_invoice"
}
