package guardrails_test.system_authz

import data.system.authz
import future.keywords.not

# printf %s correct-horse-battery-staple | sha256sum
digest := "87cbebfeebc05f7c54ac9336c4b4bbec831227a641951a4bde7edd56020f8590"

environment := {"GUARDRAILS_OPA_TOKEN_SHA256": digest}

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

test_the_bearer_of_the_token_may_do_everything if {
	authz.allow with input as object.union(change, {"identity": "correct-horse-battery-staple"})
		with opa.runtime as {"env": environment}
	authz.allow with input as object.union(plain, {"params": {"explain": ["full"]}, "identity": "correct-horse-battery-staple"})
		with opa.runtime as {"env": environment}
}

test_another_token_or_none_may_do_nothing_else if {
	not authz.allow with input as change with opa.runtime as {"env": environment}
	not authz.allow with input as object.union(change, {"identity": "correct-horse-battery-stable"})
		with opa.runtime as {"env": environment}
	not authz.allow with input as object.union(change, {"identity": digest})
		with opa.runtime as {"env": environment}
	not authz.allow with input as object.union(change, {"identity": ""})
		with opa.runtime as {"env": environment}
	not authz.allow with input as object.union(change, {"identity": ["correct-horse-battery-staple"]})
		with opa.runtime as {"env": environment}
}

test_two_tokens_hold_while_one_is_being_replaced if {
	authz.allow with input as object.union(change, {"identity": "correct-horse-battery-staple"})
		with opa.runtime as {"env": {"GUARDRAILS_OPA_TOKEN_SHA256": concat(", ", ["00", upper(digest)])}}
}

test_without_a_digest_nobody_administers if {
	not authz.allow with input as object.union(change, {"identity": "correct-horse-battery-staple"})
		with opa.runtime as {"env": {}}
	not authz.allow with input as object.union(change, {"identity": "correct-horse-battery-staple"})
		with opa.runtime as {}
}

test_the_digest_of_nothing_is_no_digest if {
	not authz.allow with input as object.union(change, {"identity": ""})
		with opa.runtime as {"env": {"GUARDRAILS_OPA_TOKEN_SHA256": crypto.sha256("")}}
}

test_what_is_no_request_is_refused if {
	not authz.allow with input as {}
	not authz.allow with input as "GET"
}
