# METADATA
# title: The decision
# description: >-
#   Merges what every package guardrails.rules.<name> contributes to one call.
#   Deny if anything denies or nothing allows; then shadow; then approval; then
#   allow. A contribution that is malformed denies.
package guardrails

import data.guardrails.rules
import future.keywords.not

# METADATA
# title: What happens to the call
# description: >-
#   effect, reasons, approvals, obligations; with the effect shadow also what
#   would have happened. The engine adds the revision and the decision's id.
# entrypoint: true
default decision := {
	"effect": "deny",
	"reasons": [{"rule": "guardrails", "reason": "no rule allows this call"}],
	"approvals": [],
	"obligations": [],
}

decision := {
	"effect": "deny",
	"reasons": sort(denials),
	"approvals": [],
	"obligations": sort(markings),
} if {
	count(denials) > 0
} else := {
	"effect": "shadow",
	"would": would,
	"reasons": sort(shadows),
	"approvals": [],
	"obligations": sort(obligations),
} if {
	count(shadows) > 0
} else := {
	"effect": "require_approval",
	"reasons": [],
	"approvals": sort(approvals),
	"obligations": sort(obligations),
} if {
	count(approvals) > 0
} else := {
	"effect": "allow",
	"reasons": [{"rule": name, "reason": "allowed"} | some name in grants],
	"approvals": [],
	"obligations": sort(obligations),
} if {
	count(grants) > 0
}

# What shadow hides: a call that a person would have been asked about is recorded as such.
default would := "allow"

would := "require_approval" if count(approvals) > 0

# Approval and shadow only narrow what is allowed: without a grant there is nothing to narrow.
denials contains {"rule": "guardrails", "reason": "no rule allows this call"} if count(grants) == 0

# Reasons may carry arguments, and these are of any length.
denials contains {"rule": name, "reason": substring(reason, 0, 512)} if {
	some reason in rules[name].deny
	is_string(reason)
}

# A rule that denies without a proper message still denies.
denials contains {"rule": name, "reason": "malformed deny"} if {
	some reason in rules[name].deny
	not is_string(reason)
}

denials contains {"rule": name, "reason": "malformed approval"} if {
	some item in rules[name].require_approval
	not demand(item)
}

denials contains {"rule": name, "reason": "malformed obligation"} if {
	some item in rules[name].obligations
	not duty(item)
}

denials contains {"rule": name, "reason": "malformed allow"} if {
	some reason in rules[name].allow
	not is_string(reason)
}

denials contains {"rule": name, "reason": "malformed shadow"} if {
	some reason in rules[name].shadow
	not is_string(reason)
}

# Two values for one argument: nobody can say which was meant.
denials contains {"rule": "guardrails", "reason": sprintf("conflicting transforms of %s", [one.path])} if {
	some one in transforms
	some other in transforms
	one.path == other.path
	one.value != other.value
}

# A value for an argument and another for a part of it: the same.
denials contains {"rule": "guardrails", "reason": sprintf("conflicting transforms of %s", [whole.path])} if {
	some whole in transforms
	some part in transforms
	startswith(part.path, concat("", [whole.path, "/"]))
}

# Every contribution is a set. JSON has no sets, so data that somebody pushes
# beside the policies can never pose as a rule.
denials contains {"rule": name, "reason": "deny is not a set"} if {
	some name
	value := rules[name].deny
	not is_set(value)
}

denials contains {"rule": name, "reason": "require_approval is not a set"} if {
	some name
	value := rules[name].require_approval
	not is_set(value)
}

denials contains {"rule": name, "reason": "shadow is not a set"} if {
	some name
	value := rules[name].shadow
	not is_set(value)
}

denials contains {"rule": name, "reason": "allow is not a set"} if {
	some name
	value := rules[name].allow
	not is_set(value)
}

denials contains {"rule": name, "reason": "obligations is not a set"} if {
	some name
	value := rules[name].obligations
	not is_set(value)
}

shadows contains {"rule": name, "reason": substring(reason, 0, 512)} if {
	some reason in rules[name].shadow
	is_string(reason)
}

# Each of them must be met, by its own approvers: never a union.
approvals contains {
	"rule": name,
	"reason": substring(item.reason, 0, 512),
	"approvers": item.approvers,
	"quorum": item.quorum,
	"expires_in": item.expires_in,
} if {
	some item in rules[name].require_approval
	demand(item)
}

# The names suffice, and keep the commonest path free of objects.
grants contains name if some _ in rules[name].allow

obligations contains item if some item in rules[name].obligations

# What a refused call's record still has to hide or carry.
markings contains item if {
	some item in obligations
	item.type in {"redact", "label"}
	duty(item)
}

transforms contains item if {
	some item in obligations
	item.type == "transform"
	duty(item)
}

# A misspelt key must not fall away in silence, so the keys are exactly these.
demand(item) if {
	is_object(item)
	object.keys(item) == {"reason", "approvers", "quorum", "expires_in"}
	is_string(item.reason)
	named(item.approvers)
	is_number(item.quorum)
	item.quorum >= 1
	item.quorum == floor(item.quorum)
	is_number(item.expires_in)
	item.expires_in > 0
}

named(groups) if {
	is_array(groups)
	count(groups) > 0
	every group in groups {
		is_string(group)
		group != ""
	}
}

duty(item) if {
	is_object(item)
	item.type in {"redact", "label"}
	object.keys(item) - {"value"} == {"type", "path"}
	is_string(item.path)
	regex.match(`^/args(/|$)`, item.path)
}

duty(item) if {
	is_object(item)
	item.type == "transform"
	object.keys(item) == {"type", "path", "value"}
	is_string(item.path)
	startswith(item.path, "/args/")
}
