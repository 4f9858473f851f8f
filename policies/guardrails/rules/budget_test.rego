package guardrails_test.budget

import data.guardrails.rules.budget
import future.keywords.not

solvent(remaining) if {
	count(budget.deny) == 0 with input.run.remaining as remaining
}

test_a_run_within_its_limits_passes if {
	solvent({"usd": 1.5, "calls": 3})
	solvent({"calls": 0})
	solvent({"seconds": 0.5})
}

test_an_overdrawn_run_is_denied if {
	not solvent({"usd": -0.01})
	not solvent({"usd": 5, "calls": -1})
}

test_a_run_without_any_limit_is_denied if not solvent({})

test_junk_is_denied if {
	every junk in [null, true, 5, "5", [], [5], {"usd": null}, {"usd": "5"}, {"usd": true}, {"usd": {}}, {"calls": 5, "usd": [1]}] {
		not solvent(junk)
	}
}

test_nothing_known_denies if {
	count(budget.deny) == 1
}
