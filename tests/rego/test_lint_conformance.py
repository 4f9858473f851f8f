"""The checks over OPA's own cases: none crashes, and what OPA takes is not refused as wrong Rego.

The corpus is optional: ``$OPA_CONFORMANCE``, or ``../shared/opa-conformance`` beside the tree.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from guardrails.rego.lint.gate import CHECKS
from guardrails.rego.lint.scope import Scope, View
from guardrails.rego.opa_binary import check, find_opa
from guardrails.rego.planner import parse_modules

ROOT = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("OPA_CONFORMANCE") or ROOT / "../shared/opa-conformance") / "cases"
COMPILER = {
    "unsafe-variable",
    "reassigned-variable",
    "assigned-term",
    "conflicting-rules",
    "rule-form",
    "call",
    "type-error",
    "undefined-reference",
    "shadowed-name",
    "unknown-builtin",
    "v0-syntax",
}
"""The ids of what OPA's compiler refuses without --strict, too."""


@pytest.mark.skipif(not CORPUS.is_dir(), reason="OPA's cases are not here")
def test_what_opa_takes_is_not_refused_as_wrong_rego() -> None:
    opa = find_opa()
    if opa is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    cases = [
        (case["note"], case["modules"])
        for path in sorted(CORPUS.glob("*.json"))
        for case in json.loads(path.read_text("utf-8"), parse_float=Decimal)["cases"]
        if case.get("modules")
    ]
    sources = {
        f"{number}-{part}": module
        for number, (_, modules) in enumerate(cases)
        for part, module in enumerate(modules)
    }
    parsed, _ = parse_modules(sources)
    wrong = []
    seen: Counter[str] = Counter()
    for number, (note, modules) in enumerate(cases):
        names = [f"{number}-{part}" for part in range(len(modules))]
        if not all(name in parsed for name in names):
            continue
        views = tuple(View.of(parsed[name]) for name in names)
        found = [
            finding
            for view in views
            for one in CHECKS
            for finding in one(view, Scope(views))
            if finding.rule_id in COMPILER
            # What OPA takes and this library does not is refused on purpose.
            and "not supported" not in finding.message
            and "named `internal`" not in finding.message
        ]
        seen["checked"] += 1
        if found and not check(
            opa, {f"{name}.rego": sources[name] for name in names}, strict=False
        ):
            wrong += [(note, finding) for finding in found]
    assert wrong == []
    assert seen["checked"] > 1000
