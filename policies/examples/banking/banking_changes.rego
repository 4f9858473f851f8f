# METADATA
# scope: package
# title: Changes by a bank's assistant
# description: >-
#   Whatever changes something and moves no money changes who the account holder
#   is to the bank: the password, the name, the address. These come first when an
#   account is taken over, so the account holder is asked, always. Passwords stay
#   out of the record.
# custom:
#   severity: critical
#   runbook: docs/runbooks/rules.md#banking_changes
package guardrails.rules.banking_changes

import future.keywords.not

require_approval contains {
	"reason": "it changes what the bank knows about the account holder",
	"approvers": ["account-holder"],
	"quorum": 1,
	"expires_in": 900,
} if {
	not reading
	not moving
}

reading if input.tool.operation == "read"

# These are the business of banking_payments.
moving if "moves_money" in input.tool.labels

obligations contains {"type": "redact", "path": "/args/password"} if {
	is_object(input.args)
	"password" in object.keys(input.args)
}
