"""What OPA's compiler refuses: each class is found without OPA, and nothing else is."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from tests.rego.lint_corpus import REFUSED, Case

from guardrails.rego.lint import CHECKS, lint
from guardrails.rego.lint.scope import Scope, View
from guardrails.rego.lint.signatures import DEPRECATED, SIGNATURES
from guardrails.rego.lint.types import ANY, Type
from guardrails.rego.opa_binary import check, find_opa
from guardrails.rego.planner import parse_modules

HEAD = """# METADATA
# scope: package
# title: Probe
# description: A probe.
# custom:
#   severity: high
#   runbook: docs/probe.md
package guardrails.rules.probe

import future.keywords.not
"""
ROWS_ABOVE = HEAD.count("\n")
NAMES = [case.bad.replace("\n", " ")[:60] for case in REFUSED]
FAMILIES = {case.rule_id for case in REFUSED}


@pytest.fixture
def opa() -> str:
    found = find_opa()
    if found is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    return found


def module(text: str) -> dict[str, str]:
    """One module; imports stand right below the head, a package of its own replaces it."""
    if text.startswith("package"):
        return {"p.rego": f"{text}\n"}
    return {"p.rego": f"{HEAD}{'' if text.startswith('import') else chr(10)}{text}\n"}


def ids(text: str) -> list[str]:
    # What nobody uses is no matter of the compiler.
    return [f.rule_id for f in lint(module(text), use_opa=False) if f.rule_id != "unused-rule"]


def test_there_are_enough_of_them() -> None:
    assert len(REFUSED) >= 60
    assert len({case.bad for case in REFUSED}) == len(REFUSED)
    assert all(case.bad != case.good for case in REFUSED)


@pytest.mark.parametrize("case", REFUSED, ids=NAMES)
def test_it_is_found_without_opa_and_its_mend_passes(case: Case) -> None:
    found = lint(module(case.bad), use_opa=False)
    own = [finding for finding in found if finding.rule_id == case.rule_id]
    assert own, found
    assert all(finding.row for finding in own)
    assert all(finding.mend for finding in own) or case.rule_id == "recursion"
    assert ids(case.good) == []


def test_opa_refuses_the_same_and_takes_the_mended(opa: str) -> None:
    taken = [case.bad for case in REFUSED if not check(opa, module(case.bad))]
    refused = [(case.good, found) for case in REFUSED if (found := check(opa, module(case.good)))]
    assert (taken, refused) == ([], [])


def test_one_mistake_in_many_modules_is_found_in_each() -> None:
    bad = next(case.bad for case in REFUSED if case.rule_id == "unsafe-variable")
    modules = {f"{number}.rego": module(bad)["p.rego"] for number in range(3)}
    found = [f for f in lint(modules, use_opa=False) if f.rule_id == "unsafe-variable"]
    assert [finding.file for finding in found] == ["0.rego", "1.rego", "2.rego"]


def test_rules_of_one_package_in_two_modules_go_together_or_not() -> None:
    one, other = module("a := 1")["p.rego"], module("a contains 1")["p.rego"]
    found = lint({"1.rego": one, "2.rego": other}, use_opa=False)
    assert ("2.rego", "conflicting-rules") in {(f.file, f.rule_id) for f in found}


def test_a_rule_and_a_package_of_one_path_are_found() -> None:
    below = "package guardrails.tools.deep\n\na := 1\n"
    found = lint(
        {"1.rego": "package guardrails.tools\n\ndeep := 1\n", "2.rego": below}, use_opa=False
    )
    assert ("1.rego", "conflicting-rules") in {(f.file, f.rule_id) for f in found}


@pytest.mark.parametrize("depth", [30, 3000])
def test_deep_nesting_is_a_finding_or_none_but_no_crash(depth: int) -> None:
    source = module(f"a := {'[' * depth}1{']' * depth}")
    assert {f.rule_id for f in lint(source, use_opa=False)} <= {
        "parse-error",
        "plan-error",
        "unused-rule",
    }


@pytest.mark.parametrize("count", range(5))
def test_a_call_with_any_number_of_arguments_is_read(count: int) -> None:
    names = [*SIGNATURES, "print", "trace", "equal"]
    for role in ('deny contains "m" if {}', 'allow contains "m" if {}', "a := {}"):
        given = ", ".join(f"input.args.a{number}" for number in range(count))
        rules = [role.format(f"{name}({given})") for name in names]
        scope = Scope(tuple(map(View.of, parse_modules(module("\n\n".join(rules)))[0].values())))
        assert scope.views
        found = [f for view in scope.views for one in CHECKS for f in one(view, scope)]
        assert {f.row for f in found if f.rule_id == "call"}


def _type(declared: dict[str, object]) -> frozenset[str]:
    """The kinds of a type as OPA writes it."""
    name = declared["type"]
    if name != "any":
        return frozenset({str(name)})
    of = declared.get("of")
    return frozenset().union(*map(_type, of)) if isinstance(of, list) else ANY.kinds


def test_the_table_of_builtins_is_opas(opa: str) -> None:
    said = subprocess.run(  # the binary of the tests
        [opa, "capabilities", "--current"], capture_output=True, check=True, timeout=60
    )
    builtins = {b["name"]: b for b in json.loads(said.stdout)["builtins"]}
    fixed = {name for name, b in builtins.items() if "variadic" not in b["decl"]}
    assert set(SIGNATURES) == fixed
    assert {name for name, b in builtins.items() if b.get("deprecated")} == DEPRECATED
    for name, signature in SIGNATURES.items():
        declared = builtins[name]["decl"]
        types: list[Type] = list(signature.args)
        assert [t.kinds for t in types] == [_type(a) for a in declared.get("args", [])], name
        if "result" in declared:
            assert signature.result.kinds == _type(declared["result"]), name
