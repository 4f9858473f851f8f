"""Coverage says what OPA's report says, row by row, whoever planned; and changes no result."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.errors import EvaluationError
from guardrails.rego import Program
from guardrails.rego.coverage import Coverage
from guardrails.rego.opa_binary import find_opa
from guardrails.rego.planner import PlannerName, parse_modules
from guardrails.rego.testing import run_tests

LIBRARY = Path(__file__).parents[2] / "policies"

BODIES = """package a

import rego.v1

default allow := false

allow if {
	input.x == 1
	some k in data.list
	k == input.y
}

allow if {
	not blocked
	input.z
}

blocked if input.b

deny contains msg if {
	input.amount > 10
	msg := sprintf("%v",
		[input.amount])
}

limits := {"a": 1,
	"b": 2}

plain := 7
"""

FUNCTIONS = """package a

import rego.v1

# One answer for each kind of number.
f(x) := "small" if {
	x < 10
} else := "middle" if {
	x < 100
} else := "large"

g(1) := "one"

g(2) := "two"

h(x) := y if {
	y := [z | some z in x; z > 1]
	count(y) > 0
}

never(x) := x
"""

LOOPS = """package a

import rego.v1

names := {n | some n in input.names; startswith(n, "a")}

all_small if {
	every n in input.numbers {
		n < 10
		n > 0
	}
}

by_kind[kind] contains item.name if {
	some item in input.items
	kind := item.kind
}

first := object.get(input, ["a", "b"],
	"none")

pairs[key] := value if some key, value in input.pairs

listed if {
	some i
	input.names[i] == "zz"
	true
}
"""

CASES = {
    "bodies": (
        BODIES,
        """
test_first if {
	a.allow with input as {"x": 1, "y": 2} with data.list as [1, 2]
}

test_rest if {
	not a.allow with input as {"x": 2}
	a.limits.a == 1
}
""",
    ),
    "functions": (
        FUNCTIONS,
        """
test_one if {
	a.f(3) == "small"
	a.f(1000) == "large"
	a.g(2) == "two"
	a.h([1, 2]) == [2]
}
""",
    ),
    "loops": (
        LOOPS,
        """
test_names if {
	a.names == {"ab"} with input as {"names": ["ab", "b"]}
}

test_every if {
	not a.all_small with input as {"numbers": [50]}
}

test_others if {
	a.by_kind == {"k": {"x"}} with input as {"items": [{"name": "x", "kind": "k"}]}
	a.first == "none" with input as {}
	a.pairs == {"p": 1} with input as {"pairs": {"p": 1}}
}
""",
    ),
    "nothing": (BODIES, "\ntest_it if true\n"),
}
HEAD = "package guardrails_test.a\n\nimport rego.v1\n\nimport data.a\n"


@pytest.fixture
def opa() -> str:
    binary = find_opa()
    if binary is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    return binary


def written(directory: Path, name: str) -> Path:
    policy, tests = CASES[name]
    (directory / "a.rego").write_text(policy, "utf-8")
    (directory / "a_test.rego").write_text(HEAD + tests, "utf-8")
    return directory


def ours(directory: Path, planner: PlannerName, opa: str | None = None):
    coverage = Coverage()
    found = run_tests([directory], planner=planner, opa=opa, use_opa=False, coverage=coverage)
    assert [(each.name, each.message) for each in found if each.outcome != "pass"] == []
    return coverage.report()


def theirs(directory: Path, opa: str) -> dict[str, SimpleNamespace]:
    """OPA's report; what its index or an early exit skipped is reached by every plan."""
    command = [opa, "test", "--coverage", "--format=json", str(directory)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {}
    for name, file in json.loads(ran.stdout)["files"].items():
        missed = file.get("not_covered", [])
        reached = [*file.get("covered", []), *(part for part in missed if part.get("kinds"))]
        unreached = [part for part in missed if not part.get("kinds")]
        found[name] = SimpleNamespace(covered=rows(reached), not_covered=rows(unreached))
    return found


def as_opa_tells(file, source: str) -> frozenset[int]:
    """The rows that are not covered, without what OPA leaves out of its report.

    That is an expression within one that is covered, and a `some … in` that was not reached.
    """
    lines = source.splitlines()
    return frozenset(
        row
        for span in file.not_covered
        if not lines[span.row - 1][span.col - 1 :].startswith("some ")
        and not any(covers(outer, span) for outer in file.covered)
        for row in span.rows()
    )


def covers(outer, inner) -> bool:
    begin = (outer.row, outer.col) <= (inner.row, inner.col)
    end = (inner.end_row, inner.end_col) <= (outer.end_row, outer.end_col)
    return begin and end


def rows(parts) -> frozenset[int]:
    return frozenset(
        row for part in parts for row in range(part["start"]["row"], part["end"]["row"] + 1)
    )


@pytest.mark.opa
@pytest.mark.parametrize("planner", ["regopy", "opa"])
@pytest.mark.parametrize("name", CASES)
def test_the_rows_are_those_of_opas_report(tmp_path, opa, planner, name) -> None:
    directory = written(tmp_path, name)
    expected = theirs(directory, opa)
    found = ours(directory, planner, opa).files
    assert {Path(file).name for file in found} == {"a.rego", "a_test.rego"}
    for file, report in found.items():
        told = as_opa_tells(report, Path(file).read_text("utf-8"))
        assert report.covered_rows == expected[file].covered, file
        assert told == expected[file].not_covered, file


@pytest.mark.slow
@pytest.mark.opa
@pytest.mark.parametrize("planner", ["regopy", "opa"])
def test_the_rows_of_the_library_are_those_of_opas_report(opa, planner) -> None:
    expected = theirs(LIBRARY, opa)
    found = ours(LIBRARY, planner, opa).files
    assert len(found) > 20
    for file, report in found.items():
        assert report.covered_rows == expected[file].covered, file
        assert report.not_covered_rows == expected[file].not_covered, file


def test_an_expression_with_an_undefined_argument_is_reached(tmp_path) -> None:
    # A difference: OPA evaluates the argument first, as an expression of its own.
    (tmp_path / "a.rego").write_text(
        "package a\n\nimport rego.v1\n\np if {\n\tevery x in input.xs {\n\t\tx > 1\n\t}\n}\n"
    )
    (tmp_path / "a_test.rego").write_text(HEAD + "\ntest_it if not a.p\n")
    (name,) = [name for name in ours(tmp_path, "regopy").files if name.endswith("a.rego")]
    report = ours(tmp_path, "regopy").files[name]
    assert report.covered_rows == {6, 7, 8}
    assert report.not_covered_rows == {5, 7}


def test_rows_without_an_expression_count_for_nothing(tmp_path) -> None:
    report = ours(written(tmp_path, "functions"), "regopy")
    (file,) = [file for name, file in report.files.items() if name.endswith("a.rego")]
    counted = file.covered_rows | file.not_covered_rows
    for row, line in enumerate(FUNCTIONS.splitlines(), 1):
        silent = line.strip() in {"", "}"} or line.startswith(("package", "import", "#"))
        assert (row in counted) is not silent, line


def test_a_head_is_covered_only_where_its_body_held(tmp_path) -> None:
    report = ours(written(tmp_path, "functions"), "regopy")
    (file,) = [file for name, file in report.files.items() if name.endswith("a.rego")]
    starts = {(span.row, span.col) for span in file.not_covered}
    # The `else` that no number met, the first `g`, and the function that nobody calls.
    assert starts == {(8, 3), (12, 1), (21, 1)}


def test_what_several_runs_reach_is_joined(tmp_path) -> None:
    directory = written(tmp_path, "bodies")
    both, first = Coverage(), Coverage()
    for name in ("test_first", "test_rest"):
        run_tests([directory], run=name, use_opa=False, coverage=both)
    run_tests([directory], run="test_first", use_opa=False, coverage=first)
    assert both.report() == ours(directory, "regopy")
    assert first.report().percent < both.report().percent


def test_the_report_adds_up(tmp_path) -> None:
    report = ours(written(tmp_path, "loops"), "regopy")
    told = report.as_object()
    assert told["covered_lines"] == sum(f["covered_lines"] for f in told["files"].values())
    assert told["not_covered_lines"] == sum(f["not_covered_lines"] for f in told["files"].values())
    whole = told["covered_lines"] + told["not_covered_lines"]
    assert told["coverage"] == 100 * told["covered_lines"] / whole
    for file in told["files"].values():
        assert len(rows(file["covered"])) == file["covered_lines"]


def test_strings_and_comments_with_brackets_do_not_shift_the_rows(tmp_path) -> None:
    policy = (
        'package a\n\nimport rego.v1\n\np := ["(", `{`] if { # [\n\tcount("[") == 1 # (\n}\n\n'
        'q := concat(",", [ # ]\n\t"ä", "b"\n]) if input.never\n'
    )
    (tmp_path / "a.rego").write_text(policy, "utf-8")
    (tmp_path / "a_test.rego").write_text(HEAD + "\ntest_it if count(a.p) == 2\n")
    (file,) = [f for name, f in ours(tmp_path, "regopy").files.items() if name.endswith("a.rego")]
    assert (file.covered_rows, file.not_covered_rows) == ({5, 6}, {9, 10, 11})


@pytest.fixture(scope="module")
def program():
    modules = {"a.rego": FUNCTIONS + "\ntop := f(data.n)\n\nfails := data.n / 0 if data.n > 50\n"}
    parsed, _ = parse_modules(modules)
    return parsed, Program.from_modules(modules, ["a/top", "a/fails"])


@settings(max_examples=40)
@given(numbers=st.lists(st.integers(-5, 200), max_size=5))
def test_coverage_changes_no_result_and_only_grows(program, numbers) -> None:
    parsed, plain = program
    coverage = Coverage()
    coverage.add_modules(parsed.values())
    before = coverage.report()
    for number in numbers:
        bound = plain.with_data({"n": number})
        assert coverage.evaluate(bound, "a/top") == bound.evaluate("a/top")
        if number > 50:
            with pytest.raises(EvaluationError):
                coverage.evaluate(bound, "a/fails")
        after = coverage.report()
        (old,), (new,) = before.files.values(), after.files.values()
        assert set(old.covered) <= set(new.covered)
        assert set(new.covered) | set(new.not_covered) == set(old.covered) | set(old.not_covered)
        before = after
