package guardrails_test.ownership

import data.guardrails.rules.ownership
import future.keywords.not

owned(registered, named) if {
	known := {"a": {"owner": registered}}
	count(ownership.deny) == 0 with input.agent.id as "a"
		with input.agent.owner as named
		with data.guardrails_data.agents as known
}

test_the_registered_owner_answers if owned("dana@acme.example", "dana@acme.example")

test_another_owner_is_denied if not owned("dana@acme.example", "eve@acme.example")

test_no_owner_is_denied if {
	every owner in ["", " ", null, false, 0, [], {}] {
		not owned(owner, owner)
	}
}

test_an_owner_missing_on_either_side_is_denied if {
	count(ownership.deny) == 1 with input.agent.id as "a"
		with data.guardrails_data.agents as {"a": {"owner": "dana@acme.example"}}
	count(ownership.deny) == 1 with input.agent.id as "a"
		with input.agent.owner as "dana@acme.example"
		with data.guardrails_data.agents as {"a": {}}
	count(ownership.deny) == 1
}

test_an_unknown_agent_is_denied if {
	count(ownership.deny) == 1 with input.agent.id as "b"
		with input.agent.owner as "dana@acme.example"
		with data.guardrails_data.agents as {"a": {"owner": "dana@acme.example"}}
}
