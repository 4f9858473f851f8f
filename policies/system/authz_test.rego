package guardrails_test.system_authz

import data.system.authz
import future.keywords.not

# printf %s correct-horse-battery-staple | sha256sum
digest := "87cbebfeebc05f7c54ac9336c4b4bbec831227a641951a4bde7edd56020f8590"

decision := {
	"method": "POST",
	"path": ["v1", "data", "guardrails", "decision"],
	"params": {"provenance": ["true"], "strict-builtin-errors": ["true"]},
}

without_params := {"method": "POST", "path": ["v1", "data", "guardrails", "decision"], "params": {}}

plain := {"method": "POST", "path": ["v1", "data", "guardrails", "decision"]}

change := {"method": "PUT", "path": ["v1", "policies", "a"], "params": {}}

test_everybody_gets_decisions if {
	authz.allow with input as decision
	authz.allow with input as without_params
	authz.allow with input as object.union(plain, {"params": {"provenance": ["true"]}})
}

test_nobody_gets_an_explanation_without_the_token if {
	not authz.allow with input as object.union(plain, {"params": {"explain": ["full"]}})
	not authz.allow with input as object.union(plain, {"params": {"provenance": [""], "explain": ["off"]}})
	not authz.allow with input as object.union(plain, {"params": {"metrics": ["true"]}})
	not authz.allow with input as object.union(plain, {"params": "explain"})
}

test_a_decision_is_asked_for_by_post_alone if {
	not authz.allow with input as object.union(decision, {"method": "GET"})
	not authz.allow with input as object.union(decision, {"method": "PUT"})
	not authz.allow with input as object.union(decision, {"method": "HEAD"})
	not authz.allow with input as object.union(decision, {"method": "post"})
}

test_the_path_is_that_of_the_decision_and_no_other if {
	not authz.allow with input as object.union(decision, {"path": ["v0", "data", "guardrails", "decision"]})
	not authz.allow with input as object.union(decision, {"path": ["", "v1", "data", "guardrails", "decision"]})
	not authz.allow with input as object.union(decision, {"path": ["v1", "data", "guardrails", "decision", "..", ".."]})
	not authz.allow with input as object.union(decision, {"path": ["v1", "data", "guardrails", "decision", ""]})
	not authz.allow with input as object.union(decision, {"path": ["v1", "data", "guardrails"]})
	not authz.allow with input as object.union(decision, {"path": ["v1", "data", "guardrails/decision"]})
	not authz.allow with input as object.union(decision, {"path": ["v1", "data"]})
	not authz.allow with input as object.union(decision, {"path": [""]})
}

test_everybody_gets_its_health if {
	authz.allow with input as {"method": "GET", "path": ["health"], "params": {"bundles": ["true"]}}
	authz.allow with input as {"method": "GET", "path": ["health", "ready"], "params": {}}
	not authz.allow with input as {"method": "POST", "path": ["health"], "params": {}}
	not authz.allow with input as {"method": "GET", "path": ["health", "x"], "params": {}}
}

test_without_the_token_nothing_else_is_served if {
	not authz.allow with input as change
	not authz.allow with input as object.union(change, {"identity": "correct-horse-battery-staple"})
	not authz.allow with input as object.union(change, {"identity": ""})
	not authz.allow with input as object.union(change, {"identity": null})
}

test_the_bearer_of_the_token_is_known if {
	authz.bears("correct-horse-battery-staple", digest)
	authz.bears("correct-horse-battery-staple", upper(digest))
}

test_nobody_else_is if {
	not authz.bears("correct-horse-battery-stable", digest)
	not authz.bears(digest, digest)
	not authz.bears("", digest)
	not authz.bears(["correct-horse-battery-staple"], digest)
	not authz.bears(null, digest)
}

test_two_tokens_hold_while_one_is_being_replaced if {
	both := concat(", ", [crypto.sha256("the next one"), digest])
	authz.bears("correct-horse-battery-staple", both)
	authz.bears("the next one", both)
	not authz.bears("another", both)
}

test_without_a_digest_nobody_is if {
	not authz.bears("correct-horse-battery-staple", "")
	not authz.bears("correct-horse-battery-staple", ",")
	not authz.bears("correct-horse-battery-staple", null)
	not authz.bears("correct-horse-battery-staple", [digest])
	not authz.bears("", "")
}

test_the_digest_of_nothing_is_nobodys if {
	not authz.bears("", crypto.sha256(""))
}

test_what_is_no_request_is_refused if {
	not authz.allow with input as {}
	not authz.allow with input as "GET"
}
