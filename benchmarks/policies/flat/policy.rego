package guardrails

import future.keywords.not

# METADATA
# entrypoint: true
decision := {"effect": "deny", "reasons": sort(denials)} if {
	count(denials) > 0
} else := {"effect": "allow", "reasons": ["granted by the register"]}

denials contains "the register does not grant this to the agent" if not granted

denials contains "the agent may not run in this environment" if not cleared

denials contains "the tool is blocked in this environment" if not open

denials contains "the amount is above the limit, or is no amount" if not affordable

denials contains "the recipient is no contact" if not addressed

denials contains "the run has no budget left" if not solvent

agent := data.guardrails_data.agents[input.agent.id]

granted if input.tool.operation in agent.access[input.tool.resource]

cleared if input.agent.environment in agent.environments

open if not input.tool.name in object.get(data.guardrails_data.blocked_tools, input.agent.environment, [])

limit := object.get(data.guardrails_data.limits, input.tool.name, null)

affordable if limit == null

affordable if {
	is_number(limit)
	is_number(input.args.amount)
	input.args.amount >= 0
	limit - input.args.amount >= 0
}

addressed if object.get(input, ["args", "to"], null) == null

addressed if {
	is_string(input.args.to)
	regex.match(`^[a-z0-9._-]+@(acme|brandt|helvig)\.example$`, input.args.to)
}

solvent if {
	count(input.run.remaining) > 0
	every left in input.run.remaining {
		is_number(left)
		left >= 0
	}
}
