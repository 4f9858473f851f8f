# METADATA
# scope: package
# title: Review
# description: >-
#   An agent whose review_by has passed, or that has none, does nothing in
#   production. Production is every environment that is not known to be another.
# custom:
#   severity: medium
#   runbook: docs/runbooks/rules.md#review
package guardrails.rules.review

import future.keywords.not

deny contains "the agent's review is overdue, or its review_by is no date (YYYY-MM-DD)" if not reviewed

# Exempt by list, not bound by list: "production", "Prod" and "live" are all production.
default exempt := ["dev", "development", "test", "testing", "ci", "local", "demo", "sandbox", "staging"]

exempt := data.guardrails_data.unreviewed_environments

reviewed if {
	is_array(exempt)
	is_string(input.agent.environment)
	input.agent.environment in exempt
}

# The whole of the day named still counts, in UTC.
reviewed if clock < due

# The first instant after that day. 29 February stands in every year: where there is none, it
# means the 28th. What the clock can say ends on 11 April 2262.
due := 9223372036854775808 if {
	day >= "2262-04-11"
} else := time.parse_rfc3339_ns(concat("", [substring(day, 0, 4), "-03-01T00:00:00Z"])) if {
	endswith(day, "-02-29")
} else := time.parse_rfc3339_ns(concat("", [day, "T00:00:00Z"])) + 86400000000000

day := review_by if {
	review_by := data.guardrails_data.agents[input.agent.id].review_by
	is_string(review_by)
	regex.match(full_date, review_by)
}

# RFC 3339's full-date from the year 2000 on.
full_date := concat("", [
	`^2[0-9]{3}-(`,
	`(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|`,
	`(0[469]|11)-(0[1-9]|[12][0-9]|30)|`,
	`02-(0[1-9]|[12][0-9])`,
	`)$`,
])

# Whole nanoseconds from 1970 to 2262.
clock := input.time if {
	is_number(input.time)
	input.time >= 0
	input.time <= 9223372036854775807
	input.time == floor(input.time)
}
