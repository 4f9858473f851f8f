# METADATA
# scope: package
# title: Payments of invoice differences
# description: Small differences are paid without asking, to suppliers in the payment matrix and to nobody else.
# custom:
#   severity: high
#   runbook: README.md
package guardrails.rules.payments

import future.keywords.not

# Dollars that an agent pays without asking.
limit := 1000

deny contains "supplier not in matrix" if {
	input.tool.name == "pay_difference"
	not known
}

known if {
	is_string(input.args.supplier)
	is_array(data.guardrails_data.project.payment_matrix)
	input.args.supplier in data.guardrails_data.project.payment_matrix
}

require_approval contains {
	"reason": sprintf("over $%v", [limit]),
	"approvers": ["finance-ops"],
	"quorum": 1,
	"expires_in": 14400,
} if {
	input.tool.name == "pay_difference"
	not small
}

# What is missing, negative or no number is not small.
small if {
	is_number(input.args.amount)
	input.args.amount >= 0
	limit - input.args.amount >= 0
}
