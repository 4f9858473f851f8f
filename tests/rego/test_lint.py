"""``policy check``: each finding with its place and its mend, and no finding on sound policies."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from guardrails.rego.lint import CHECKS, Finding, lint
from guardrails.rego.planner import find_opa

LIBRARY = Path(__file__).parents[2] / "policies"
META = """# METADATA
# scope: package
# title: Probe
# description: A probe.
# custom:
#   severity: high
#   runbook: docs/probe.md
"""
HEAD = f"{META}package guardrails.rules.probe\n\nimport future.keywords.not\n\n"
BARE = f"{META}package guardrails.rules.probe\n\n"
ROW = 12
BESIDE = {"unused-rule", "unused-variable", "fail-open-list", "fail-open-not-equal"}
"""What else is wrong with rules that are made to show one thing."""


def findings(source: str, *, file: str = "probe.rego", **modules: str) -> list[Finding]:
    """What is found in a module and `modules`; that its rules are not used is no matter here."""
    sources = {file: source, **{f"{name}.rego": text for name, text in modules.items()}}
    return [each for each in lint(sources, use_opa=False) if each.rule_id not in BESIDE]


def ids(source: str, *, file: str = "probe.rego", **modules: str) -> list[str]:
    return [finding.rule_id for finding in findings(source, file=file, **modules)]


def test_a_sound_rule_package_has_no_finding() -> None:
    assert (
        findings(f'{HEAD}deny contains "m" if not good\n\ngood if is_number(input.args.n)\n') == []
    )


def test_the_library_has_no_finding_with_opa() -> None:
    if find_opa() is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    modules = {str(path): path.read_text("utf-8") for path in sorted(LIBRARY.rglob("*.rego"))}
    input_schema, data_schema = (
        json.loads((LIBRARY / "schemas" / name / "schema.json").read_text("utf-8"))
        for name in ("input", "data")
    )
    found = lint(modules, input_schema=input_schema, data_schema=data_schema, compare=60)
    assert found == []


SAFE_NOT = [
    "not input.tool.name",
    'not input.tool["name"]',
    "not good",
    'not input.tool.name == "x"',
    'not good == "x"',
    'not "x" == good',
    'to := object.get(input, ["args", "to"], "")\n\tnot startswith(to, "a")',
    "not (good)",
]
UNSAFE_NOT = [
    "not data.owners[input.agent.id]",
    "not input.tool[good]",
    'not startswith(input.args.to, "a")',
    "not f(input.args)",
    "not f(good)",
    "not input.a != 1",
    "not input.a > 1",
    "not input.a == input.b",
    'not input.a in {"x"}',
    "not good with input.a as 1",
    "not count(input.a) == 0",
    "not [1 | input.a]",
]


@pytest.mark.parametrize("literal", SAFE_NOT)
def test_a_not_that_is_safe_needs_no_import(literal: str) -> None:
    assert (
        ids(f'{BARE}deny contains "m" if {{\n\t{literal}\n}}\ngood := input.q\nf(x) := x\n') == []
    )


@pytest.mark.parametrize("literal", UNSAFE_NOT)
def test_any_other_not_needs_the_import(literal: str) -> None:
    rest = f'deny contains "m" if {{\n\t{literal}\n}}\ngood := input.q\nf(x) := x\n'
    (finding,) = findings(BARE + rest)
    assert (finding.rule_id, finding.row, finding.col) == ("not-without-import", 11, 2)
    assert "import future.keywords.not" in finding.mend
    assert ids(HEAD + rest) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("package guardrails.rules.probe\nx := 1\n", "no METADATA"),
        (HEAD.replace("# title: Probe\n", "") + "x := 1\n", "`title`"),
        (HEAD.replace("severity: high", "colour: red") + "x := 1\n", "`custom.severity`"),
        (HEAD.replace("severity: high", "severity: grave") + "x := 1\n", "`grave`"),
        (HEAD.replace("scope: package", "scope: rule") + "x := 1\n", "scope: package"),
        (HEAD.replace("title: Probe", "title: [") + "x := 1\n", "cannot be read"),
    ],
)
def test_metadata_is_asked_of_rule_packages(source: str, words: str) -> None:
    (finding,) = findings(source)
    assert finding.rule_id == "metadata"
    assert words in finding.message


def test_metadata_is_asked_of_nothing_else() -> None:
    assert ids("package guardrails\nx := 1\n") == []


@pytest.mark.parametrize(
    ("package", "file"),
    [
        ("guardrails.rules", "p.rego"),
        ("guardrails.rules.a.b", "p.rego"),
        ("elsewhere", "p.rego"),
        ("guardrails.rules.a", "p_test.rego"),
    ],
)
def test_a_package_that_nobody_hears_is_found(package: str, file: str) -> None:
    source = f"{META}package {package}\n\nx := 1\n"
    assert "package-layout" in ids(source, file=file)


@pytest.mark.parametrize("call", ["time.now_ns()", 'rand.intn("x", 5)', 'uuid.rfc4122("x")'])
def test_clock_and_chance_are_found(call: str) -> None:
    (finding,) = findings(f'{HEAD}deny contains "m" if {call} == input.q\n')
    assert (finding.rule_id, finding.row) == ("nondeterminism", ROW)


@pytest.mark.parametrize(
    "rule",
    ['allow contains "m"', 'allow contains "m" if true', 'allow contains "m" if {\n\ttrue\n}'],
)
def test_an_allow_without_a_condition_is_found(rule: str) -> None:
    (finding,) = findings(f"{HEAD}{rule}\n")
    assert (finding.rule_id, finding.row) == ("unconditional-allow", ROW)


def test_an_unknown_builtin_is_found_where_it_is_called() -> None:
    (finding,) = [
        f
        for f in findings(f'{HEAD}deny contains "m" if {{\n\tlowr("a") == 1\n}}\n')
        if f.rule_id != "plan-error"
    ]
    assert (finding.rule_id, finding.row, finding.col) == ("unknown-builtin", ROW + 1, 2)


def test_functions_of_the_package_and_of_imports_are_known() -> None:
    other = f"{META}package guardrails.rules.probe\n\nhelp(x) := x\n"
    library = "package guardrails.words\n\nsay(x) := x\n"
    body = "help(1) == words.say(input.x)\n\tdata.guardrails.words.say(1)"
    source = f'{BARE}import data.guardrails.words\n\ndeny contains "m" if {{\n\t{body}\n}}\n'
    assert ids(source, other=other, words=library) == []


@pytest.mark.parametrize(
    "rule", ["good { input.x }", "good = 1 { input.x }", "deny[m] { m := input.x }"]
)
def test_a_body_without_if_is_found(rule: str) -> None:
    assert "v0-syntax" in ids(f"{HEAD}{rule}\n")


def test_a_body_after_if_and_a_comment_is_sound() -> None:
    assert ids(f"{HEAD}good if {'{'} # why\n\tinput.x\n}}\n".replace("{ '{' }", "{")) == []


@pytest.mark.parametrize(
    "rule",
    ["good if {\n\tinput := 1\n\tinput == 1\n}", "f(data) := data", "internal := 1"],
)
def test_a_name_that_is_taken_is_found(rule: str) -> None:
    assert "shadowed-name" in ids(f"{HEAD}{rule}\n")


def test_a_variable_that_is_assigned_twice_is_found() -> None:
    (finding,) = findings(f"{HEAD}good if {{\n\ty := 1\n\ty := 2\n}}\n")
    assert (finding.rule_id, finding.row, finding.col) == ("reassigned-variable", ROW + 2, 2)


def test_the_same_name_in_two_bodies_is_no_reassignment() -> None:
    assert (
        ids(
            f"{HEAD}good if {{\n\ty := 1\n\tz := [y | y := 2]\n\tz == [y]\n}}\n"
            "other if {\n\ty := 2\n\ty == 2\n}\n"
        )
        == []
    )


def test_a_parse_error_is_one_finding_with_its_place() -> None:
    (finding,) = findings(f"{HEAD}good if {{\n\ty := \n}}\n")
    assert (finding.rule_id, finding.row, finding.col) == ("parse-error", ROW + 1, 4)


def test_what_the_analysis_finds_is_a_finding() -> None:
    (finding,) = findings(f'{HEAD}deny contains "m" if inpt.x == 1\n')
    assert (finding.rule_id, finding.row) == ("unsafe-variable", ROW)


def test_data_over_a_rule_is_a_finding() -> None:
    found = lint({"p.rego": f"{HEAD}good if input.x\n"}, data={"guardrails": 1}, use_opa=False)
    assert "data-over-rules" in [finding.rule_id for finding in found]


def test_findings_are_sorted_by_place() -> None:
    source = f'{HEAD}b if {{\n\ty := 1\n\ty := 2\n}}\nallow contains "m"\n'
    found = findings(source, a=f"{META}package elsewhere\n\nx := 1\n")
    assert found == sorted(found)
    assert [finding.file for finding in found] == ["a.rego", "probe.rego", "probe.rego"]


def test_opa_adds_what_only_it_finds() -> None:
    if find_opa() is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    source = f'{HEAD}# METADATA\n# scope: nowhere\ndeny contains "m" if input.tool.name == "x"\n'
    assert lint({"p.rego": source}, use_opa=False) == []
    (finding,) = lint({"p.rego": source})
    assert (finding.rule_id, finding.row) == ("opa-check", ROW)
    assert "nowhere" in finding.message


def test_every_check_has_a_name_and_a_docstring() -> None:
    assert all(check.__doc__ for check in CHECKS)
