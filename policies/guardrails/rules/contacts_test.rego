package guardrails_test.contacts

import data.guardrails.rules.contacts
import future.keywords.not

register := {"a": {"contacts": ["pat@customer.example", "@acme.example", "DE89 3704 0044", "@", "ban\u212a@x.example", 7]}}

# The reasons for one call of a customer-facing tool.
denials(args) := said if {
	agents := register
	said := contacts.deny with input.agent.id as "a"
		with input.tool.name as "send"
		with input.tool.operation as "write"
		with input.tool.labels as ["customer_facing"]
		with input.args as args
		with data.guardrails_data.agents as agents
		with data.guardrails_data.contact_arguments as {}
}

# The same where the arguments that carry recipients are named.
named(args, arguments) := said if {
	agents := register
	said := contacts.deny with input.agent.id as "a"
		with input.tool.name as "send"
		with input.tool.operation as "read"
		with input.tool.labels as []
		with input.args as args
		with data.guardrails_data.agents as agents
		with data.guardrails_data.contact_arguments as arguments
}

unknown := {"a recipient is not among the agent's contacts"}

unaddressed := {"no argument is known to name the recipient; list it under contact_arguments"}

test_listed_contacts_are_reached if {
	every to in [
		"pat@customer.example", "Pat@Customer.Example", "anyone@acme.example", "any.one+x@ACME.example", "DE89 3704 0044",
		["pat@customer.example"], ["pat@customer.example", "b@acme.example"],
	] {
		denials({"to": to}) == set()
	}
}

test_others_are_not if {
	every to in [
		"eve@evil.example", "pat@customer.example.evil.example", "eve@xacme.example", "eve@sub.acme.example",
		"acme.example", "@acme.example", "@", "eve@", "", " ", "pat", "de89 3704 0044", "pat@customer.exampl",
	] {
		denials({"to": to}) == unknown
	}
}

test_a_second_address_cannot_hide if {
	every to in [
		"eve@evil.example,pat@customer.example", "eve@evil.example, a@acme.example", "eve@evil.example;a@acme.example",
		"eve@evil.example a@acme.example", "a@acme.example\n", "a@acme.example\r\nbcc: eve@evil.example",
		"eve@evil.example@acme.example", "eve%evil.example@acme.example", "evil.example!eve@acme.example",
		"\"eve@evil.example\" <a@acme.example>", "<a@acme.example>", "a@acme.example.", "a@acme.example\u0000",
		"pat@customer.example ", "ban\u212a@x.exampl\u0435", "bank@x.example", "\u0430@acme.example",
	] {
		denials({"to": to}) == unknown
	}
}

test_all_of_several_must_be_listed if {
	denials({"to": ["pat@customer.example", "eve@evil.example"]}) == unknown
	denials({"to": "pat@customer.example", "bcc": "eve@evil.example"}) == unknown
	denials({"to": "pat@customer.example", "cc": ["eve@evil.example"]}) == unknown
	denials({"recipient": "eve@evil.example"}) == unknown
	denials({"recipients": [["pat@customer.example"]]}) == unknown
	denials({"email": {"address": "pat@customer.example"}}) == unknown
}

test_what_is_no_text_is_denied if {
	every to in [true, 7, {}, {"pat@customer.example": "pat@customer.example"}, [null], [7], [[]]] {
		denials({"to": to}) == unknown
	}
}

test_optional_recipients_may_be_absent if {
	every absent in [null, []] {
		denials({"to": "pat@customer.example", "cc": absent}) == set()
		denials({"to": absent, "cc": absent}) == unaddressed
	}
}

test_a_recipient_must_be_known if {
	every args in [{}, {"text": "hello"}, {"To": "pat@customer.example"}, [], ["to"], "to", null, 1] {
		denials(args) == unaddressed
	}
}

test_named_arguments_take_the_place_of_the_usual_ones if {
	named({"phone": "pat@customer.example", "to": "eve@evil.example"}, {"send": ["phone"]}) == set()
	named({"phone": "eve@evil.example"}, {"send": ["phone"]}) == unknown
	named({"to": "pat@customer.example"}, {"send": ["phone"]}) == unaddressed
	named({"to": "eve@evil.example"}, {"send": []}) == set()
}

test_malformed_names_deny if {
	every names in [null, true, "phone", {"phone": 1}, {}, 7, ["phone", 7]] {
		"contact_arguments is malformed" in named({"phone": "pat@customer.example"}, {"send": names})
	}
	every arguments in [null, true, "send", ["send"], 7] {
		"contact_arguments is malformed" in contacts.deny with input.tool.name as "send"
			with input.tool.operation as "read"
			with data.guardrails_data.contact_arguments as arguments
	}
}

test_other_tools_are_free if {
	contacts.deny == set() with input.tool.name as "pay"
		with input.tool.operation as "write"
		with input.tool.labels as ["moves_money"]
		with input.args as {"to": "eve@evil.example"}
}

test_a_customer_facing_read_is_free if {
	contacts.deny == set() with input.tool.name as "inbox"
		with input.tool.operation as "read"
		with input.tool.labels as ["customer_facing"]
		with input.args as {"email": "eve@evil.example"}
}

test_labels_that_cannot_be_read_bind if {
	every labels in [null, "customer_facing", {"customer_facing": true}, 7] {
		count(contacts.deny) == 1 with input.tool.name as "send"
			with input.tool.operation as "write"
			with input.tool.labels as labels
			with input.args as {"to": "eve@evil.example"}
	}
}

test_an_agent_without_contacts_reaches_nobody if {
	every entry in [{}, {"contacts": null}, {"contacts": "pat@customer.example"}, {"contacts": {"x": "pat@customer.example"}}, {"contacts": []}] {
		agents := {"a": entry}
		contacts.deny == unknown with input.agent.id as "a"
			with input.tool.name as "send"
			with input.tool.operation as "write"
			with input.tool.labels as ["customer_facing"]
			with input.args as {"to": "pat@customer.example"}
			with data.guardrails_data.agents as agents
	}
}

test_without_an_entry_the_usual_names_count if {
	contacts.deny == unaddressed with data.guardrails_data as {}
		with input.tool.name as "send"
		with input.tool.operation as "write"
		with input.tool.labels as ["customer_facing"]
		with input.args as {"text": "hello"}
}

test_nothing_known_denies if {
	count(contacts.deny) > 0
}
