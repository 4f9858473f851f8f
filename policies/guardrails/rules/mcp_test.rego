package guardrails_test.mcp

import data.guardrails.rules.mcp
import data.guardrails_test.fixture
import future.keywords.not

permissions := {"crm": {"read": ["crm.contacts"], "write": ["crm.tasks"], "delete": []}}

tool(resource, operation) := {
	"name": "crm.some_tool",
	"resource": resource,
	"operation": operation,
	"labels": ["mcp"],
	"hidden": [],
}

granted := {"billing-agent": {"access": [{"resource": "crm", "operations": ["read"]}]}}

test_what_the_file_permits_is_not_denied if {
	call := object.union(fixture.call, {"tool": tool("crm.contacts", "read")})
	count(mcp.deny) == 0 with input as call with data.guardrails_data.mcp as permissions
}

test_another_operation_is_denied if {
	call := object.union(fixture.call, {"tool": tool("crm.contacts", "write")})
	count(mcp.deny) == 1 with input as call with data.guardrails_data.mcp as permissions
}

test_another_resource_is_denied if {
	call := object.union(fixture.call, {"tool": tool("crm.leads", "read")})
	count(mcp.deny) == 1 with input as call with data.guardrails_data.mcp as permissions
}

test_without_permissions_everything_is_denied if {
	call := object.union(fixture.call, {"tool": tool("crm.contacts", "read")})
	count(mcp.deny) == 1 with input as call
}

test_malformed_permissions_permit_nothing if {
	call := object.union(fixture.call, {"tool": tool("crm.contacts", "read")})
	count(mcp.deny) == 1 with input as call with data.guardrails_data.mcp as {"crm": {"read": "crm.contacts"}}
}

test_the_register_can_grant_a_whole_server if {
	call := object.union(fixture.call, {"tool": tool("crm.contacts", "read")})
	count(mcp.allow) == 1 with input as call with data.guardrails_data.mcp as permissions with data.guardrails_data.agents as granted
}

test_what_the_file_does_not_permit_is_not_granted_with_the_server if {
	call := object.union(fixture.call, {"tool": tool("crm.leads", "read")})
	count(mcp.allow) == 0 with input as call with data.guardrails_data.mcp as permissions with data.guardrails_data.agents as granted
}

test_what_the_register_does_not_grant_is_not_allowed if {
	call := object.union(fixture.call, {"tool": tool("crm.tasks", "write")})
	count(mcp.allow) == 0 with input as call with data.guardrails_data.mcp as permissions with data.guardrails_data.agents as granted
}

test_other_tools_are_none_of_its_business if {
	count(mcp.deny) == 0 with input as fixture.call
	count(mcp.allow) == 0 with input as fixture.call
}
