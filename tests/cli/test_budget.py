"""`guardrails budget`: what it shows beside a running ledger, and that what it sets is followed."""

from __future__ import annotations

import json
import time

import pytest
from typer.testing import CliRunner

from guardrails.audit.reading import read
from guardrails.cli import app
from guardrails.config import Config
from guardrails.errors import BudgetExceeded
from guardrails.model.account import Standing
from guardrails.model.budget import Budget, Usage
from guardrails.model.call import Step
from guardrails.runs.ledgers.sqlite import FILE_NAME, SqliteLedger

CONFIG = """\
environment: prod
record: record.jsonl
budgets:
  agents: {billing: {month: {usd: 10, calls: 100}}}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "150")
    (tmp_path / "guardrails.yaml").write_text(CONFIG)
    (tmp_path / "agents.yaml").write_text("billing: {owner: dana@acme.example}\n")
    return tmp_path


@pytest.fixture
def ledger(project):
    config = Config.find(project)
    made = SqliteLedger(config.state / FILE_NAME, lease=1)
    terms = config.budgets.terms_for(Standing("billing", "prod"))
    made.open_run("r-1", parent_id=None, budget=Budget(calls=50), terms=terms, named=True)
    yield made
    made.close()


def call(ledger, usd=1):
    hold = ledger.reserve("r-1", "t", Usage(usd * 1_000_000, 0, 1), None)
    ledger.settle(hold, Step("t", "write", "allow", "ok"))


def call_for(ledger, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        call(ledger, usd=0)


def budget(*words):
    return CliRunner().invoke(app, ["budget", *words])


def shown(*words):
    result = budget("show", *words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["accounts"]


def test_without_any_call_it_shows_what_is_configured(project):
    found = {(each["account"], each["window"]): each for each in shown()}
    assert set(found) == {("env/prod", "day"), ("agent/billing", "month")}
    assert found["env/prod", "day"]["limits"] == {"usd": 1000}
    assert found["agent/billing", "month"]["left"] == {"usd": 10, "calls": 100}


def test_it_shows_what_was_spent_and_taken(project, ledger):
    call(ledger)
    held = ledger.reserve("r-1", "t", Usage(2_000_000, 0, 1), None)
    (agent,) = shown("agent/billing")
    assert agent["spent"]["usd"] == 1
    assert agent["taken"]["usd"] == 2
    assert agent["left"]["usd"] == 7
    (run,) = shown("run/r")
    assert (run["account"], run["limits"], run["left"]) == ("run/r-1", {"calls": 50}, {"calls": 48})
    ledger.release(held)
    table = budget("show").stdout
    assert "agent/billing" in table
    assert "$10.00" in table


def test_what_is_set_is_followed_by_a_running_process_and_recorded_with_who_and_why(
    project, ledger
):
    for _ in range(10):
        call(ledger)
    with pytest.raises(BudgetExceeded):
        call(ledger)
    result = budget("set", "agent/billing", "--month", "usd=12.5", "--reason", "end of the quarter")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "agent/billing a month: usd $10.00 → $12.50\n"
    call(ledger)
    call(ledger)
    with pytest.raises(BudgetExceeded, match=r"\$0.50 left of \$12.50 a month"):
        call(ledger)
    (event,) = [each for each in read(project / "record.jsonl") if each["kind"] == "budget.set"]
    assert event["detail"]["reason"] == "end of the quarter"
    assert (event["detail"]["old"], event["detail"]["new"]) == (10, 12.5)
    (change,) = json.loads(budget("history", "--json").stdout)["changes"]
    assert change["by"] == event["detail"]["by"] != ""
    assert "end of the quarter" in budget("history", "agent/billing").stdout
    assert shown("agent/billing")[0]["set"] == ["usd"]


def test_a_lowered_limit_is_heard_of_in_a_moment_and_undone_by_default(project, ledger):
    call(ledger)
    assert (
        budget("set", "run/r-1", "--run", "calls=1", "--reason", "enough", "--json").exit_code == 0
    )
    with pytest.raises(BudgetExceeded, match="run/r-1 has"):
        call_for(ledger, seconds=30)
    assert budget("set", "run/r-1", "--run", "calls=default", "--reason", "back").exit_code == 0
    call(ledger, usd=0)
    assert budget("set", "env/prod", "--day", "usd=1", "--reason", "low").exit_code == 0
    with pytest.raises(BudgetExceeded, match="env/prod"):
        call(ledger)
    assert budget("set", "env/prod", "--day", "usd=default", "--reason", "back").exit_code == 0
    call(ledger)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "planet/earth"), "`planet/earth` is no target"),
        (("show", "agent/nobody"), "there is no account `agent/nobody`"),
        (
            ("set", "agent/billing", "--day", "usd=1", "--reason", "x"),
            "no budget of `agent/billing",
        ),
        (("set", "run/none", "--run", "calls=1", "--reason", "x"), "there is no open run `none`"),
        (("set", "agent/billing", "--month", "euro=1", "--reason", "x"), "`euro=1` is no limit"),
        (("set", "agent/billing", "--month", "usd=-1", "--reason", "x"), "never negative"),
        (("set", "agent/billing", "--month", "calls=1.5", "--reason", "x"), "a whole number"),
        (("set", "agent/billing", "--reason", "x"), "nothing to set"),
        (("set", "agent/billing", "--month", "usd=1", "--reason", " "), "--reason"),
        (("set", "all", "--month", "usd=1", "--reason", "x"), "a limit is one account's"),
        (("set", "billing", "--month", "usd=1", "--reason", "x"), "`billing` is no target"),
        (("history", "billing"), "`billing` is no target"),
    ],
)
def test_wrong_usage_exits_with_2_and_changes_nothing(project, words, said):
    result = budget(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert json.loads(budget("history", "--json").stdout) == {"changes": []}


def test_a_reason_must_be_given(project):
    assert budget("set", "agent/billing", "--month", "usd=1").exit_code == 2


def test_without_shared_state_there_is_nothing_to_show(project):
    (project / "guardrails.yaml").write_text("environment: prod\nstate: null\n")
    result = budget("show")
    assert result.exit_code == 2
    assert "`state` is null" in result.stderr
