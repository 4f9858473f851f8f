# METADATA
# scope: package
# title: Thresholds
# description: Above a limit a person decides. A value that is missing, negative or no number counts as above.
# custom:
#   severity: high
#   runbook: docs/runbooks/rules.md#thresholds
package guardrails.rules.thresholds

import future.keywords.not

# A limit that is missing or misspelt must not let the call pass unasked.
deny contains "the thresholds of this tool are malformed" if not sound

sound if {
	is_object(data.guardrails_data.thresholds)
	limits := object.get(data.guardrails_data.thresholds, input.tool.name, {})
	is_object(limits)
	every limit in limits {
		is_object(limit)
		is_number(limit.above)
		object.keys(limit) - {"above", "approvers", "quorum", "expires_in"} == set()
		is_array(limit.approvers)
		count(limit.approvers) > 0
	}
}

require_approval contains {
	"reason": sprintf("%s above %v", [argument, limit.above]),
	"approvers": limit.approvers,
	"quorum": object.get(limit, "quorum", 1),
	"expires_in": object.get(limit, "expires_in", 14400),
} if {
	sound
	some argument, limit in data.guardrails_data.thresholds[input.tool.name]
	not within(argument, limit)
}

# By the difference: OPA 1.20 finds 4180.0 <= 1000.5 true, against zero it does not err.
within(argument, limit) if {
	value := input.args[argument]
	is_number(value)
	value >= 0
	limit.above - value >= 0
}
