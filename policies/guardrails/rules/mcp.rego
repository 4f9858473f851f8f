# METADATA
# scope: package
# title: MCP servers
# description: >-
#   Of a server behind the proxy only that may be called which mcp.json permits,
#   and the register must grant the operation: on the resource, or on the server.
#   Such tools carry the label mcp; their resource begins with the server's name.
# custom:
#   severity: high
#   runbook: docs/runbooks/rules.md#mcp
package guardrails.rules.mcp

import future.keywords.not

deny contains "mcp.json does not permit this operation on this resource" if {
	proxied
	not permitted
}

allow contains "the register grants the operation on the server" if {
	proxied
	permitted
	some grant in data.guardrails_data.agents[input.agent.id].access
	grant.resource == server
	is_array(grant.operations)
	input.tool.operation in grant.operations
}

proxied if "mcp" in input.tool.labels

# Its name has no dots; what follows the first one is the resource on it.
server := split(input.tool.resource, ".")[0]

permitted if {
	is_string(input.tool.resource)
	is_string(input.tool.operation)
	resources := data.guardrails_data.mcp[server][input.tool.operation]
	is_array(resources)
	input.tool.resource in resources
}
