"""The plugin in pytest's own processes: what is collected, told, refused and written."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import entry_points
from textwrap import dedent

import pytest
from tests.testing import project

from guardrails import pytest_plugin
from guardrails.resources import examples_directory

HEAD = """
import: shop_tools
agent: billing
at: 2026-03-01T12:00:00Z
tool: refund
args: {order_id: A-17, amount: 20}
"""

CASES = f"""{HEAD}
cases:
  - {{name: a small refund, expect: allow, because: access}}
  - {{name: a large one, args: {{amount: 2000}}, expect: require_approval}}
  - {{name: this is wrong, args: {{amount: 9000}}, expect: allow}}
  - {{expect: allow}}
"""

INI = """
[pytest]
pythonpath = {folder}
guardrails_config = {folder}/guardrails.yaml
asyncio_default_fixture_loop_scope = function
"""

# Each starts pytest in a process of its own, some several times.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def at(pytester, folder, monkeypatch):
    """Runs pytest in a folder whose tests are about the project."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)

    class At:
        path = pytester.path

        def write(self, name, text):
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
            return file

        def has_its_own_project(self):
            project.make(self.path)
            self.write("pytest.ini", "[pytest]\npythonpath = .\n")

        def run(self, *args, **outcomes):
            ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", *args, timeout=300)
            if outcomes:
                ran.assert_outcomes(**outcomes)
            return ran

    at = At()
    at.write("pytest.ini", INI.format(folder=folder))
    return at


def test_it_is_found_where_guardrails_is_installed():
    (found,) = [each for each in entry_points(group="pytest11") if each.name == "guardrails"]
    assert found.value == "guardrails.pytest_plugin"


def test_each_case_is_an_item_and_a_wrong_one_is_told_at_its_line(at):
    at.has_its_own_project()
    at.write("tests/refunds.decisions.yaml", CASES)
    ran = at.run("-v", passed=3, failed=1)
    ran.stdout.fnmatch_lines(
        [
            "tests/refunds.decisions.yaml::a small refund PASSED*",
            "tests/refunds.decisions.yaml::refund:11 PASSED*",
            "*decision: this is wrong*",
            "tests/refunds.decisions.yaml:10: refund: expected `allow`, and it is `deny`",
            '  args       {"amount":9000,"order_id":"A-17"}',
            "  by         billing in dev",
            "  says       [[]refunds] a refund is more than 0 and at most 5000",
            "  rule       policies/rules/refunds.rego:5  [[]refunds] deny: *",
        ],
        consecutive=False,
    )
    assert "Traceback" not in ran.stdout.str()
    assert "guardrails/testing" not in ran.stdout.str()


def test_cases_are_chosen_as_any_test_is(at):
    at.write("refunds.decisions.yml", CASES)
    at.run("-k", "small", passed=1, deselected=3)
    at.run("refunds.decisions.yml::a large one", passed=1)


def test_a_table_that_is_wrong_is_a_collection_error_with_its_lines(at):
    at.write("a.decisions.yaml", f"{HEAD}\ncases:\n  - {{expct: allow}}\n")
    at.write("b.decisions.yaml", "agent: billing\n")
    ran = at.run(errors=2)
    assert ran.ret == pytest.ExitCode.INTERRUPTED
    ran.stdout.fnmatch_lines(
        [
            "*a.decisions.yaml:8:6: cases[[]0].expct: unknown key (did you mean `expect`?)*",
            "*b.decisions.yaml:1:1: cases: is missing",
        ]
    )
    assert "Traceback" not in ran.stdout.str()


def test_without_a_configuration_a_table_is_an_error(pytester, monkeypatch):
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    (pytester.path / "a.decisions.yaml").write_text(
        "agent: a\ntools: {t: {resource: r}}\ncases: [{tool: t, expect: deny}]\n", "utf-8"
    )
    ran = pytester.runpytest_subprocess()
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["*there is no guardrails.yaml in*"])


def test_policies_that_do_not_load_fail_every_test_in_a_few_words(at):
    at.has_its_own_project()
    at.write("policies/rules/refunds.rego", "package guardrails.rules.refunds\n\ndeny contains\n")
    at.write("refunds.decisions.yaml", CASES)
    at.write("test_it.py", "def test_it(governed):\n    pass\n")
    ran = at.run(failed=4, errors=1)
    assert len(re.findall(r"refunds\.rego:\d+", ran.stdout.str())) >= 5
    assert "Traceback" not in ran.stdout.str()


def test_a_table_and_the_ini_file_can_name_a_configuration(at, folder):
    other = at.path / "elsewhere"
    project.make(other)
    at.write("elsewhere/policies/rules/refunds.rego", "package guardrails.rules.refunds\n")
    at.write(
        "a.decisions.yaml",
        f"config: elsewhere/guardrails.yaml\n{HEAD}\n"
        "cases: [{args: {amount: 9000}, expect: require_approval}]",
    )
    at.write("b.decisions.yaml", f"{HEAD}\ncases: [{{args: {{amount: 9000}}, expect: deny}}]")
    at.run(passed=2)
    at.write(
        "pytest.ini",
        f"[pytest]\npythonpath = {folder}\nguardrails_config = elsewhere/guardrails.yaml\n",
    )
    at.run("b.decisions.yaml", failed=1)


TESTS = """
    import asyncio
    from decimal import Decimal

    import pytest
    import shop_tools as shop

    import guardrails as gr
    from guardrails import testing

    pytestmark = pytest.mark.guardrails(agent="billing", at="2026-03-01T12:00:00Z")
    CALL = {"order_id": "A-17", "amount": Decimal(20)}

    def test_allowed(governed):
        governed.assert_allowed(shop.refund, CALL, because="access")
        assert shop.RAN == []

    def test_a_run(governed_run, governed):
        assert shop.refund(**CALL) == "refunded 20"
        assert governed_run.spent.usd == Decimal("0.02")
        assert governed.record.tools() == ["refund"]
        shop.RAN.clear()

    def test_each_test_begins_anew(governed, governed_run):
        assert governed_run.spent.calls == 0
        assert governed.record.tools() == []

    @pytest.mark.guardrails(environment="prod", principal="guest@acme.example", labels={"urgent"})
    def test_the_nearest_marker_counts(governed):
        said = governed.assert_denied(shop.note, {"text": "a"}, because="notes")
        assert (said.environment, said.principal, said.labels) == (
            "prod", "guest@acme.example", ("urgent",)
        )

    @pytest.mark.asyncio
    async def test_async(governed, approvers):
        async with governed.run():
            assert await shop.refund_async(**CALL) == "refunded 20"
            testing.assert_allowed(shop.refund_async, CALL)
            with pytest.raises(gr.ApprovalPending) as asked:
                await shop.publish("a")
            approvers.approve(asked.value, by="kim@acme.example")
            assert await shop.publish("a") == "a"
        approvers.on_duty("kim@acme.example")
        async with governed.run():
            assert await asyncio.gather(shop.publish("b"), shop.publish("c")) == ["b", "c"]

    @pytest.mark.asyncio
    async def test_async_in_the_run_of_a_fixture(governed_run):
        assert gr.current_run() is governed_run
        assert await shop.refund_async(**CALL) == "refunded 20"

    @pytest.fixture
    async def opened(governed):
        yield governed

    def test_golden(governed, golden_decisions):
        golden_decisions([governed.decide(shop.refund, {**CALL, "amount": Decimal(n)})
                          for n in (1, 2000, 9000)])
"""


def test_fixtures_markers_and_async_tests_work_alone_and_under_xdist(at):
    at.write("test_it.py", TESTS)
    at.write("a.decisions.yaml", CASES)
    at.run("--guardrails-update", failed=1, passed=10)
    alone = at.run("-v", failed=1, passed=10)
    shared = at.run("-v", "-n", "3", failed=1, passed=10)
    ids = [
        sorted(
            set(
                re.findall(
                    r"(?:test_it\.py|a\.decisions\.yaml)::[^\[\]%]*?(?= PASSED| FAILED|$)",
                    ran.stdout.str(),
                    re.MULTILINE,
                )
            )
        )
        for ran in (alone, shared)
    ]
    assert len(ids[0]) >= 11
    assert {each.strip() for each in ids[0]} <= {each.strip() for each in ids[1]}
    shared.stdout.fnmatch_lines(["*a.decisions.yaml:10: refund: expected `allow`*"])


def test_a_failed_assertion_shows_the_line_of_the_test_and_none_of_the_plugin(at):
    at.write(
        "test_it.py",
        """
        import shop_tools as shop

        def test_it(governed):
            governed.assert_allowed(shop.secret, agent="reader")

        def test_in_a_run(governed):
            from guardrails.testing import assert_allowed
            with governed.run("reader"):
                assert_allowed(shop.secret)
        """,
    )
    ran = at.run(failed=2)
    ran.stdout.fnmatch_lines(
        [
            ">*governed.assert_allowed(shop.secret, agent=[\"']reader[\"'])",
            "E*AssertionError: secret: expected `allow`, and it is `deny`",
            "test_it.py:4: AssertionError",
            ">*assert_allowed(shop.secret)",
            "test_it.py:9: AssertionError",
        ]
    )
    assert "assertions.py" not in ran.stdout.str()


def test_a_marker_that_is_wrong_is_told_and_how_to_name_an_agent(at):
    at.write(
        "test_it.py",
        """
        import pytest

        @pytest.mark.guardrails(agnt="billing")
        def test_unknown(governed): ...

        @pytest.mark.guardrails("billing")
        def test_without_name(governed): ...

        @pytest.mark.guardrails(environment="Not One")
        def test_environment(governed): ...

        @pytest.mark.guardrails(at="noon")
        def test_moment(governed): ...

        def test_nobody(governed_run): ...

        @pytest.mark.guardrails(agent="biling")
        def test_not_there(governed_run): ...
        """,
    )
    ran = at.run(errors=6)
    for message in (
        "@pytest.mark.guardrails does not take `agnt`; it takes `agent`, `environment`",
        "does not take a value without a name",
        "an environment's name in lower case",
        "a moment with its time zone is needed",
        "say whose run it is: agent=…, or @pytest.mark.guardrails(agent=…)",
        "there is no agent `biling`",
    ):
        assert message in ran.stdout.str(), message
    assert "Traceback" not in ran.stdout.str()
    assert "fixtures.py" not in ran.stdout.str()


def test_fixtures_can_be_overridden(at):
    project.make(at.path / "other")
    at.write(
        "other/policies/rules/more.rego",
        """
        package guardrails.rules.more

        import future.keywords.not

        deny contains "closed" if not open

        open if data.guardrails_data.open == true
        """,
    )
    at.write(
        "test_it.py",
        """
        from pathlib import Path
        import pytest
        import shop_tools as shop

        @pytest.fixture
        def guardrails_config():
            return Path(__file__).parent / "other" / "guardrails.yaml"

        @pytest.fixture(params=[True, False])
        def guardrails_data(request):
            return {"open": request.param}

        def test_it(governed, guardrails_data):
            said = governed.decide(shop.refund, {"order_id": "A", "amount": 20}, agent="billing")
            assert said.says == ("allow" if guardrails_data["open"] else "deny")
        """,
    )
    at.run(passed=2)


def test_a_session_that_asks_for_nothing_loads_nothing(at):
    at.write(
        "test_it.py",
        """
        import sys

        def test_it():
            loaded = [n for n in sys.modules if n.startswith("guardrails.")]
            for part in ("config", "rego", "testing.project", "testing.tables", "register"):
                assert not [n for n in loaded if n.startswith(f"guardrails.{part}")], part
        """,
    )
    at.run(passed=1)


# ---------------------------------------------------------------------- golden decisions

GOLDEN = """
    from decimal import Decimal

    import pytest
    import shop_tools as shop

    @pytest.mark.guardrails(agent="billing")
    def test_golden(governed, golden_decisions):
        golden_decisions([
            governed.decide(shop.refund, {"order_id": "A-17", "amount": Decimal(amount)})
            for amount in (20, 4000)
        ])
"""


def goldens(at):
    return sorted(
        each.relative_to(at.path).as_posix() for each in at.path.glob("**/__golden__/**/*.yaml")
    )


def test_a_missing_golden_file_fails_and_is_never_made(at):
    at.write("test_it.py", GOLDEN)
    for _ in range(2):
        ran = at.run(failed=1)
        ran.stdout.fnmatch_lines(
            ["*there are no golden decisions at __golden__/test_it/test_golden.yaml*"]
        )
        ran.stdout.fnmatch_lines(["*decision: require_approval"])
        assert goldens(at) == []


def test_what_is_written_is_named_and_compared_afterwards(at):
    at.has_its_own_project()
    at.write("test_it.py", GOLDEN)
    ran = at.run("--guardrails-update", passed=1)
    ran.stdout.fnmatch_lines(
        ["*golden decisions were written: review them*", "__golden__/test_it/test_golden.yaml"]
    )
    ran = at.run("--guardrails-update", passed=1)
    assert "were written" not in ran.stdout.str()  # there was nothing to change
    at.write(
        "policies/rules/refunds.rego",
        project.FILES["policies/rules/refunds.rego"].replace("5000 -", "3000 -"),
    )
    ran = at.run(failed=1)
    ran.stdout.fnmatch_lines(
        [
            "E*AssertionError: decisions are not those of __golden__/test_it/test_golden.yaml",
            'E*decided otherwise (line 5): {tool: "refund", agent: "billing",*"amount":4000*',
            "E*  - decision: require_approval",
            'E*  - rules: [[]"defaults"]',
            "E*  + decision: deny",
            'E*  + rules: [[]"refunds"]',
        ]
    )
    assert '"amount":20' not in ran.stdout.str()  # that one is as it was


def test_where_ci_is_set_nothing_is_written(at, monkeypatch):
    at.write("test_it.py", GOLDEN)
    monkeypatch.setenv("CI", "true")
    ran = at.run("--guardrails-update")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["*--guardrails-update is refused: CI is set*"])
    assert goldens(at) == []


@pytest.mark.parametrize(
    ("value", "is_set"),
    [("true", True), ("1", True), ("anything", True), ("", False), ("false", False), ("0", False)],
)
def test_what_counts_as_ci(monkeypatch, value, is_set):
    monkeypatch.setenv("CI", value)
    assert pytest_plugin.is_ci() is is_set


def test_under_xdist_every_test_writes_its_own_file_and_all_are_named(at):
    at.write(
        "test_it.py",
        """
        import pytest
        import shop_tools as shop

        class TestDesk:
            @pytest.mark.parametrize("who", ["../../up", "UP", "up", "a b", "a_b", "x" * 200, "é"])
            def test_golden(self, governed, golden_decisions, who):
                for name in ("one", "two"):
                    golden_decisions(
                        [governed.decide(shop.secret, agent="billing", labels=["l"])], name=name
                    )
        """,
    )
    ran = at.run("-n", "3", "--guardrails-update", passed=7)
    names = goldens(at)
    assert len(names) == 14
    assert len({name.lower() for name in names}) == 14
    assert all(name.startswith("__golden__/test_it/TestDesk.test_golden_") for name in names)
    assert all(name in ran.stdout.str() for name in names)
    at.run("-n", "2", passed=7)


def test_a_comparison_that_compares_nothing_is_an_error(at):
    at.write(
        "test_it.py",
        """
        import pytest
        import shop_tools as shop

        @pytest.fixture
        def one(governed):
            return governed.decide(shop.secret, agent="billing")

        def test_none(golden_decisions):
            golden_decisions([])

        def test_again(one, golden_decisions):
            golden_decisions([one])
            golden_decisions([one])

        def test_twice(one, golden_decisions):
            golden_decisions([one, one])
        """,
    )
    ran = at.run("--guardrails-update", failed=3)
    for message in (
        "would hold whatever policy says",
        "was compared in this test already; give each comparison a `name`",
        "stands in the golden decisions twice",
    ):
        assert message in ran.stdout.str()


# ---------------------------------------------------------------------- the example


def test_the_examples_tests_pass(pytester, monkeypatch):
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    copy = pytester.path / "examples"
    shutil.copytree(
        examples_directory(), copy, ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
    )
    monkeypatch.setenv("CI", "true")
    before = {each for each in copy.rglob("*") if "__pycache__" not in each.parts}
    monkeypatch.chdir(copy)
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:asyncio", "tests")
    assert ran.ret == 0
    assert ran.parseoutcomes()["passed"] >= 15
    assert {each for each in copy.rglob("*") if "__pycache__" not in each.parts} == before
