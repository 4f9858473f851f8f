"""`guardrails policy eval`: what is told of an evaluation, in the author's words and bounded."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from guardrails.cli import app

RULES = """\
package orders

import rego.v1

deny contains "too many" if {
	input.pieces > 10
}

deny contains "unknown" if {
	some entry in data.kinds
	entry.name == input.kind
	entry.blocked
}

twice := 1 if input.pieces

twice := 2 if input.pieces

near(amount, limit) if {
	amount * 2 < limit
}

checked if near(input.pieces, 10)

noted if {
	trace("on the way")
	print("pieces:", input.pieces)
}
"""

TESTS = """\
package guardrails_test.orders

import rego.v1

import data.orders

test_large if {
	count(orders.deny) == 2 with input as {"pieces": 11}
}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPA", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "orders.rego").write_text(RULES)
    (tmp_path / "p" / "orders_test.rego").write_text(TESTS)
    kinds = [{"name": f"k{number}", "blocked": False} for number in range(30)]
    (tmp_path / "p" / "data.json").write_text(json.dumps({"kinds": kinds}))
    return tmp_path


def evaluate(entrypoint, *words, document=None):
    text = json.dumps(document if document is not None else {"pieces": 11, "kind": "k3"})
    command = ["policy", "eval", "-d", "p", "-i", "-", *words, entrypoint]
    return CliRunner().invoke(app, command, input=text)


def test_each_body_that_did_not_hold_is_told_with_its_first_condition_and_its_line(folder):
    result = evaluate("orders/deny", "--explain=fails")
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    # The body that held is silent; the other one ended at one row for k3, at another for the rest.
    assert lines[0] == 'p/orders.rego:5  data.orders.deny  = ["too many"]'
    assert not any("orders.rego:6" in line for line in lines)
    (name,) = [n for n, line in enumerate(lines) if line.startswith("p/orders.rego:11  fails: ")]
    assert lines[name].endswith(", and 28 more like it")
    assert 'input.kind is "k3"' in lines[name]
    assert lines[name + 1] == "| entry.name == input.kind"
    assert "| entry.blocked" in lines


def test_notes_are_the_rules_that_gave_something_and_what_the_policy_says(folder):
    result = evaluate("orders/noted", "--explain=notes")
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines == [
        "p/orders.rego:25  data.orders.noted  = true",
        "p/orders.rego:26  note: on the way",
        "p/orders.rego:27  note: pieces: 11",
        "true",
    ]
    result = evaluate("orders/checked", "--explain=notes")
    assert result.stdout == "undefined\n"


def test_parameters_have_the_names_that_their_author_gave(folder):
    result = evaluate("orders/checked", "--explain=fails")
    assert "fails: amount * 2 < limit  (amount is 11, limit is 10)" in result.stdout


def test_what_a_planner_lifts_is_told_as_it_was_written(folder):
    for mode in ("fails", "full", "notes"):
        result = evaluate("guardrails_test/orders/test_large", f"--explain={mode}")
        assert "gw_" not in result.stdout
    result = evaluate("guardrails_test/orders/test_large", "--explain=fails")
    assert 'count(orders.deny) == 2 with input as {"pieces": 11}' in result.stdout
    assert 'count(data.orders.deny) == 2  (data.orders.deny is ["too many"])' in result.stdout


def test_a_runtime_error_shows_its_row_and_its_line(folder):
    result = evaluate("orders/twice")
    assert result.exit_code == 1
    place = "error: p/orders.rego:17: eval_conflict_error"
    assert place in result.stderr
    assert "17 | twice := 2 if input.pieces" in result.stderr
    told = json.loads(evaluate("orders/twice", "--format=json").stdout)["error"]
    assert (told["row"], told["line"]) == (17, "twice := 2 if input.pieces")


def test_a_builtin_that_fails_is_undefined_where_that_is_asked_for(folder):
    document = {"pieces": "x"}
    strict = evaluate("orders/checked", document=document)
    assert (strict.exit_code, strict.stdout) == (1, "")
    assert "p/orders.rego:20: eval_type_error" in strict.stderr
    lenient = evaluate("orders/checked", "--no-strict-builtin-errors", document=document)
    assert (lenient.exit_code, lenient.stdout) == (0, "undefined\n")


@pytest.mark.parametrize("mode", ["notes", "fails", "full"])
def test_what_is_told_is_bounded(folder, mode):
    document = {"pieces": 11, "kind": "k" * 100_000}
    result = evaluate("orders/deny", f"--explain={mode}", document=document)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) < 600


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--fail",), 1)])
def test_what_is_undefined_fails_where_it_is_to(folder, words, code):
    assert evaluate("orders/checked", *words).exit_code == code
    assert evaluate("orders/deny", *words).exit_code == 0


def test_an_unknown_mode_is_a_usage_error(folder):
    assert evaluate("orders/deny", "--explain=all").exit_code == 2
