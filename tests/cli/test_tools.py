"""`guardrails tools`: the inventory of a package, and what the register grants."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from guardrails.cli import app

REGISTER = """\
billing:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5}, prod: {usd: 1}}
  access: {payments: [write]}
  approval: {moves_money: {above: 1000, argument: amount}, refund: {required: false}}
research:
  owner: li.wei@acme.example
  access: {Desk.look: [execute], payments: [write]}
reader:
  owner: li.wei@acme.example
  budget: {dev: {calls: 5}}
  access: {payments: [read]}
"""

MONEY = """
import functools
from decimal import Decimal

import guardrails as gr
from json import dumps

print("imported")

@gr.governed_tool(resource="payments", operation="write", labels={"moves_money"}, hide=("session",))
@gr.requires_approval(when=lambda amount: amount > 9, approvers=("finance-ops", "board"), quorum=2)
@gr.requires_approval(approvers="owner", expires_in=90)
@gr.budget(cost="0.02", calls=20, usd=3)
def refund(order_id: str, amount: Decimal, session: object = None) -> str:
    return ""

@gr.budget(cost=lambda n: n)
async def _quiet(n: int) -> None: ...

def helper(): ...

def _private(): ...

class Desk:
    def open(self): ...

    @gr.governed_tool
    def look(self, what: str): ...

    @staticmethod
    def close(): ...

part = functools.partial(helper)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "guardrails.yaml").write_text("environment: dev\n")
    (tmp_path / "agents.yaml").write_text(REGISTER)
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").write_text("from shop.money import refund\n")
    (shop / "money.py").write_text(MONEY)
    (shop / "__main__.py").write_text("raise SystemExit('it was run')\n")
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in {"shop", "lone"}]:
        del sys.modules[name]


def run(*words):
    return CliRunner().invoke(app, ["tools", *words])


def found(*words):
    result = run(*words, "--json")
    return json.loads(result.stdout), result


def test_every_public_callable_is_listed_once_governed_or_not(project):
    document, result = found("shop")
    assert result.exit_code == 0
    assert document["modules"] == ["shop", "shop.money"]
    assert [each["callable"] for each in document["governed"]] == [
        "shop.refund",
        "shop.money._quiet",
        "shop.money.Desk.look",
    ]
    assert [each["callable"] for each in document["ungoverned"]] == [
        "shop.money.helper",
        "shop.money.Desk.open",
        "shop.money.Desk.close",
        "shop.money.part",
    ]


def test_what_the_decorators_say_is_shown_exactly(project):
    document, _ = found("shop.money")
    refund, quiet, look = document["governed"]
    assert refund["place"] == "shop/money.py:10"
    assert (refund["resource"], refund["operation"]) == ("payments", "write")
    assert (refund["labels"], refund["hidden"]) == (["moves_money"], ["session"])
    assert (refund["price_usd"], refund["limits"]) == (0.02, {"usd": 3, "calls": 20})
    said = [(a["when"], a["approvers"], a["quorum"], a["expires_in"]) for a in refund["approvals"]]
    assert said == [
        ("always", ["owner"], 1, 90),
        ("conditional", ["finance-ops", "board"], 2, 14400),
    ]
    assert (quiet["kind"], quiet["price_usd"]) == ("coroutine", "by its arguments")
    assert (look["name"], look["kind"], look["price_usd"]) == ("Desk.look", "method", 0)


def test_each_agent_stands_as_the_register_says(project):
    document, _ = found("shop.money")
    agents = {each["agent"]: each for each in document["governed"][0]["agents"]}
    assert agents["billing"]["granted"]
    assert agents["billing"]["environments"] == ["dev", "prod"]
    assert agents["billing"]["approval"] == [
        "refund: asks nobody",
        "moves_money: asks where amount is above 1000",
    ]
    assert agents["research"]["granted"]
    assert agents["research"]["environments"] == []
    assert not agents["reader"]["granted"]


def test_the_list_for_people_says_the_same(project):
    lines = run("shop.money").stdout.splitlines()
    assert lines[:8] == [
        "refund  shop/money.py:10",
        "  write on payments; moves_money; hides session",
        "  $0.02 a call; at most 3 usd, 20 calls in a run",
        "  asks owner; expires in 90s",
        "  asks 2 of finance-ops, board, where its condition holds; expires in 4h",
        "  billing   granted in dev, prod",
        "            refund: asks nobody",
        "            moves_money: asks where amount is above 1000",
    ]
    assert "  reader    not granted" in lines
    assert "  research  granted, but it has no budget anywhere" in lines
    assert "not governed: no policy decides about calls of these" in lines
    assert lines[-1] == "3 governed, 4 not, in 1 module"
    assert max(map(len, lines)) <= 80


def test_one_agent_can_be_asked_about(project):
    document, _ = found("shop.money", "--agent", "reader")
    assert [each["agent"] for each in document["governed"][0]["agents"]] == ["reader"]
    wrong = run("shop.money", "--agent", "bililng")
    assert wrong.exit_code == 2
    assert "did you mean `billing`" in wrong.stderr


def test_what_is_governed_in_place_counts_as_governed(project):
    (project / "lone.py").write_text(
        "import guardrails as gr\nimport shop.money\ngr.govern('shop.money', 'Desk.open')\n"
    )
    run("lone")
    document, _ = found("shop")
    assert "shop.money.Desk.open" in [each["callable"] for each in document["governed"]]


def test_without_a_configuration_the_inventory_is_there_all_the_same(project):
    (project / "guardrails.yaml").unlink()
    document, result = found("shop")
    assert result.exit_code == 0
    assert document["governed"][0]["agents"] == []
    assert "nothing is said about agents" in result.stderr
    assert run("shop", "--agent", "billing").exit_code == 2


def test_what_a_module_prints_stays_out_of_the_list(project):
    result = run("shop", "--json")
    assert json.loads(result.stdout)
    assert "imported" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import absent_module", "No module named 'absent_module' at "),
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit('out')", "SystemExit: out at "),
        ("1 / 0", "ZeroDivisionError: division by zero at "),
    ],
)
def test_a_module_that_cannot_be_imported_is_an_error_with_its_place(project, text, said):
    (project / "lone.py").write_text(f"\n{text}\n")
    result = run("lone")
    assert result.exit_code == 2
    assert "error: `lone` cannot be imported: " in result.stderr
    assert said in result.stderr
    assert "lone.py" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["absent", "shop.absent", "shop.money.absent", "..", "shop..x"])
def test_a_module_that_is_not_there_is_a_usage_error(project, name):
    result = run(name)
    assert result.exit_code == 2
    assert name in result.stderr


def test_a_submodule_that_does_not_import_is_left_out_aloud(project):
    (project / "shop" / "broken.py").write_text("raise OSError('no disk')\n")
    document, result = found("shop")
    assert result.exit_code == 1
    assert [each["module"] for each in document["failures"]] == ["shop.broken"]
    assert "no disk" in run("shop").stderr


def test_objects_that_answer_to_every_name_are_asked_for_nothing(project):
    (project / "lone.py").write_text(
        "from unittest.mock import call\n"
        "class Proxy:\n"
        "    @property\n    def __class__(self): raise RuntimeError('outside of a request')\n"
        "    def __getattr__(self, name): raise RuntimeError('outside of a request')\n"
        "    def __call__(self): ...\n"
        "proxy = Proxy()\n"
        "class Around:\n"
        "    def __init__(self, fn): self.__wrapped__ = fn\n"
        "    def __call__(self): return self.__wrapped__()\n"
        "import guardrails as gr\n"
        "@Around\n@gr.governed_tool\ndef look(): ...\n"
    )
    document, result = found("lone")
    assert result.exit_code == 0
    assert [each["callable"] for each in document["governed"]] == ["lone.look"]
    assert [each["callable"] for each in document["ungoverned"]] == ["lone.call", "lone.proxy"]


def test_two_tools_of_one_name_are_a_finding(project):
    (project / "lone.py").write_text(
        "import guardrails as gr\n"
        "@gr.governed_tool(name='x')\ndef one(): ...\n"
        "@gr.governed_tool(name='x')\ndef two(): ...\n"
    )
    result = run("lone")
    assert result.exit_code == 1
    assert "two tools are called `x`: lone.one, lone.two" in result.stderr
