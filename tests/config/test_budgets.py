"""`budgets` in guardrails.yaml: defaults, who stands on what, and wrong where it is written."""

from __future__ import annotations

from decimal import Decimal

import pytest

from guardrails.config import FILE_NAME, Config
from guardrails.model.account import Standing, Window
from guardrails.model.budget import Budget
from guardrails.register.source import SourceError


@pytest.fixture
def load(tmp_path):
    (tmp_path / "agents.yaml").write_text("bot: {owner: dana@acme.example}\n")

    def write(text, environment="prod"):
        (tmp_path / FILE_NAME).write_text(f"environment: {environment}\n{text}")
        return Config.load(tmp_path / FILE_NAME).budgets

    return write


@pytest.mark.parametrize(
    ("environment", "usd"), [("dev", 50), ("staging", 200), ("prod", 1_000), ("sandbox", 50)]
)
def test_an_environment_has_a_default_and_an_unknown_one_the_least(load, environment, usd):
    plan = load("", environment)
    (only,) = plan.terms_for(Standing("bot", environment))
    assert (only.account, only.window) == (f"env/{environment}", Window.DAY)
    assert only.limits.usd == usd
    assert (plan.time_zone, plan.thresholds, plan.lease, plan.on_crash) == (
        "UTC",
        (50, 80),
        100,
        "charge",
    )


def test_the_default_stays_where_a_month_is_said_and_goes_where_a_day_is(load):
    plan = load("budgets: {environments: {prod: {month: {usd: 9}, day: {calls: 5}}}}\n")
    day, month = plan.terms_for(Standing("bot", "prod"))
    assert day.limits == Budget(usd=1_000, calls=5)
    assert month.limits == Budget(usd=9)
    plan = load("budgets: {environments: {prod: {day: {usd: 7}}}}\n")
    assert [each.limits.usd for each in plan.terms_for(Standing("bot", "prod"))] == [Decimal(7)]


FULL = """
budgets:
  time_zone: Europe/Berlin
  thresholds: [90, 40]
  agents:
    bot:
      minute: {calls: 10}
      month: {usd: "12.50", tokens: 1000}
      on_exhausted: ask
      top_up: {usd: 5, approvers: [finance-ops], quorum: 2, expires_in: 2h}
  accounts:
    team-x: {match: {labels: [team-x], agents: [bot, clerk]}, day: {usd: 3}}
    acme: {match: {principals: [sam@acme.example]}, hour: {calls: 7}}
  lease: 1
  on_crash: release
"""


def test_everything_can_be_said(load):
    plan = load(FULL)
    assert plan.thresholds == (40, 90)
    assert (plan.lease, plan.on_crash) == (1, "release")
    found = plan.terms_for(Standing("bot", "prod", "sam@acme.example", frozenset({"team-x"})))
    assert [(each.account, each.window.value) for each in found] == [
        ("agent/bot", "minute"),
        ("agent/bot", "month"),
        ("account/team-x", "day"),
        ("account/acme", "hour"),
        ("env/prod", "day"),
    ]
    top_up = found[0].top_up
    assert (top_up.by, top_up.approvers, top_up.quorum, top_up.expires_in) == (
        Budget(usd=5),
        ("finance-ops",),
        2,
        7200,
    )
    assert found[4].top_up is None


@pytest.mark.parametrize(
    ("standing", "accounts"),
    [
        (Standing("bot", "prod"), ["agent/bot"]),
        (Standing("clerk", "prod", labels=frozenset({"team-x", "y"})), ["account/team-x"]),
        (Standing("other", "prod", labels=frozenset({"team-x"})), []),
        (Standing("other", "prod", "sam@acme.example"), ["account/acme"]),
    ],
)
def test_every_part_of_a_match_must_hold(load, standing, accounts):
    found = {each.account for each in load(FULL).terms_for(standing)} - {"env/prod"}
    assert found == set(accounts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budgets: {time_zone: Berlin}\n", ":2:22: budgets.time_zone: `Berlin` is no time zone"),
        ("budgets: {agents: {bot: {}}}\n", "budgets.agents.bot: an account names at least one win"),
        ("budgets: {agents: {bot: {day: {}}}}\n", "bot.day: a window names at least one limit"),
        ("budgets: {agents: {bot: {day: {seconds: 5}}}}\n", "day.seconds: unknown key"),
        ("budgets: {agents: {bot: {week: {usd: 5}}}}\n", "bot.week: unknown key"),
        ("budgets: {agents: {bot: {day: {usd: -5}}}}\n", "usd: a number that is not negative"),
        (
            "budgets: {agents: {bot: {day: {usd: 5}, on_exhausted: ask}}}\n",
            "`on_exhausted: ask` and `top_up` belong together",
        ),
        (
            "budgets: {agents: {bot: {day: {usd: 5}, on_exhausted: asks}}}\n",
            "`asks` is not known (did you mean `ask`?)",
        ),
        ("budgets: {accounts: {x: {day: {usd: 5}}}}\n", "accounts.x.match: is missing"),
        ("budgets: {accounts: {x: {match: {}, day: {usd: 5}}}}\n", "`match` names at least one"),
        ("budgets: {thresholds: [0]}\n", "thresholds[0]: should be greater"),
        ("budgets: {lease: 0}\n", "lease: should be greater"),
        ("budgets: {on_crash: forget}\n", "on_crash: `forget` is not known"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(load, text, said):
    with pytest.raises(SourceError) as caught:
        load(text)
    assert f"{FILE_NAME}:2:" in str(caught.value)
    assert said in str(caught.value)
