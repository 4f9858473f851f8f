# METADATA
# scope: package
# title: Payments of a bank's assistant
# description: >-
#   Money goes unasked only where the account holder has sent it before: a
#   payment to a payee whom the account has paid, of a sum that it has paid them;
#   a standing order that keeps its payee and is raised by little. Everything
#   else that moves money is put to the account holder, who reads payee and sum.
#   What is known about an account comes from the bank's books as they stood
#   before the run, never from what the agent has read. Nothing here knows an
#   attack: there is no list of bad payees, since a thief opens a new account.
# custom:
#   severity: critical
#   runbook: docs/runbooks/rules.md#banking_payments
package guardrails.rules.banking_payments

import future.keywords.not

# By label, not by name: a tool that is added later is bound too.
moving if "moves_money" in input.tool.labels

amending if input.tool.operation == "update"

limits := data.guardrails_data.banking

# An agent cannot choose the principal, so it cannot choose the books either.
books := data.guardrails_data.accounts[input.principal]

deny contains "the limits, or the books of this principal's account, are missing or malformed" if {
	moving
	not sound
}

sound if {
	is_number(limits.unasked_per_run)
	is_number(limits.unasked_raise)
	is_number(books.balance)
	is_object(books.paid)
	is_array(books.standing_orders)
}

# No person need be asked about what cannot be paid.
deny contains "the amount is no positive number" if {
	moving
	not payable
}

payable if sum_above_zero

# Amending an order without naming a sum leaves it as it is.
payable if {
	amending
	object.get(input, ["args", "amount"], null) == null
}

sum_above_zero if {
	is_number(input.args.amount)
	input.args.amount > 0
}

deny contains "the payment is more than the account holds" if {
	moving
	input.tool.resource == "payments"
	not covered
}

# By the difference: OPA 1.20 finds 4180.0 <= 1000.5 true, against zero it does not err.
covered if {
	is_number(books.balance)
	is_number(input.args.amount)
	books.balance - input.args.amount >= 0
}

require_approval contains {
	"reason": concat("; ", concerns),
	"approvers": ["account-holder"],
	"quorum": 1,
	"expires_in": 900,
} if {
	moving
	count(concerns) > 0
}

# Every concern names a good case that does not hold, so that what is missing or of another kind
# is a concern too.
concerns contains "the payee was never paid from this account" if {
	not amending
	not familiar
}

# Money that somebody sent to the account makes them no payee: a cent would buy that.
familiar if is_number(books.paid[input.args.recipient])

concerns contains "the sum is larger than any that was paid to this payee" if {
	not amending
	familiar
	not customary
}

customary if {
	sum_above_zero
	books.paid[input.args.recipient] - input.args.amount >= 0
}

# A sum that is paid again and again has no upper bound.
concerns contains "it is a new standing order" if {
	not amending
	not once
}

once if object.get(input, ["args", "recurring"], false) == false

concerns contains "the standing order is not in the account's books" if {
	amending
	not found
}

found if is_object(order)

order := [each | some each in books.standing_orders; each.id == input.args.id][0] if is_number(input.args.id)

concerns contains "the standing order would get another payee" if {
	amending
	found
	not kept
}

kept if object.get(input, ["args", "recipient"], null) in [null, order.payee]

concerns contains "the standing order is raised by more than goes unasked" if {
	amending
	found
	not moderate
}

moderate if object.get(input, ["args", "amount"], null) == null

# From the sum that the account holder confirmed last, so that small raises do not add up.
moderate if {
	sum_above_zero
	is_number(order.confirmed)
	(order.confirmed * (100 + limits.unasked_raise)) - (input.args.amount * 100) >= 0
}

concerns contains "it changes more than the sum of the standing order" if {
	amending
	not narrow
}

narrow if {
	is_object(input.args)
	changed - {"id", "recipient", "amount"} == set()
}

changed contains name if {
	some name, value in input.args
	value != null
}

concerns contains "it has arguments that this rule does not know" if not understood

understood if {
	is_object(input.args)
	object.keys(input.args) - {"id", "recipient", "amount", "subject", "date", "recurring"} == set()
}

# Many small payments are one large one.
concerns contains "too many such calls in one run" if not few

few if {
	is_object(input.run.history)
	done := object.get(input.run.history, input.tool.name, 0)
	is_number(done)
	done < limits.unasked_per_run
}
