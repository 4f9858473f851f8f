"""A table says in which line it is wrong; what is right is played as the call would be decided."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest
from tests.testing import project as files

from guardrails.errors import ConfigError
from guardrails.register.source import SourceError
from guardrails.testing.project import Project
from guardrails.testing.tables import read_table

HEAD = """
import: shop_tools
agent: billing
at: 2026-03-01T12:00:00Z
tool: refund
args: {order_id: A-17, amount: 20}
"""


@pytest.fixture
def written(tmp_path, shop):
    def write(text):
        path = tmp_path / "a.decisions.yaml"
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Project.load(files.make(tmp_path_factory.mktemp("made")) / "guardrails.yaml")


RIGHT = [
    ("{expect: allow, because: access}", "allow"),
    ("{expect: deny, args: {amount: 9000}, because: [refunds]}", "deny"),
    ("{expect: require_approval, args: {amount: 2000}, approvers: finance-ops, quorum: 2}", ""),
    ("{expect: deny, agent: reader, because: guardrails}", ""),
    ("{expect: deny, agent: reader, environment: prod}", ""),
    ("{expect: allow, environment: prod}", ""),
    ("{expect: budget_exceeded, environment: prod, spent: {usd: 0.04}}", ""),
    ("{expect: budget_exceeded, budget: {calls: 2}, after: [{tool: refund, times: 2}]}", ""),
    ("{expect: deny, after: [{tool: refund, times: 3}]}", ""),
    ("{expect: allow, after: [{tool: refund, times: 2}, {tool: Desk.look}]}", ""),
    ("{expect: allow, after: [{tool: note, args: {text: abc}}]}", ""),
    ("{expect: budget_exceeded, budget: {seconds: 60}, elapsed: 2m}", ""),
    ("{expect: budget_exceeded, budget: {tokens: 9}, spent: {tokens: 10}}", ""),
    ("{expect: invalid_arguments, args: {amount: '20'}}", ""),
    ("{expect: invalid_arguments, tool: refund, args: {amount: 20}}", ""),
    ("{expect: shadow, at: '2026-03-01T01:00:00Z', tool: note, args: {text: a}}", ""),
    ("{expect: deny, principal: guest@acme.example, tool: note, args: {text: a}}", ""),
    ("{expect: require_approval, labels: urgent, tool: note, args: {text: a}}", ""),
    ("{expect: allow, tool: note, args: {text: a, day: 2026-02-03}}", ""),
    ("{expect: invalid_arguments, tool: note, args: {text: a, day: 2026-02-30}}", ""),
    ("{expect: allow, tool: note, args: {text: a long note}, runs_with: {text: a long n}}", ""),
    ("{expect: allow, tool: Desk.look, args: {key: a}}", ""),
    ("{expect: require_approval, tool: secret, because: decorator}", ""),
    ("{expect: allow, agent: helper, parents: billing, tool: note, args: {text: a}}", ""),
    ("{expect: deny, agent: billing, parents: [helper]}", ""),
    ("{expect: allow, mode: shadow}", ""),  # what policy decides, whatever the mode does with it
]


@pytest.mark.parametrize("case", [case for case, _ in RIGHT])
def test_each_circumstance_is_the_calls_own(written, made, shop, case):
    (played,) = read_table(written(f"{HEAD}cases:\n  - {case}")).cases
    assert played.objection(made) is None
    assert shop.RAN == []


@pytest.mark.parametrize("case", [case for case, _ in RIGHT])
def test_no_case_holds_whatever_is_decided(written, made, case):
    """The same case that expects something else fails: no part of it is for show."""
    expected = re.search(r"expect: (\w+)", case)[1]
    other = "deny" if expected == "allow" else "allow"
    bare = re.sub(r", (because|approvers|quorum|runs_with): (\{[^}]*\}|\[[^]]*\]|[^,}]+)", "", case)
    text = bare.replace(f"expect: {expected}", f"expect: {other}")
    (played,) = read_table(written(f"{HEAD}cases:\n  - {text}")).cases
    assert f"expected `{other}`, and it is `{expected}`" in played.objection(made)


def test_a_tool_that_is_only_described_is_decided_by_its_facts(written, made):
    table = read_table(
        written(
            """
            agent: billing
            tools:
              refund: {resource: payments, operation: write, labels: [moves_money]}
              crm.read: {resource: notes, operation: read}
            cases:
              - {tool: refund, args: {amount: 20}, expect: allow}
              - {tool: refund, args: {}, expect: deny, because: refunds}
              - {tool: refund, args: {amount: 2000}, expect: require_approval}
              - {tool: crm.read, args: {any: [1, {thing: null}]}, expect: allow}
            """
        )
    )
    assert [case.objection(made) for case in table.cases] == [None] * 4


def test_names_are_those_written_else_tool_and_line(written):
    table = read_table(
        written(f"{HEAD}cases:\n  - {{name: one, expect: deny}}\n  - {{expect: allow}}")
    )
    assert [case.name for case in table.cases] == ["one", "refund:8"]
    assert [case.line for case in table.cases] == [7, 8]


WRONG = {
    "no cases": ("agent: billing", r"a\.decisions\.yaml:1:1: cases: is missing"),
    "an empty list of cases": ("cases: []", r":1:8: cases: at least one is needed"),
    "no mapping": ("- {expect: allow}", r":1:1: a mapping with the keys"),
    "nothing": ("", "a mapping with the keys"),
    "an unknown key": (
        f"{HEAD}cases:\n  - {{expct: allow}}",
        r":7:6: cases\[0\]\.expct: unknown key \(did you mean `expect`\?\); there are `tool`",
    ),
    "an unknown key of the table": (
        f"agnt: x\n{HEAD}cases: [{{expect: allow}}]",
        r":1:1: agnt: unknown key \(did you mean `agent`\?\)",
    ),
    "an unknown decision": (
        f"{HEAD}cases:\n  - {{expect: alow}}",
        r":7:14: cases\[0\]\.expect: `alow` is no decision \(did you mean `allow`\?\)",
    ),
    "no expectation": (f"{HEAD}cases:\n  - {{name: a}}", r":7:5: cases\[0\]\.expect: is missing"),
    "no tool": (
        "agent: billing\nimport: shop_tools\ncases:\n  - {expect: allow}",
        r":4:5: cases\[0\]: names no `tool`",
    ),
    "no agent": (
        "tool: refund\nimport: shop_tools\ncases:\n  - {expect: allow}",
        r":4:5: cases\[0\]: names no `agent`",
    ),
    "an unknown tool": (
        f"{HEAD}cases:\n  - {{expect: allow, tool: refnd}}",
        r":7:27: cases\[0\]\.tool: there is no tool `refnd` \(did you mean `refund`\?\)",
    ),
    "an unknown tool of the table": (
        "agent: billing\ntool: refnd\nimport: shop_tools\ncases:\n  - {expect: allow}",
        r":2:7: tool: there is no tool `refnd`",
    ),
    "no tools at all": (
        "agent: billing\ntool: refund\ncases:\n  - {expect: allow}",
        "there is none: `import` names modules",
    ),
    "an unknown tool before": (
        f"{HEAD}cases:\n  - {{expect: allow, after: [{{tool: refnd}}]}}",
        r":7:36: cases\[0\]\.after\[0\]\.tool: there is no tool `refnd`",
    ),
    "a module that is not there": (
        "import: shop_tolls\ncases: [{expect: allow}]",
        r":1:9: import\[0\]: there is no module `shop_tolls` here; .*pythonpath",
    ),
    "a module that fails": ("import: broken\ncases: [{expect: allow}]", "ZeroDivisionError"),
    "a module that misses another": (
        "import: lacking\ncases: [{expect: allow}]",
        "`lacking` cannot be imported: ModuleNotFoundError: No module named 'not_there_at_all'",
    ),
    "a module without tools": (
        "import: json\ncases: [{expect: allow}]",
        "`json` has no governed functions",
    ),
    "a module with two tools of one name": (
        "import: twins\ncases: [{expect: allow}]",
        "`twins` has two tools called `same`",
    ),
    "two modules with tools of one name": (
        "import: [shop_tools, other]\ncases: [{expect: allow}]",
        r":1:22: import\[1\]: two tools are called `refund`",
    ),
    "a name given twice": (
        f"{HEAD}cases:\n  - {{name: a, expect: allow}}\n  - {{name: a, expect: deny}}",
        r":8:12: cases\[1\]\.name: `a` is the name of the case in line 7, too",
    ),
    "a name that pytest would split": (
        f"{HEAD}cases:\n  - {{name: 'a::b', expect: allow}}",
        "a name without `::`",
    ),
    "approvers of a denial": (
        f"{HEAD}cases:\n  - {{expect: deny, approvers: x}}",
        r":7:20: cases\[0\]\.approvers: belongs to `expect: require_approval`",
    ),
    "a quorum of a permission": (f"{HEAD}cases:\n  - {{expect: allow, quorum: 2}}", "belongs to"),
    "a rule behind a refusal": (
        f"{HEAD}cases:\n  - {{expect: budget_exceeded, because: x}}",
        "belongs to decisions, and this expects `budget_exceeded`",
    ),
    "rewritten arguments of a denial": (
        f"{HEAD}cases:\n  - {{expect: deny, runs_with: {{a: 1}}}}",
        "belongs to calls that are not denied",
    ),
    "a quorum of none": (f"{HEAD}cases:\n  - {{expect: require_approval, quorum: 0}}", "quorum"),
    "no moment": (
        f"{HEAD}cases:\n  - {{expect: allow, at: tomorrow}}",
        r":7:25: cases\[0\]\.at: a moment with its time zone is needed",
    ),
    "a configuration that is not there": (
        "config: nowhere.yaml\ncases: [{expect: allow}]",
        r":1:9: config: `.*nowhere.yaml` is no file",
    ),
    "an argument that no tool can have": (
        (
            "agent: billing\ntools: {a: {resource: b}}\n"
            "cases: [{tool: a, args: {x-y: 1}, expect: deny}]"
        ),
        r":3:16: cases\[0\]\.tool: `x-y` cannot be the name of an argument",
    ),
    "a label that is nearly a known one": (
        (
            "tool: a\nagent: b\ntools: {a: {resource: b, labels: [moves_mony]}}\n"
            "cases: [{expect: deny}]"
        ),
        "`moves_mony` is not `moves_money`",
    ),
    "calls before that are none": (
        f"{HEAD}cases:\n  - {{expect: allow, after: [{{tool: refund, times: 0}}]}}",
        r"after\[0\]\.times",
    ),
    "an anchor": (f"{HEAD}cases:\n  - &a {{expect: allow}}", ":7:"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_its_place(written, tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(str(tmp_path))
    tool = "import guardrails as gr\n\n@gr.governed_tool(name='{}')\ndef {}(): ...\n"
    for module, text in {
        "broken": "1 / 0",
        "lacking": "import not_there_at_all",
        "other": tool.format("refund", "refund"),
        "twins": tool.format("same", "one") + tool.format("same", "two"),
    }.items():
        (tmp_path / f"{module}.py").write_text(text, "utf-8")
    text, message = WRONG[name]
    with pytest.raises(SourceError) as wrong:
        read_table(written(text))
    assert re.search(message, str(wrong.value), re.DOTALL), str(wrong.value)
    assert all(
        re.search(r"a\.decisions\.yaml:\d+:\d+: ", each) for each in str(wrong.value).splitlines()
    )


def test_every_problem_is_told_at_once(written):
    with pytest.raises(SourceError) as wrong:
        read_table(
            written(f"{HEAD}cases:\n  - {{expect: allow, tool: a}}\n  - {{expect: allow, tool: b}}")
        )
    assert [problem.line for problem in wrong.value.problems] == [7, 8]


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_table(tmp_path / "no.decisions.yaml")


def test_an_agent_or_environment_that_is_none_is_an_error_when_it_is_played(written, made):
    table = read_table(
        written(
            f"{HEAD}cases:\n  - {{expect: deny, agent: biling}}\n"
            "  - {expect: deny, parents: biling}"
        )
    )
    for case in table.cases:
        with pytest.raises(ConfigError, match="did you mean `billing`"):
            case.objection(made)
