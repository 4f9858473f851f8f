package guardrails_test.access

import data.guardrails.rules.access
import future.keywords.not

agents := {"a": {"access": [
	{"resource": "invoices", "operations": ["read", "match"]},
	{"resource": "payments", "operations": ["read"]},
]}}

allowed(id, resource, operation) if {
	known := agents
	count(access.allow) == 1 with input.agent.id as id
		with input.tool.resource as resource
		with input.tool.operation as operation
		with data.guardrails_data.agents as known
}

test_what_is_granted_is_allowed if {
	allowed("a", "invoices", "read")
	allowed("a", "invoices", "match")
	allowed("a", "payments", "read")
}

test_what_is_not_granted_is_not_allowed if {
	not allowed("a", "payments", "match")
	not allowed("a", "invoices", "write")
	not allowed("a", "refunds", "read")
	not allowed("b", "invoices", "read")
	not allowed("a", "Invoices", "read")
	not allowed("a", "invoices", "READ")
}

test_junk_is_not_allowed if {
	every junk in [null, true, 0, "", [], ["read"], {}, {"read": "read"}] {
		not allowed(junk, "invoices", "read")
		not allowed("a", junk, "read")
		not allowed("a", "invoices", junk)
	}
}

test_a_junk_register_grants_nothing if {
	every grants in [
		null, true, "invoices", {"resource": "invoices", "operations": ["read"]}, [null], ["invoices"],
		[{"resource": "invoices"}], [{"resource": "invoices", "operations": "read"}],
		[{"resource": "invoices", "operations": {"read": "read"}}], [{"operations": ["read"]}],
	] {
		known := {"a": {"access": grants}}
		count(access.allow) == 0 with input.agent.id as "a"
			with input.tool.resource as "invoices"
			with input.tool.operation as "read"
			with data.guardrails_data.agents as known
	}
}

test_null_on_both_sides_is_no_grant if {
	known := {"a": {"access": [{"resource": null, "operations": [null]}]}}
	count(access.allow) == 0 with input.agent.id as "a"
		with input.tool.resource as null
		with input.tool.operation as null
		with data.guardrails_data.agents as known
}

test_nothing_known_grants_nothing if {
	count(access.allow) == 0
}
