# METADATA
# scope: package
# title: Environments
# description: Where an agent may run, and which tools are closed there.
# custom:
#   severity: high
#   runbook: docs/runbooks/rules.md#environments
package guardrails.rules.environments

import future.keywords.not

deny contains "the agent is not cleared for this environment" if not cleared

cleared if {
	environments := data.guardrails_data.agents[input.agent.id].environments
	is_array(environments)
	is_string(input.agent.environment)
	input.agent.environment in environments
}

deny contains "the tool is blocked in this environment, or blocked_tools is malformed" if not open

open if {
	is_object(data.guardrails_data.blocked_tools)
	blocked := object.get(data.guardrails_data.blocked_tools, input.agent.environment, [])
	is_array(blocked)
	every name in blocked {
		is_string(name)
	}
	is_string(input.tool.name)
	not input.tool.name in blocked
}
