# METADATA
# scope: package
# title: Access
# description: Who may do what. The register grants each agent operations on resources; nothing else allows a call.
# custom:
#   severity: high
#   runbook: docs/runbooks/rules.md#access
package guardrails.rules.access

allow contains "granted by the register" if {
	is_string(input.tool.resource)
	is_string(input.tool.operation)
	some grant in data.guardrails_data.agents[input.agent.id].access
	grant.resource == input.tool.resource
	is_array(grant.operations)
	input.tool.operation in grant.operations
}
