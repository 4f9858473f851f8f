package guardrails_test.environments

import data.guardrails.rules.environments
import future.keywords.not

denials(environment, tool, cleared, blocked) := found if {
	agents := {"a": {"environments": cleared}}
	found := count(environments.deny) with input.agent.id as "a"
		with input.agent.environment as environment
		with input.tool.name as tool
		with data.guardrails_data.agents as agents
		with data.guardrails_data.blocked_tools as blocked
}

test_a_cleared_agent_and_an_open_tool_pass if {
	denials("prod", "refund", ["dev", "prod"], {}) == 0
	denials("prod", "refund", ["prod"], {"prod": ["wire"], "dev": ["refund"]}) == 0
}

test_an_agent_that_is_not_cleared_is_denied if {
	every cleared in [[], ["dev"], ["Prod"], null, "prod", {"x": "prod"}, {"prod": 1}, true] {
		denials("prod", "refund", cleared, {}) == 1
	}
}

test_a_blocked_tool_is_denied if {
	denials("prod", "refund", ["prod"], {"prod": ["wire", "refund"]}) == 1
}

test_a_malformed_block_list_denies if {
	every blocked in [
		null, true, "refund", ["refund"], {"prod": null}, {"prod": "refund"}, {"prod": {"x": "refund"}}, {"prod": [["refund"]]},
	] {
		denials("prod", "refund", ["prod"], blocked) == 1
	}
}

test_junk_denies_on_both_counts if {
	every junk in [null, true, 1, ["prod"], {}] {
		denials(junk, junk, ["prod"], {}) == 2
		denials(junk, junk, [junk], {}) == 2
	}
}

test_nothing_known_denies if {
	count(environments.deny) == 2
}

test_a_missing_environment_or_name_denies if {
	count(environments.deny) == 2 with input.agent.id as "a"
		with input.tool.name as "refund"
		with data.guardrails_data.agents as {"a": {"environments": ["prod"]}}
	count(environments.deny) == 1 with input.agent.id as "a"
		with input.agent.environment as "prod"
		with data.guardrails_data.agents as {"a": {"environments": ["prod"]}}
		with data.guardrails_data.blocked_tools as {}
}
