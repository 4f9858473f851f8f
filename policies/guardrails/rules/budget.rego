# METADATA
# scope: package
# title: Budget
# description: A second line behind the ledger. A run without any limit, or overdrawn in one, does nothing.
# custom:
#   severity: high
#   runbook: docs/runbooks/rules.md#budget
package guardrails.rules.budget

import future.keywords.not

deny contains "the run has no budget left" if not solvent

solvent if {
	is_object(input.run.remaining)
	count(input.run.remaining) > 0
	every left in input.run.remaining {
		is_number(left)
		left >= 0
	}
}
