# METADATA
# scope: package
# title: Signals
# description: >-
#   A preset. While a breaker says anything about a run, whatever its level, its
#   calls need an approval, but for reads. Where nobody can say what breakers have
#   noticed, they need it too.
# custom:
#   severity: medium
#   runbook: docs/runbooks/loop.md#signals
package guardrails.rules.signals

import future.keywords.not

require_approval contains {
	"reason": "a breaker has noticed that the agent goes in circles, fails or spends fast",
	"approvers": ["operations"],
	"quorum": 1,
	"expires_in": 14400,
} if {
	not quiet
	not reading
}

quiet if {
	is_array(input.run.signals)
	count(input.run.signals) == 0
}

reading if input.tool.operation == "read"
