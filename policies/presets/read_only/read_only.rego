# METADATA
# scope: package
# title: Read only
# description: A preset. Denies every call whose tool does anything but read, whatever the register grants.
# custom:
#   severity: high
#   runbook: docs/runbooks/rules.md#read_only
package guardrails.rules.read_only

import future.keywords.not

deny contains "only read operations are permitted here" if not reading

reading if input.tool.operation == "read"
