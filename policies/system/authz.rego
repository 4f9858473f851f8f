# METADATA
# scope: package
# title: Who may do what with an OPA server beside the agent
# description: >-
#   Everybody who reaches the server may ask for decisions and for its health. All else, be it
#   reading policies and data, changing them, asking other queries, metrics or profiles, is for the
#   bearer of an administration token alone. For `opa run --server --authentication=token
#   --authorization=basic`; given to OPA as a file on its command line, never in a bundle, and
#   never among the policies of calls.
# custom:
#   severity: critical
#   runbook: docs/sidecar.md
package system.authz

# METADATA
# title: Whether the request is served
# description: OPA asks this before each request; undefined, it would refuse as well.
# entrypoint: true
default allow := false

allow if decides

allow if asks_for_health

allow if administers

# OPA gives the path decoded and split; only the very path of the decision passes. The parameters
# are those that change no answer: an explanation tells policies and data, which are not for
# everybody.
decides if {
	input.method == "POST"
	input.path == ["v1", "data", "guardrails", "decision"]
	is_object(input.params)
	every name, _ in input.params {
		name in {"provenance", "strict-builtin-errors"}
	}
}

asks_for_health if {
	input.method == "GET"
	input.path in [["health"], ["health", "live"], ["health", "ready"]]
}

# The environment of the OPA process holds the digests.
administers if bears(input.identity, opa.runtime().env.GUARDRAILS_OPA_TOKEN_SHA256)

# Rego compares in a time that depends on the texts, so it compares digests: what the time tells
# of a digest does not lead to the token. They are written in hex, two with a comma between while
# a token is being replaced.
bears(token, written) if {
	is_string(token)

	# An empty token is none, whatever its digest.
	token != ""
	is_string(written)
	some digest in split(written, ",")
	crypto.sha256(token) == lower(trim_space(digest))
}
