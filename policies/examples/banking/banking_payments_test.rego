package guardrails_test.banking_payments

import data.guardrails.rules.banking_payments
import future.keywords.not

books := {
	"balance": 1500,
	"paid": {"DE02120300000000202051": 80, "FR7630006000011234567890189": 950},
	"standing_orders": [{"id": 4, "payee": "FR7630006000011234567890189", "confirmed": 900}],
}

settings := {"unasked_per_run": 3, "unasked_raise": 20}

payment := {"recipient": "DE02120300000000202051", "amount": 80, "subject": "lunch", "date": "2024-05-01"}

amendment := {"id": 4, "recipient": null, "amount": 1000, "subject": null, "date": null, "recurring": null}

# The reasons of the questions about one call.
questions(tool, args, done) := {asked.reason | some asked in found} if {
	history := {tool.name: done}
	accounts := {"account:1": books}
	given := settings
	found := banking_payments.require_approval with input.tool as tool
		with input.args as args
		with input.principal as "account:1"
		with input.run.history as history
		with data.guardrails_data.accounts as accounts
		with data.guardrails_data.banking as given
}

denials(tool, args) := found if {
	accounts := {"account:1": books}
	given := settings
	found := banking_payments.deny with input.tool as tool
		with input.args as args
		with input.principal as "account:1"
		with data.guardrails_data.accounts as accounts
		with data.guardrails_data.banking as given
}

send := {"name": "send_money", "resource": "payments", "operation": "create", "labels": ["moves_money"]}

schedule := {
	"name": "schedule_transaction",
	"resource": "standing_orders",
	"operation": "create",
	"labels": ["moves_money"],
}

amend := {
	"name": "update_scheduled_transaction",
	"resource": "standing_orders",
	"operation": "update",
	"labels": ["moves_money"],
}

read := {"name": "get_balance", "resource": "account", "operation": "read", "labels": []}

paid(change) := questions(send, object.union(payment, change), 0)

amended(change) := questions(amend, object.union(amendment, change), 0)

stranger := "the payee was never paid from this account"

larger := "the sum is larger than any that was paid to this payee"

standing := "it is a new standing order"

unknown := "the standing order is not in the account's books"

redirected := "the standing order would get another payee"

raised := "the standing order is raised by more than goes unasked"

wider := "it changes more than the sum of the standing order"

strange := "it has arguments that this rule does not know"

many := "too many such calls in one run"

test_what_was_paid_before_is_paid_unasked if {
	every amount in [0.01, 1, 79.99, 80] {
		paid({"amount": amount}) == set()
	}
	paid({"recipient": "FR7630006000011234567890189", "amount": 950}) == set()
}

test_a_larger_sum_is_asked_about if {
	every amount in [80.01, 81, 1000] {
		paid({"amount": amount}) == {larger}
	}
}

test_another_payee_is_asked_about if {
	every payee in [
		"GB00", "", " ", null, 7, true, [], {},
		"de02120300000000202051", "DE02 1203 0000 0000 2020 51", " DE02120300000000202051",
		"DE02120300000000202051\n", "DE02120300000000202051,GB00", ["DE02120300000000202051"],
	] {
		paid({"recipient": payee}) == {stranger}
	}
}

test_a_call_without_arguments_is_asked_about if {
	questions(send, {}, 0) == {stranger}
	every args in [null, [], "", 7] {
		questions(send, args, 0) == {concat("; ", sort([stranger, strange]))}
	}
}

test_a_new_standing_order_is_asked_about if {
	questions(schedule, object.union(payment, {"recurring": false}), 0) == set()
	every recurring in [true, null, "no", 0] {
		questions(schedule, object.union(payment, {"recurring": recurring}), 0) == {standing}
	}
}

test_an_order_is_raised_by_little_unasked if {
	every amount in [null, 1, 900, 1080] {
		amended({"amount": amount}) == set()
	}
	amended({"recipient": "FR7630006000011234567890189"}) == set()
}

test_an_order_is_not_raised_by_more if {
	every amount in [1080.01, 2000, "950", true, [], {}] {
		amended({"amount": amount}) == {raised}
	}
}

test_an_order_keeps_its_payee if {
	every payee in ["DE02120300000000202051", "GB00", "", false, 0, [], {}] {
		amended({"recipient": payee}) == {redirected}
	}
}

test_only_the_sum_is_changed_unasked if {
	every change in [{"subject": "x"}, {"date": "2030-01-01"}, {"recurring": true}, {"subject": ""}, {"recurring": false}] {
		amended(change) == {wider}
	}
}

test_an_unknown_order_is_asked_about if {
	every id in [5, 4.5, -4, "4", null, true, [4]] {
		amended({"id": id}) == {unknown}
	}
}

test_an_unknown_argument_is_asked_about if {
	paid({"payee": "GB00"}) == {strange}
	amended({"payee": "GB00"}) == {concat("; ", sort([wider, strange]))}
}

test_few_calls_are_unasked if {
	every done in [0, 1, 2] {
		questions(send, payment, done) == set()
	}
	every done in [3, 4, 1000, null, "0", []] {
		questions(send, payment, done) == {many}
	}
}

test_several_concerns_are_one_question if {
	questions(send, object.union(payment, {"recipient": "GB00", "recurring": true}), 3) == {concat("; ", sort([stranger, standing, many]))}
}

test_no_sum_at_all_is_refused if {
	every amount in [null, 0, -1, -0.01, "80", true, [], {}] {
		"the amount is no positive number" in denials(send, object.union(payment, {"amount": amount}))
	}
	"the amount is no positive number" in denials(send, {"recipient": "DE02120300000000202051"})
	denials(amend, amendment) == set()
	denials(amend, object.union(amendment, {"amount": null})) == set()
	denials(amend, object.union(amendment, {"amount": -5})) == {"the amount is no positive number"}
}

test_more_than_the_account_holds_is_refused if {
	denials(send, object.union(payment, {"amount": 1500})) == set()
	denials(send, object.union(payment, {"amount": 1500.01})) == {"the payment is more than the account holds"}
	denials(schedule, object.union(payment, {"amount": 1500.01})) == set()
}

test_without_books_nothing_moves if {
	missing := {"the limits, or the books of this principal's account, are missing or malformed"}
	every accounts in [{}, null, {"account:2": {}}, {"account:1": {}}, {"account:1": null}] {
		tool := amend
		args := amendment
		given := settings
		denied := banking_payments.deny with input.tool as tool
			with input.args as args
			with input.principal as "account:1"
			with data.guardrails_data.accounts as accounts
			with data.guardrails_data.banking as given
		denied == missing
	}
}

test_without_limits_nothing_moves if {
	missing := {"the limits, or the books of this principal's account, are missing or malformed"}
	every given in [{}, null, {"unasked_per_run": 3}, {"unasked_per_run": "3", "unasked_raise": 20}] {
		tool := amend
		args := amendment
		accounts := {"account:1": books}
		denied := banking_payments.deny with input.tool as tool
			with input.args as args
			with input.principal as "account:1"
			with data.guardrails_data.accounts as accounts
			with data.guardrails_data.banking as given
		denied == missing
	}
}

test_without_a_principal_nothing_moves if {
	tool := amend
	args := amendment
	accounts := {"account:1": books}
	given := settings
	count(banking_payments.deny) == 1 with input.tool as tool
		with input.args as args
		with input.principal as null
		with data.guardrails_data.accounts as accounts
		with data.guardrails_data.banking as given
}

test_what_moves_no_money_is_not_looked_at if {
	questions(read, {}, 0) == set()
	denials(read, {}) == set()
}
