package guardrails_test.review

import data.guardrails.rules.review
import future.keywords.not

# 2026-06-15T12:00:00Z
noon := 1781524800000000000

reviewed(environment, review_by, time) if {
	known := {"a": {"review_by": review_by}}
	count(review.deny) == 0 with input.agent.id as "a"
		with input.agent.environment as environment
		with input.time as time
		with data.guardrails_data.agents as known
}

test_a_review_to_come_passes if {
	reviewed("prod", "2026-06-16", noon)
	reviewed("prod", "2027-01-01", noon)
	reviewed("prod", "2028-02-29", noon)
}

test_the_day_itself_counts_to_its_end if {
	reviewed("prod", "2026-06-15", noon)

	# 23:59:59.999999999, and one nanosecond later.
	reviewed("prod", "2026-06-15", 1781567999999999999)
	not reviewed("prod", "2026-06-15", 1781568000000000000)
}

test_an_overdue_review_denies if {
	not reviewed("prod", "2026-06-14", noon)
	not reviewed("prod", "2025-12-31", noon)
}

test_29_february_stands_in_every_year if {
	# To the end of that day in 2028, to the end of the 28th in 2027.
	reviewed("prod", "2028-02-29", 1835481599999999999)
	not reviewed("prod", "2028-02-29", 1835481600000000000)
	reviewed("prod", "2027-02-29", 1803859199999999999)
	not reviewed("prod", "2027-02-29", 1803859200000000000)
	not reviewed("prod", "2028-02-28", 1835395200000000000)
}

test_a_review_beyond_the_clock_passes if {
	# 2262-04-11T23:47:16.854775807Z, the last instant that the clock can say.
	last := 9223372036854775807
	every day in ["2262-04-11", "2262-04-12", "2264-02-29", "2300-02-29", "2999-12-31"] {
		reviewed("prod", day, last)
	}
	not reviewed("prod", "2262-04-10", last)
	reviewed("prod", "2262-04-10", 9223286399999999999)
	not reviewed("prod", "2262-04-10", 9223286400000000000)
}

test_only_known_environments_are_exempt if {
	every environment in ["dev", "test", "staging", "demo"] {
		reviewed(environment, "2025-12-31", noon)
		reviewed(environment, null, noon)
	}
	every environment in ["prod", "Prod", "production", "live", "DEV", "dev ", "", null, true, ["dev"], {}] {
		not reviewed(environment, "2025-12-31", noon)
	}
}

test_the_project_may_name_the_exempt if {
	known := {"a": {}}
	count(review.deny) == 0 with input.agent.environment as "lab"
		with data.guardrails_data.agents as known
		with data.guardrails_data.unreviewed_environments as ["lab"]
	count(review.deny) == 1 with input.agent.environment as "dev"
		with data.guardrails_data.agents as known
		with data.guardrails_data.unreviewed_environments as ["lab"]
	every junk in [null, true, "dev", {"dev": "dev"}, {}] {
		count(review.deny) == 1 with input.agent.environment as "dev"
			with data.guardrails_data.agents as known
			with data.guardrails_data.unreviewed_environments as junk
	}
}

test_what_is_no_date_denies if {
	every text in [
		"", "never", "2026", "2026-13-01", "2026-00-10", "2026-12-32", "2026-12-00", "2026-04-31", "2026-02-30",
		"2026-12-31\n", " 2026-12-31", "2026-12-31T00:00:00Z", "26-12-31", "2026/12/31", "2026-1-1", "99999-12-31",
		"9026-12-31", "20261231", "2026-12-3١",
	] {
		not reviewed("prod", text, noon)
	}
	every junk in [null, true, 20991231, ["2099-12-31"], {}] {
		not reviewed("prod", junk, noon)
	}
}

test_a_junk_clock_denies if {
	every junk in [null, true, "1781524800000000000", -1, 1781524800000000000.5, 9223372036854775808, 1e30, [], {}] {
		not reviewed("prod", "2026-12-31", junk)
	}
}

test_nothing_known_denies if {
	count(review.deny) == 1
	count(review.deny) == 1 with input.agent.id as "a"
		with input.agent.environment as "prod"
		with input.time as 1781524800000000000
		with data.guardrails_data.agents as {"a": {}}
}
