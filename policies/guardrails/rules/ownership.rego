# METADATA
# scope: package
# title: Ownership
# description: No agent works without a named person who answers for it, and the call names the same person as the register.
# custom:
#   severity: high
#   runbook: docs/runbooks/rules.md#ownership
package guardrails.rules.ownership

import future.keywords.not

deny contains "the agent has no named owner" if not owned

owned if named == input.agent.owner

# Space is no name.
named := owner if {
	owner := data.guardrails_data.agents[input.agent.id].owner
	is_string(owner)
	trim_space(owner) != ""
}
