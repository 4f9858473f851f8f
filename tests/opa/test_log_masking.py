"""Masking does to an entry what a real OPA does to it before it posts it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from tests.opa.log_service import LogService
from tests.opa.opa_process import running

from guardrails.errors import PolicyLoadError
from guardrails.opa.logs.masking import masked, rules_of, withheld

POLICY = """
package system.log
mask contains rule if some rule in input.input.rules
"""
DECISION = """
package guardrails
decision := {"effect": "allow", "reasons": [{"rule": "r", "reason": input.a}]}
"""
INPUT: dict[str, Any] = {
    "a": "secret",
    "b": {"c": "deep", "d": [1, {"e": "in"}, 3], "x/y": 1, "x~y": 2},
    "n": None,
}
RULES: list[list[Any]] = [
    ["/input/a"],
    ["/input/b/c", "/input/missing/c"],
    ["/input/b/d/1/e"],
    ["/input/b/d/1"],
    ["/input/b/d/9"],
    ["/input/n"],
    ["/input"],
    ["/result"],
    ["/result/reasons/0/reason"],
    [{"op": "remove", "path": "/input/a"}],
    [{"op": "upsert", "path": "/input/a", "value": "***"}],
    [{"op": "upsert", "path": "/input/new", "value": {"k": [1]}}],
    [{"op": "upsert", "path": "/input/made/new", "value": 1}],
    [{"op": "upsert", "path": "/input/b/d/1", "value": 1}],
    [{"op": "upsert", "path": "/input/b/d/9", "value": 1}],
    [{"op": "upsert", "path": "/input/a/b", "value": 1}],
    [{"op": "upsert", "path": "/result/effect", "value": "hidden"}],
    [{"op": "upsert", "path": "/input", "value": "gone"}],
    [{"op": "upsert", "path": "/input/a", "value": None}],
    ["/input/b/x~1y"],
    ["/input/b/x~0y"],
    ["/input/a", {"op": "upsert", "path": "/input/b/c", "value": 0}],
]


@pytest.fixture(scope="module")
def posted(opa, tmp_path_factory):
    """What a real OPA posts for each list of rules, and what it would have without any."""
    folder = tmp_path_factory.mktemp("mask")
    with LogService() as service:
        config = {
            "services": {"logs": {"url": service.url}},
            "labels": {"region": "eu"},
            "decision_logs": {
                "service": "logs",
                "reporting": {"min_delay_seconds": 1, "max_delay_seconds": 1},
            },
        }
        (folder / "config.json").write_text(json.dumps(config))
        modules = {"mask.rego": POLICY, "decision.rego": DECISION}
        with running(opa, folder, modules, ["--config-file", "config.json"]) as process:
            for rules in RULES:
                _ask(process.port, {**INPUT, "rules": rules})
            service.wait_for(len(RULES))
        yield service.entries


def _ask(port: int, document: Any) -> None:
    request = urllib.request.Request(  # loopback
        f"http://127.0.0.1:{port}/v1/data/guardrails/decision",
        json.dumps({"input": document}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310  # loopback
        pass


@pytest.mark.opa
@pytest.mark.parametrize("index", range(len(RULES)), ids=[json.dumps(rules) for rules in RULES])
def test_it_is_what_opa_does(posted, index):
    theirs = posted[index]
    rules = RULES[index]
    plain = {
        "input": {**INPUT, "rules": rules},
        "result": {"effect": "allow", "reasons": [{"rule": "r", "reason": "secret"}]},
    }
    ours = masked(plain, rules_of(rules))
    for part in ("input", "result"):
        assert ours.get(part) == theirs.get(part)
    for part in ("erased", "masked"):
        assert sorted(ours.get(part, [])) == sorted(theirs.get(part, []))


@pytest.mark.parametrize(
    "said",
    [None, "text", {"a": 1}, [5], ["input/a"], ["/labels/id"], [{"op": "move", "path": "/input"}]],
)
def test_rules_that_cannot_be_followed_are_an_error(said):
    with pytest.raises(PolicyLoadError, match=r"system\.log\.mask"):
        rules_of(said)


def test_what_is_withheld_says_so():
    entry = {"decision_id": "d", "input": {"a": 1}, "result": {"effect": "deny"}}
    assert withheld(entry) == {"decision_id": "d", "erased": ["/input", "/result"]}
