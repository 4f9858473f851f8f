package guardrails_test.read_only

import data.guardrails.rules.read_only
import data.guardrails_test.fixture
import future.keywords.not

test_a_read_passes if {
	count(read_only.deny) == 0 with input.tool.operation as "read"
}

test_everything_else_is_denied if {
	every operation in ["write", "execute", "delete", "READ", "read ", "", null, true, ["read"]] {
		count(read_only.deny) == 1 with input.tool.operation as operation
	}
}

test_a_missing_operation_is_denied if {
	count(read_only.deny) == 1
}

test_it_narrows_what_the_register_grants if {
	fixture.decide(fixture.call, fixture.settings).effect == "allow"
	call := object.union(fixture.call, {"tool": {"operation": "write"}})
	decision := fixture.decide(call, fixture.settings)
	decision.effect == "deny"
	{"rule": "read_only", "reason": "only read operations are permitted here"} in decision.reasons
}
