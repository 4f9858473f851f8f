package guardrails_test.signals

import data.guardrails.rules.signals
import data.guardrails_test.fixture

test_a_quiet_run_is_not_asked_about if {
	tool := object.union(fixture.call.tool, {"operation": "write"})
	count(signals.require_approval) == 0 with input.tool as tool
		with input.run as fixture.call.run
}

test_a_run_that_a_breaker_speaks_of_is_asked_about if {
	every noticed in [["repeat"], ["errors", "spend"]] {
		count(signals.require_approval) == 1 with input.tool.operation as "write"
			with input.run.signals as noticed
	}
}

test_its_reads_go_on if {
	count(signals.require_approval) == 0 with input.tool.operation as "read"
		with input.run.signals as ["repeat"]
}

test_signals_that_are_missing_or_no_list_are_asked_about if {
	count(signals.require_approval) == 1 with input.tool.operation as "write"
	every noticed in [null, {}, "", "repeat", 0, false] {
		count(signals.require_approval) == 1 with input.tool.operation as "write"
			with input.run.signals as noticed
	}
}

test_a_missing_operation_is_no_read if {
	count(signals.require_approval) == 1 with input.run.signals as ["repeat"]
}
