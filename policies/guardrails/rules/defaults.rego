# METADATA
# scope: package
# title: What no agent does alone
# description: >-
#   Asks before a call writes to customers, moves money, changes production
#   configuration or deletes data, by the tool's labels. An agent's approval
#   entry in the register lifts this for a tool or a label, wholly or up to an
#   amount, asks for further tools and labels, or names other approvers.
# custom:
#   severity: critical
#   runbook: docs/runbooks/rules.md#defaults
package guardrails.rules.defaults

import future.keywords.not

deny contains "the tool's labels are malformed" if not labelled

labelled if {
	is_array(input.tool.labels)
	every label in input.tool.labels {
		is_string(label)
	}
}

deny contains "the agent's approval entry is malformed" if not is_object(needs)

# By label, or by a tool's name.
default needs := {}

needs := data.guardrails_data.agents[input.agent.id].approval

# Whom to ask, by label.
default standards := {}

standards := data.guardrails_data.approvers

labels contains label if {
	some label in input.tool.labels
	asks(label)
}

asks(label) if label in {"moves_money", "deletes_data"}

# To look at these is no change.
asks(label) if {
	label in {"customer_facing", "production_config"}
	not input.tool.operation == "read"
}

# A label of the project's own asks where the register says so.
asks(label) if {
	label in entered
	not label in {"moves_money", "deletes_data", "customer_facing", "production_config"}
}

# What the register has an entry for: tools and labels.
entered contains key if some key, _ in needs

# So does a tool that bears none of them.
points contains input.tool.name if {
	count(labels) == 0
	input.tool.name in entered
}

points contains label if some label in labels

# What the register says on a point. An entry for the tool takes the place of those for its
# labels; where nothing is said, nothing is lifted.
entry(point) := sound(found) if {
	some key, found in needs
	key == input.tool.name
} else := sound(found) if {
	some key, found in needs
	key == point
} else := {}

# An entry of another kind lifts nothing, and lets none behind it speak.
sound(found) := found if {
	is_object(found)
} else := {}

asked contains point if {
	some point in points
	not lifted(entry(point))
}

# Nothing beside it: an entry that lifts and names approvers contradicts itself, and asks.
lifted(said) if said == {"required": false}

# By the difference, as in thresholds.
lifted(said) if {
	is_string(said.argument)
	is_number(said.above)
	value := input.args[said.argument]
	is_number(value)
	value >= 0
	said.above - value >= 0
}

deny contains sprintf("the approvers of %s are malformed", [point]) if {
	some point in asked
	not standing(point)
}

# What the project says on a point can be read, or it says nothing.
standing(point) if is_object(object.get(readable, point, {}))

readable := standards if is_object(standards)

demands[point] := {
	"approvers": object.get(said, "approvers", object.get(standard, "approvers", ["operations"])),
	"quorum": object.get(said, "quorum", object.get(standard, "quorum", 1)),
	"expires_in": object.get(said, "expires_in", object.get(standard, "expires_in", 14400)),
} if {
	some point in asked
	said := entry(point)
	standard := object.get(readable, point, {})
	is_object(standard)
}

# Points that ask the same people are one question.
require_approval contains object.union(demand, {"reason": sprintf("%s: a person decides", [concat(", ", together)])}) if {
	some demand in demands
	together := [point | some point in asked; demands[point] == demand]
}
