"""What the compiled form leaves out, because nobody reads it, could not have failed."""

from __future__ import annotations

from tests.rego.emit.both import FORMS, Question

from guardrails.rego import decoder
from guardrails.rego.planner import plan_modules

# The call of `limit` in `below` may be kept for `main` alone, and `below` fails deep inside.
SHARED = {
    "main.rego": """package p.main

below if {
	input.tags < (input.tags / (-1))
	ceil(data.p.other.limit(object.get(input, ["nested", "a"], 3))) == (data.p.other.limit(2) * 5)
}

main if {
	below
	some _ in input.items
}

main if some _, _ in input.amount
""",
    "other.rego": """package p.other

limit(one) := 0.1 if {
	other := data.limits.refund
}
""",
    "rules.rego": """package p.rules.one

deny contains "b" if data.p.main.main
""",
    "merge.rego": """package p.merge

reasons contains {"rule": name, "reason": reason} if {
	some reason in data.p.rules[name].deny
}
""",
}


def test_a_rule_that_is_worked_out_for_nobody_still_fails_where_it_fails():
    plan = plan_modules(SHARED, ("p/main", "p/other", "p/merge"))
    policy = decoder.decode(plan.document, planner=plan.planner)
    documents = [{"tags": ["a"], "amount": 5}, {"tags": 1, "amount": [1]}]
    inputs = {form: documents for form in FORMS if not form.shaped}
    assert Question(policy, {"limits": {"users": 2}}, inputs, {}, {}).check()
