"""Each refusal as one line on the ``guardrails`` logger.

======== =======================================================================
ERROR    guardrails itself does not work: ``policy_error``, ``policy_unavailable``,
         ``state_unavailable``
WARNING  a call was refused or a run killed: all other codes
INFO     nothing is wrong: ``shadowed``, ``approval_pending``
======== =======================================================================
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from guardrails.audit.exact_json import exact_json
from guardrails.audit.redaction import Redaction
from guardrails.errors import REASON_LIMIT, Refusal

if TYPE_CHECKING:
    from guardrails.errors import RunKilled

_log: Final = logging.getLogger("guardrails")

_redaction: Final = Redaction()

_LEVELS: Final = {
    "policy_error": logging.ERROR,
    "policy_unavailable": logging.ERROR,
    "state_unavailable": logging.ERROR,
    "shadowed": logging.INFO,
    "approval_pending": logging.INFO,
}


def log_refusal(refusal: Refusal | RunKilled) -> None:
    """Write one line: the code, who called what, under which ids, by which rules, and why."""
    level = _LEVELS.get(refusal.code, logging.WARNING)
    if _log.isEnabledFor(level):
        _log.log(level, "%s", line_of(refusal))


def line_of(refusal: Refusal | RunKilled) -> str:
    """The line: ``denied tool="refund" agent="billing" … message="…"``, in printable ASCII.

    Every text stands in quotes with JSON's escapes, so that no argument can forge a
    line or a field. Secrets in the message are taken out, as in the record.
    """
    if isinstance(refusal, Refusal):
        fields: dict[str, object] = {
            "tool": refusal.tool,
            "agent": refusal.agent,
            "run": refusal.run_id,
            "decision": refusal.decision_id,
            "rules": list(refusal.rule_ids) or None,
        }
        message = refusal.message
    else:
        fields = {
            "tool": refusal.tool,
            "agent": refusal.agent,
            "run": refusal.run_id,
            "decision": refusal.decision_id,
            "scope": refusal.scope,
        }
        message = str(refusal)
    fields["message"] = _redaction.text(message[:REASON_LIMIT])
    words = (f"{name}={exact_json(value)}" for name, value in fields.items() if value is not None)
    return f"{refusal.code} {' '.join(words)}"
