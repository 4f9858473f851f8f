# METADATA
# scope: package
# title: Payments
# description: Up to 1000 an agent pays alone; no agent pays more.
# custom:
#   severity: high
#   runbook: README.md
package guardrails.rules.payments

import future.keywords.not

deny contains "over 1000, or no amount" if {
	input.tool.name == "pay_invoice"
	not small
}

small if {
	is_number(input.args.amount)
	input.args.amount >= 0
	1000 - input.args.amount >= 0
}
