# METADATA
# scope: package
# title: Contacts
# description: >-
#   Agents write only to the contacts that the register lists for them. Bound
#   are the tools under contact_arguments, by the arguments named there, and
#   every tool labelled customer_facing that does not only read, by the usual
#   names of such arguments.
# custom:
#   severity: critical
#   runbook: docs/runbooks/rules.md#contacts
package guardrails.rules.contacts

import future.keywords.not

deny contains "contact_arguments is malformed" if not sound

deny contains "a recipient is not among the agent's contacts" if not known

deny contains "no argument is known to name the recipient; list it under contact_arguments" if not addressed

default listed := {}

listed := data.guardrails_data.contact_arguments

sound if {
	is_object(listed)
	names := object.get(listed, input.tool.name, [])
	is_array(names)
	every name in names {
		is_string(name)
	}
}

# The arguments that carry recipients. An entry for the tool takes the place of the usual
# names; an empty one says that no argument does.
carriers := names if {
	some tool, names in listed
	tool == input.tool.name
} else := [] if {
	harmless
} else := ["to", "recipient", "recipients", "cc", "bcc", "email"]

harmless if input.tool.operation == "read"

harmless if {
	is_array(input.tool.labels)
	not "customer_facing" in input.tool.labels
}

addressed if carriers == []

addressed if {
	some name in carriers
	value := input.args[name]
	not value in [null, []]
}

known if {
	every name in carriers {
		value := object.get(input, ["args", name], null)
		reachable(value)
	}
}

# An optional argument that was not given; `addressed` wants one that was.
reachable(value) if value == null

reachable(value) if listed_contact(value)

reachable(value) if {
	is_array(value)
	every one in value {
		listed_contact(one)
	}
}

# Character for character: this fits addresses of every kind.
listed_contact(value) if {
	is_string(value)
	not startswith(value, "@")
	value in contacts
}

# E-mail: the case does not count.
listed_contact(value) if {
	is_string(value)
	regex.match(address, value)
	listed_address(lower(value))
}

listed_address(mail) if mail in folded

# A whole domain: what follows the one @ equals the entry, so that neither a longer name nor a
# second address can stand there.
listed_address(mail) if concat("", ["@", split(mail, "@")[1]]) in folded

# One plain address. Comma, space, quotes, % and ! are left out: with them one text can reach
# two people or another host.
address := `^[A-Za-z0-9._+'-]+@[A-Za-z0-9.-]+$`

contacts := data.guardrails_data.agents[input.agent.id].contacts if {
	is_array(data.guardrails_data.agents[input.agent.id].contacts)
}

# Letters outside ASCII do not fold: the Kelvin sign is no k.
folded contains lower(entry) if {
	some entry in contacts
	is_string(entry)
	regex.match(`^[!-~]+$`, entry)
}
