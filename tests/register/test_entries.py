"""What an entry may say, and what an error says where it says something else."""

from __future__ import annotations

from decimal import Decimal

import pytest

from guardrails.register import Register, SourceError
from guardrails.register.yaml_source import parse_yaml

FULL = """\
billing-agent:
  version: 1.10
  owner: dana.ruiz@acme.example
  deputy: li.wei@acme.example
  purpose: Settles differences between invoices and orders.
  on_call: {notify: "#billing", runbook: docs/runbooks/loop.md, dashboard: https://d.example/1}
  signed_off: {by: kim@acme.example, on: 2026-01-31}
  review_by: 2027-01-31
  budget:
    dev: {usd: 5, calls: 50, seconds: 10m}
    prod: {usd: "0.50", tokens: 1000}
  access:
    payments: [write, read]
    "mcp:mail/out": [execute]
  contacts: [pat@customer.example, "@Acme.example", DE89370400440532013000]
  success: ["93 % as humans would"]
  approval:
    refund: {above: 1000.5, argument: amount, approvers: [finance-ops], quorum: 2, expires_in: 4h}
    moves_money: {}
    deletes_data: {required: false}
  delegates: [research, {to: summary, narrow: true}]
  labels: [pii, finance]
research: {owner: li.wei@acme.example}
summary: {owner: li.wei@acme.example}
"""


def load(text: str) -> Register:
    return Register.from_source(parse_yaml(text, "agents.yaml"))


def refusal(body: str) -> str:
    with pytest.raises(SourceError) as caught:
        load(f"bot:\n  owner: dana@acme.example\n  {body}\nother: {{owner: kim@acme.example}}\n")
    return str(caught.value)


def test_enforcement_sees_what_the_entry_says():
    agent = load(FULL).agent("billing-agent")
    assert agent.id == "billing-agent"
    assert agent.version == "1.10"
    assert agent.owner == "dana.ruiz@acme.example"
    assert agent.labels == ("finance", "pii")
    assert agent.delegates == {"research": False, "summary": True}
    assert agent.budgets["dev"].usd == 5
    assert agent.budgets["dev"].seconds == 600
    assert agent.budgets["prod"].usd == Decimal("0.50")
    assert agent.budgets["prod"].calls is None
    assert "staging" not in agent.budgets


def test_policies_see_what_the_layout_says():
    data = load(FULL).policy_data()
    assert data["billing-agent"] == {
        "version": "1.10",
        "owner": "dana.ruiz@acme.example",
        "deputy": "li.wei@acme.example",
        "environments": ["dev", "prod"],
        "access": [
            {"resource": "payments", "operations": ["write", "read"]},
            {"resource": "mcp:mail/out", "operations": ["execute"]},
        ],
        "contacts": ["pat@customer.example", "@Acme.example", "DE89370400440532013000"],
        "delegates": [{"to": "research", "narrow": False}, {"to": "summary", "narrow": True}],
        "signed_off": {"by": "kim@acme.example", "on": "2026-01-31"},
        "review_by": "2027-01-31",
        "approval": {
            "refund": {
                "above": Decimal("1000.5"),
                "argument": "amount",
                "approvers": ["finance-ops"],
                "quorum": 2,
                "expires_in": 14_400,
            },
            "moves_money": {},
            "deletes_data": {"required": False},
        },
    }


def test_what_is_not_given_is_absent_for_policies_and_grants_nothing():
    assert load("bot: {owner: dana@acme.example}").policy_data() == {
        "bot": {
            "version": "1",
            "owner": "dana@acme.example",
            "environments": [],
            "access": [],
            "contacts": [],
            "delegates": [],
            "approval": {},
        }
    }


def test_the_matrix_and_who_can_agree():
    register = load(FULL)
    matrix = register.matrix()
    assert matrix["billing-agent"]["payments"] == ("read", "write")
    assert matrix["research"] == {}
    assert register.who_can("write", "payments") == ("billing-agent",)
    assert register.who_can("delete", "payments") == ()
    assert register.who_can("read", "absent") == ()


@pytest.mark.parametrize(
    "owner",
    [
        *("team", "billing-team", "ops", "finance-ops", "all", "no-reply", "noreply", "No.Reply"),
        *("support", "team.billing", "ops+agents", "security", "info", "Everyone", "it_helpdesk"),
    ],
)
def test_a_group_owns_no_agent(owner):
    with pytest.raises(SourceError, match=r"agents.yaml:1:14: bot.owner: a person's own address"):
        load(f"bot: {{owner: {owner}@acme.example}}")


@pytest.mark.parametrize(
    "owner", ["dana.ruiz", "joe.root", "franz.list", "dana+agents", "o'neill", "allison", "opsahl"]
)
def test_a_person_owns_an_agent(owner):
    address = f"{owner}@acme.example"
    assert load(f'bot: {{owner: "{address}"}}').agent("bot").owner == address


@pytest.mark.parametrize(
    "owner",
    [
        *(
            "dana",
            "@acme.example",
            "dana@",
            "dana@acme",
            "a@b.example,c@d.example",
            "a b@c.example",
        ),
        *(
            "Dana <dana@acme.example>",
            "dana@acme..example",
            "dana@-acme.example",
            "d\u0430na@a.example",
        ),
    ],
)
def test_an_owner_is_one_plain_address(owner):
    with pytest.raises(SourceError, match=r"bot\.owner: an e-mail address is needed"):
        load(f'bot: {{owner: "{owner}"}}')


def test_an_owner_must_be_given():
    with pytest.raises(SourceError, match=r"^agents.yaml:1:6: bot.owner: is missing$"):
        load('bot: {version: "1"}')


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("ownr: x", "3:3: bot.ownr: unknown key (did you mean `owner`?); there are `owner`, "),
        ("deputy: DANA@acme.example", "2:3: bot: the deputy is another person"),
        ("version: 1@2", "3:12: bot.version: a version such as"),
        ("version: true", "3:12: bot.version: a text is needed, not `true`"),
        ("review_by: 2026-02-30", "3:14: bot.review_by: a date such as"),
        ("review_by: soon", "3:14: bot.review_by: a date such as"),
        ("signed_off: {by: kim@acme.example}", "3:15: bot.signed_off.on: is missing"),
        ("budget: {Prod: {usd: 5}}", "3:12: bot.budget.Prod: an environment's name"),
        ("budget: {dev: {}}", "3:17: bot.budget.dev: a budget names at least one limit"),
        ("budget: {dev: {usd: null}}", "3:17: bot.budget.dev: a budget names at least one limit"),
        ("budget: {dev: {usd: -1}}", "3:23: bot.budget.dev.usd: a number that is not negative"),
        ("budget: {dev: {usd: 0.0000001}}", "bot.budget.dev.usd: `0.0000001` dollars have a frac"),
        ("budget: {dev: {calls: 1.5}}", "bot.budget.dev.calls: a whole number"),
        ("budget: {dev: {seconds: 10 min}}", "bot.budget.dev.seconds: a time is needed"),
        ("budget: {dev: {dollars: 5}}", "bot.budget.dev.dollars: unknown key"),
        ("budget: [dev]", "3:11: bot.budget: a mapping is needed, not a list"),
        ("access: {payments: read}", "3:22: bot.access.payments: a list is needed"),
        ("access: {payments: []}", "3:22: bot.access.payments: at least one is needed"),
        ("access: {payments: [read, read]}", "bot.access.payments: `read` is given twice"),
        ("access: {payments: ['*']}", "3:23: bot.access.payments[0]: a name of letters"),
        ("access: {'*': [read]}", "3:12: bot.access.*: a name of letters"),
        ("contacts: ['*@acme.example']", "3:14: bot.contacts[0]: an address, `@domain`"),
        ("contacts: ['a@b.example,c@d.example']", "3:14: bot.contacts[0]: an address"),
        ("contacts: ['@']", "3:14: bot.contacts[0]: an address"),
        ("approval: {refund: {above: 5}}", "bot.approval.refund: `above` and `argument` belong"),
        ("approval: {refund: {above: x, argument: a}}", "bot.approval.refund.above: a number"),
        ("approval: {refund: {approvers: []}}", "bot.approval.refund.approvers: at least one"),
        ("approval: {refund: {quorum: 0}}", "bot.approval.refund.quorum: should be greater"),
        ("approval: {refund: {quorum: true}}", "bot.approval.refund.quorum: should be a valid"),
        (
            "approval: {refund: {required: false, quorum: 2}}",
            "bot.approval.refund: `required: false` says that nobody is asked",
        ),
        (
            "delegates: [othr]",
            "there is no agent `othr` (did you mean `other`?); there are `other`",
        ),
        ("delegates: [bot]", "3:15: bot.delegates[0]: an agent is no delegate of itself"),
        ("delegates: [other, {to: other}]", "2:3: bot: the delegate `other` is given twice"),
        ("purpose: ''", "3:12: bot.purpose: a text of 1 to 500"),
        ('purpose: "a\\nb"', "3:12: bot.purpose: a text on one line"),
        ('purpose: "\\e[2J"', "3:12: bot.purpose: a text on one line"),
        ("labels: pii", "3:11: bot.labels: a list is needed"),
    ],
)
def test_an_error_names_the_place_the_key_and_the_mend(body, said):
    assert said in refusal(body)


def test_every_problem_is_named_in_the_order_of_the_file():
    text = "bot:\n  owner: ops@acme.example\n  version: [1]\nBot: {owner: x}\n"
    with pytest.raises(SourceError) as caught:
        load(text)
    assert [problem.line for problem in caught.value.problems] == [2, 3, 4, 4]
    assert str(caught.value).count("\n") == 3


@pytest.mark.parametrize("text", ["", "{}", "[]", "bot", "bot: dana@acme.example"])
def test_what_is_no_register_is_refused(text):
    with pytest.raises(SourceError):
        load(text)


def test_an_unknown_agent_is_named_with_those_that_exist():
    with pytest.raises(Exception, match=r"no agent `reserch`.*did you mean `research`.*`summary`"):
        load(FULL).agent("reserch")


def test_an_entry_cannot_be_changed():
    entry = load(FULL).entries["billing-agent"]
    with pytest.raises(Exception, match="frozen"):
        entry.owner = "eve@evil.example"  # type: ignore[misc]  # what the law is about
    with pytest.raises(TypeError):
        entry.access["payments"] = ("delete",)
    with pytest.raises(TypeError):
        load(FULL).agent("billing-agent").delegates["x"] = True  # as above
