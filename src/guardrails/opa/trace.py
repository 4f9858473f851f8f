"""What OPA's ``explain=fails`` tells, as findings: the conditions of rule packages that failed.

OPA's trace as JSON names no places; the pretty one does, a line an event, as ``rules/a.rego:12
| | Fail input.x > 1``. Its form is for people and may change: a line of another form is passed
over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Collection

_LINE: Final = re.compile(r"(?P<where>\S.*?:\d+)\s+(?:\| )*(?P<event>Enter|Fail) (?P<what>.*)")
_RULE: Final = re.compile(r"data\.guardrails\.rules\.(?P<package>[A-Za-z_]\w*)\.\w+")
_MOST: Final = 100


def findings(explanation: Any, rules: Collection[str]) -> tuple[Finding, ...]:
    """The conditions that were not met, in the order of the evaluation, each once.

    Args:
        explanation: What OPA gave under ``explanation``.
        rules: Ids of the rule packages to tell of; none for all of them.
    """
    if not isinstance(explanation, list):
        return ()
    packages: dict[str, str] = {}
    found: dict[Finding, None] = {}
    for line in explanation:
        event = _LINE.fullmatch(line) if isinstance(line, str) else None
        if event is None:
            continue
        where, what = event["where"], event["what"]
        file = where.rpartition(":")[0]
        if event["event"] == "Enter":
            rule = _RULE.fullmatch(what)
            if rule is not None:
                packages[file] = rule["package"]
        elif file in packages and (not rules or packages[file] in rules):
            found[Finding(where, packages[file], f"not met: {what}")] = None
    return tuple(found)[:_MOST]
