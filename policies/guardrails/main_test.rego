package guardrails_test.main

import data.guardrails
import data.guardrails_test.fixture
import future.keywords.not

# What one more package of rules would bring to a call that the library allows.
beside(contribution) := decision if {
	decision := fixture.decide(fixture.call, fixture.settings) with data.guardrails.rules.probe as contribution
}

# The reasons that this package, or the merge itself, gives for a denial.
reasons(contribution) := said if {
	decision := beside(contribution)
	decision.effect == "deny"
	decision.approvals == []
	said := {item.reason | some item in decision.reasons; item.rule in {"probe", "guardrails"}}
}

test_the_fixture_is_allowed if {
	decision := fixture.decide(fixture.call, fixture.settings)
	decision == {
		"effect": "allow",
		"reasons": [{"rule": "access", "reason": "allowed"}],
		"approvals": [],
		"obligations": [],
	}
}

test_nothing_at_all_is_denied if {
	decision := guardrails.decision with data.guardrails_data as {}
	decision.effect == "deny"
	{"rule": "guardrails", "reason": "no rule allows this call"} in decision.reasons
}

test_every_grant_is_named if {
	decision := beside({"allow": {"yes"}})
	decision.effect == "allow"
	[item.rule | some item in decision.reasons] == ["access", "probe"]
}

test_deny_comes_before_everything if {
	reasons({
		"deny": {"no"},
		"shadow": {"try"},
		"allow": {"yes"},
		"require_approval": {{"reason": "ask", "approvers": ["ops"], "quorum": 1, "expires_in": 60}},
	}) == {"no"}
}

test_shadow_comes_before_approval if {
	decision := beside({
		"shadow": {"try"},
		"require_approval": {{"reason": "ask", "approvers": ["ops"], "quorum": 1, "expires_in": 60}},
	})
	decision.effect == "shadow"
	decision.would == "require_approval"
	decision.approvals == []
	decision.reasons == [{"rule": "probe", "reason": "try"}]
}

test_shadow_alone_would_have_been_allowed if {
	decision := beside({"shadow": {"try"}})
	decision.effect == "shadow"
	decision.would == "allow"
}

test_approvals_stay_apart if {
	decision := beside({"require_approval": {
		{"reason": "one", "approvers": ["ops"], "quorum": 1, "expires_in": 60},
		{"reason": "two", "approvers": ["legal", "finance"], "quorum": 2, "expires_in": 90.5},
	}})
	decision.effect == "require_approval"
	decision.reasons == []
	decision.approvals == [
		{"rule": "probe", "reason": "two", "approvers": ["legal", "finance"], "quorum": 2, "expires_in": 90.5},
		{"rule": "probe", "reason": "one", "approvers": ["ops"], "quorum": 1, "expires_in": 60},
	]
}

test_approval_never_stands_for_a_grant if {
	settings := object.union(fixture.settings, {"agents": {"billing-agent": {"access": []}}})
	asked := {"require_approval": {{"reason": "ask", "approvers": ["ops"], "quorum": 1, "expires_in": 60}}}
	decision := fixture.decide(fixture.call, settings) with data.guardrails.rules.probe as asked
	decision.effect == "deny"
	decision.reasons == [{"rule": "guardrails", "reason": "no rule allows this call"}]
}

test_shadow_never_stands_for_a_grant if {
	settings := object.union(fixture.settings, {"agents": {"billing-agent": {"access": []}}})
	decision := fixture.decide(fixture.call, settings) with data.guardrails.rules.probe as {"shadow": {"try"}}
	decision.effect == "deny"
}

test_a_malformed_message_still_denies if {
	every message in [null, false, 0, 7.5, [], ["no"], {}, {"msg": "no"}] {
		reasons({"deny": {message}}) == {"malformed deny"}
	}
}

test_reasons_are_cut if {
	long := concat("", ["ä" | some _ in numbers.range(1, 600)])
	short := concat("", ["ä" | some _ in numbers.range(1, 512)])
	reasons({"deny": {long}}) == {short}
	decision := beside({"shadow": {long}})
	decision.reasons == [{"rule": "probe", "reason": short}]
	asked := beside({"require_approval": {{"reason": long, "approvers": ["ops"], "quorum": 1, "expires_in": 60}}})
	asked.approvals[0].reason == short
}

test_other_malformed_messages_deny if {
	every message in [null, true, 1, ["x"], {"a": 1}] {
		reasons({"allow": {message}}) == {"malformed allow"}
		reasons({"shadow": {message}}) == {"malformed shadow"}
	}
}

test_a_contribution_that_is_no_set_denies if {
	every kind in ["deny", "shadow", "allow", "require_approval", "obligations"] {
		every value in [null, false, true, 1, "x", [], {}] {
			contribution := {kind: value}
			sprintf("%s is not a set", [kind]) in reasons(contribution)
		}
	}
}

test_an_empty_set_says_nothing if {
	every kind in ["deny", "shadow", "allow", "require_approval", "obligations"] {
		contribution := {kind: set()}
		beside(contribution).effect == "allow"
	}
}

test_a_malformed_approval_denies if {
	sound := {"reason": "ask", "approvers": ["ops"], "quorum": 1, "expires_in": 60}
	every change in [
		{"reason": null}, {"reason": 1},
		{"approvers": []}, {"approvers": "ops"}, {"approvers": ["ops", 1]}, {"approvers": [""]}, {"approvers": {"ops": "ops"}},
		{"quorum": 0}, {"quorum": 1.5}, {"quorum": "1"}, {"quorum": null}, {"quorum": -1},
		{"expires_in": 0}, {"expires_in": -60}, {"expires_in": "4h"}, {"expires_in": null},
		{"quorom": 2},
	] {
		item := object.union(sound, change)
		reasons({"require_approval": {item}}) == {"malformed approval"}
	}
	every key in ["reason", "approvers", "quorum", "expires_in"] {
		item := object.remove(sound, [key])
		reasons({"require_approval": {item}}) == {"malformed approval"}
	}
	every item in [null, true, "ask", ["ask"], {}] {
		reasons({"require_approval": {item}}) == {"malformed approval"}
	}
}

test_sound_obligations_go_through if {
	duties := {
		{"type": "redact", "path": "/args/iban"},
		{"type": "redact", "path": "/args"},
		{"type": "label", "path": "/args/note", "value": "pii"},
		{"type": "transform", "path": "/args/amount", "value": 10},
	}
	decision := beside({"obligations": duties})
	decision.effect == "allow"
	decision.obligations == sort(duties)
}

test_a_malformed_obligation_denies if {
	every item in [
		null, true, "redact", ["redact"], {},
		{"type": "redact"}, {"type": "erase", "path": "/args/a"}, {"path": "/args/a"},
		{"type": "redact", "path": null}, {"type": "redact", "path": "/tool/name"}, {"type": "redact", "path": "/argsx"},
		{"type": "redact", "path": "/args/a", "vlaue": "x"},
		{"type": "label", "path": ["args"], "value": "x"},
		{"type": "transform", "path": "/args/a"}, {"type": "transform", "path": "/args", "value": {}},
		{"type": "transform", "path": "/agent/id", "value": "x"}, {"type": "transform", "path": 1, "value": "x"},
	] {
		reasons({"obligations": {item}}) == {"malformed obligation"}
	}
}

test_transforms_that_conflict_deny if {
	first := {"type": "transform", "path": "/args/amount", "value": 10}
	reasons({"obligations": {first, {"type": "transform", "path": "/args/amount", "value": 11}}}) == {"conflicting transforms of /args/amount"}
	reasons({"obligations": {first, {"type": "transform", "path": "/args/amount/cents", "value": 0}}}) == {"conflicting transforms of /args/amount"}
	decision := beside({"obligations": {first, {"type": "transform", "path": "/args/amounts", "value": 0}}})
	decision.effect == "allow"
}

test_a_refused_call_is_still_redacted if {
	decision := beside({"deny": {"no"}, "obligations": {
		{"type": "redact", "path": "/args/iban"},
		{"type": "transform", "path": "/args/amount", "value": 10},
		{"type": "erase", "path": "/args/note"},
	}})
	decision.effect == "deny"
	decision.obligations == [{"type": "redact", "path": "/args/iban"}]
}
