package guardrails_test.defaults

import data.guardrails.rules.defaults
import future.keywords.not

call(operation, labels, args, needs, standards) := {"deny": deny, "ask": ask} if {
	tool := {"name": "pay", "operation": operation, "labels": labels}
	known := {"a": {"approval": needs}}
	deny := defaults.deny with input.agent.id as "a"
		with input.tool as tool
		with input.args as args
		with data.guardrails_data.agents as known
		with data.guardrails_data.approvers as standards
	ask := defaults.require_approval with input.agent.id as "a"
		with input.tool as tool
		with input.args as args
		with data.guardrails_data.agents as known
		with data.guardrails_data.approvers as standards
}

free := {"deny": set(), "ask": set()}

asks(reason, approvers) := {"deny": set(), "ask": {{
	"reason": sprintf("%s: a person decides", [reason]),
	"approvers": approvers,
	"quorum": 1,
	"expires_in": 14400,
}}}

test_the_four_classes_ask if {
	every label in ["customer_facing", "moves_money", "production_config", "deletes_data"] {
		call("write", [label], {}, {}, {}) == asks(label, ["operations"])
	}
}

test_to_look_is_no_change if {
	every label in ["customer_facing", "production_config"] {
		call("read", [label], {}, {}, {}) == free
		call("read", [label], {}, {label: {"approvers": ["x"]}}, {}) == free
	}
	every label in ["moves_money", "deletes_data"] {
		call("read", [label], {}, {}, {}) == asks(label, ["operations"])
	}
}

test_an_operation_that_is_not_quite_read_asks if {
	every operation in ["READ", "read ", "", null, true, ["read"]] {
		call(operation, ["customer_facing"], {}, {}, {}) == asks("customer_facing", ["operations"])
	}
}

test_other_tools_are_free if {
	call("write", [], {}, {}, {}) == free
	call("write", ["pii", "Moves_Money"], {}, {}, {}) == free
}

test_labels_that_cannot_be_read_deny if {
	every labels in [null, true, "moves_money", {}, {"moves_money": true}, 1, [1], [["moves_money"]], ["pii", null]] {
		call("write", labels, {}, {}, {}).deny == {"the tool's labels are malformed"}
	}
}

test_approvers_go_by_label if {
	call("write", ["moves_money"], {}, {}, {"moves_money": {"approvers": ["finance-ops"]}}) == asks("moves_money", ["finance-ops"])
	given := {"moves_money": {"approvers": ["finance-ops"], "quorum": 2, "expires_in": 60}}
	call("write", ["moves_money"], {}, {}, given).ask == {{
		"reason": "moves_money: a person decides",
		"approvers": ["finance-ops"],
		"quorum": 2,
		"expires_in": 60,
	}}
}

test_the_same_people_are_asked_once if {
	call("write", ["moves_money", "customer_facing"], {}, {}, {}) == asks("customer_facing, moves_money", ["operations"])
}

test_different_people_are_asked_apart if {
	given := {"moves_money": {"approvers": ["finance-ops"]}}
	count(call("write", ["moves_money", "customer_facing"], {}, {}, given).ask) == 2
}

test_malformed_approvers_deny if {
	every given in [null, true, "x", ["x"]] {
		call("write", ["moves_money"], {}, {}, given) == {"deny": {"the approvers of moves_money are malformed"}, "ask": set()}
		call("write", ["moves_money"], {}, {}, {"moves_money": given}) == {"deny": {"the approvers of moves_money are malformed"}, "ask": set()}
	}
}

test_the_register_lifts_a_label_or_a_tool if {
	call("write", ["moves_money"], {}, {"moves_money": {"required": false}}, {}) == free
	call("write", ["moves_money", "deletes_data"], {}, {"moves_money": {"required": false}}, {}) == asks("deletes_data", ["operations"])
	call("write", ["moves_money", "deletes_data"], {}, {"pay": {"required": false}}, {}) == free
	call("write", ["moves_money"], {}, {"refund": {"required": false}}, {}) == asks("moves_money", ["operations"])
}

test_it_lifts_up_to_an_amount if {
	needs := {"moves_money": {"above": 1000, "argument": "amount"}}
	every amount in [0, 12.4, 1000] {
		call("write", ["moves_money"], {"amount": amount}, needs, {}) == free
	}
	every amount in [1000.01, 4180, -1, null, true, "12", [], [12], {}] {
		call("write", ["moves_money"], {"amount": amount}, needs, {}) == asks("moves_money", ["operations"])
	}
	every args in [{}, {"Amount": 1}, [], [1], null, "amount", 7] {
		call("write", ["moves_money"], args, needs, {}) == asks("moves_money", ["operations"])
	}
}

test_what_does_not_quite_lift_asks if {
	every entry in [
		{}, {"required": true}, {"required": null}, {"required": 0}, {"required": "false"},
		{"above": 1000}, {"argument": "amount"}, {"above": "1000", "argument": "amount"}, {"above": 1000, "argument": ["amount"]},
		{"above": null, "argument": "amount"}, {"above": 1000, "arguments": "amount"}, {"above": 1000, "argument": "amonut"},
	] {
		call("write", ["moves_money"], {"amount": 1}, {"moves_money": entry}, {}) == asks("moves_money", ["operations"])
		call("write", ["moves_money"], {"amount": 1}, {"pay": entry}, {}) == asks("moves_money", ["operations"])
	}
	contradiction := {"required": false, "approvers": ["x"]}
	call("write", ["moves_money"], {}, {"moves_money": contradiction}, {}) == asks("moves_money", ["x"])
}

test_an_entry_that_is_no_object_asks if {
	every entry in [null, false, true, 1000, "never", [], ["x"]] {
		call("write", ["moves_money"], {"amount": 1}, {"moves_money": entry}, {}) == asks("moves_money", ["operations"])
		needs := {"pay": entry, "moves_money": {"required": false}}
		call("write", ["moves_money"], {"amount": 1}, needs, {}) == asks("moves_money", ["operations"])
	}
	every needs in [null, false, "never", [], ["moves_money"], 1] {
		"the agent's approval entry is malformed" in call("write", [], {}, needs, {}).deny
	}
}

test_the_tool_goes_before_its_labels if {
	needs := {"pay": {"above": 10, "argument": "amount"}, "moves_money": {"required": false}}
	call("write", ["moves_money"], {"amount": 10}, needs, {}) == free
	call("write", ["moves_money"], {"amount": 11}, needs, {}) == asks("moves_money", ["operations"])
}

test_the_register_names_other_approvers if {
	standards := {"moves_money": {"approvers": ["finance-ops"], "quorum": 2}}
	call("write", ["moves_money"], {}, {"moves_money": {"approvers": ["treasury"]}}, standards).ask == {{
		"reason": "moves_money: a person decides",
		"approvers": ["treasury"],
		"quorum": 2,
		"expires_in": 14400,
	}}
}

test_the_register_asks_for_more if {
	call("write", [], {}, {"pay": {"approvers": ["x"]}}, {}) == asks("pay", ["x"])
	call("read", ["pii"], {}, {"pii": {}}, {}) == asks("pii", ["operations"])
	call("write", [], {"amount": 5}, {"pay": {"above": 10, "argument": "amount"}}, {}) == free
	call("write", [], {"amount": 50}, {"pay": {"above": 10, "argument": "amount"}}, {}) == asks("pay", ["operations"])
}

test_without_a_register_entry_the_classes_ask if {
	count(defaults.require_approval) == 1 with input.agent.id as "b"
		with input.tool.name as "pay"
		with input.tool.labels as ["moves_money"]
		with data.guardrails_data.agents as {}
}

test_without_any_data_operations_are_asked if {
	defaults.require_approval == asks("deletes_data", ["operations"]).ask with data.guardrails_data as {}
		with input.tool.name as "pay"
		with input.tool.labels as ["deletes_data"]
}

test_nothing_known_denies if {
	count(defaults.deny) == 1
}
