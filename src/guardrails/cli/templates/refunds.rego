# METADATA
# scope: package
# title: Refunds
# description: A refund names its order and is at most 5000. Whether a person is asked is said in agents.yaml.
# custom:
#   severity: high
#   runbook: https://wiki.acme.example/runbooks/refunds
package guardrails.rules.refunds

import future.keywords.not

# Name the good case, check types first, and deny when it does not hold: then a value that is
# missing, null or of another type is denied too.
deny contains "a refund names its order, as A-17" if {
	input.tool.name == "refund"
	not ordered
}

ordered if {
	is_string(input.args.order_id)
	regex.match(`^[A-Z]-[0-9]{1,9}$`, input.args.order_id)
}

deny contains "a refund is more than 0 and at most 5000" if {
	input.tool.name == "refund"
	not moderate
}

moderate if {
	is_number(input.args.amount)
	input.args.amount > 0
	5000 - input.args.amount >= 0
}
