package guardrails_test.banking_changes

import data.guardrails.rules.banking_changes
import future.keywords.not

asked(operation, labels) := count(found) if {
	found := banking_changes.require_approval with input.tool.operation as operation
		with input.tool.labels as labels
}

test_reading_is_not_asked_about if asked("read", []) == 0

test_every_other_operation_is if {
	every operation in ["update", "create", "write", "delete", "execute", "Read", "", null, 1, ["read"]] {
		asked(operation, []) == 1
		asked(operation, ["pii"]) == 1
	}
}

test_a_call_of_which_nothing_is_known_is_asked_about if count(banking_changes.require_approval) == 1

test_what_moves_money_is_the_other_rule_s if {
	asked("create", ["moves_money"]) == 0
	asked("update", ["moves_money", "pii"]) == 0
	asked("update", ["Moves_money"]) == 1
	asked("update", "moves_money") == 1
}

test_a_password_stays_out_of_the_record if {
	every value in ["s3cret", "", null, 1] {
		args := {"password": value}
		hidden := banking_changes.obligations with input.args as args
		hidden == {{"type": "redact", "path": "/args/password"}}
	}
	every args in [{}, {"city": "Oslo"}, [], null, "password"] {
		hidden := banking_changes.obligations with input.args as args
		hidden == set()
	}
}
