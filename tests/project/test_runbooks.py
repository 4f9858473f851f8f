"""Runbooks: whoever is sent to a page finds it, and it says what to see, to run, whom to tell."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import guardrails as gr
from guardrails import errors, testing
from guardrails.cli.root import app
from guardrails.model.registered import RegisteredAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
BOOKS = ROOT / "docs" / "runbooks"
PAGES = sorted(BOOKS.glob("*.md"))
SITUATIONS = [page for page in PAGES if page.stem not in {"README", "rules"}]


def refusals(kind: type[errors.Refusal] = errors.Refusal) -> Iterator[type[errors.Refusal]]:
    yield kind
    for heir in kind.__subclasses__():
        yield from refusals(heir)


def leads_somewhere(link: str) -> bool:
    path, _, heading = link.partition("#")
    if not (ROOT / path).is_file():
        return False
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return not heading or heading in {each.lower().replace(" ", "-") for each in headings}


def test_every_runbook_that_a_policy_names_is_there() -> None:
    named = {
        link
        for policy in ROOT.glob("policies/**/*.rego")
        for link in re.findall(r"runbook: (\S+)", policy.read_text(encoding="utf-8"))
    }
    assert len(named) >= 10
    assert [link for link in named if not leads_somewhere(link)] == []
    assert not leads_somewhere("docs/runbooks/rules.md#no_such_rule")


def test_every_runbook_that_a_refusal_names_is_there_and_in_the_index() -> None:
    index = (BOOKS / "README.md").read_text(encoding="utf-8")
    rows = {code: row for row in index.splitlines() for code in re.findall(r"`(\w+)`", row)}
    kinds: list[Any] = [*refusals(), errors.RunKilled]
    for kind in kinds:
        if kind.runbook is None:
            assert kind.code in {
                *("refused", "no_active_run", "run_closed", "invalid_arguments", "shadowed")
            }
            continue
        assert leads_somewhere(kind.runbook), kind
        assert f"({Path(kind.runbook).name})" in rows[kind.code], kind


@pytest.mark.parametrize("page", SITUATIONS, ids=lambda page: page.stem)
def test_every_page_says_what_to_see_to_run_and_whom_to_tell(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[:3] == ["What you see", "Commands to run", "Whom to tell"]
    assert re.search(r"^guardrails \w+", text, re.MULTILINE)
    assert f"({page.name})" in (BOOKS / "README.md").read_text(encoding="utf-8")


@gr.governed_tool(resource="r", operation="write")
def write() -> None: ...


def test_a_refusal_names_its_page_beside_its_decision() -> None:
    with testing.run(budget=gr.Budget(calls=0)), pytest.raises(gr.BudgetExceeded) as caught:
        write()
    assert caught.value.runbook == "docs/runbooks/overspend.md"
    where = str(caught.value).splitlines()[1]
    assert where.endswith(f", run {caught.value.run_id}, runbook docs/runbooks/overspend.md")
    assert "runbook" not in caught.value.model_message


def test_the_page_of_the_agent_comes_first_where_there_is_one_at_all() -> None:
    class Register(testing.OpenRegister):
        def agent(self, agent_id: str) -> RegisteredAgent:
            return RegisteredAgent(
                agent_id,
                "1",
                "dana@acme.example",
                budgets={"test": gr.Budget(calls=0)},
                runbook="https://wiki.acme.example/billing",
            )

    its = testing.governor(register=Register())
    with its.run("billing"):
        with pytest.raises(gr.BudgetExceeded) as caught:
            write()
        with pytest.raises(gr.InvalidArguments) as wrong:
            write(1)  # type: ignore[call-arg]  # what is refused
    assert caught.value.runbook == "https://wiki.acme.example/billing"
    assert gr.BudgetExceeded.runbook == "docs/runbooks/overspend.md"
    assert wrong.value.runbook is None


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for line in re.findall(r"^guardrails .+$|(?<=`)guardrails [^`]+(?=`)", text, re.MULTILINE):
            yield page.stem, line.partition("  #")[0].strip()


@pytest.mark.parametrize(("page", "line"), list(commands()))
def test_every_command_of_a_runbook_is_one_of_the_command_line(
    page: str, line: str, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    words = shlex.split(line)[1:]
    wanted = [word.partition("=")[0] for word in words if word.startswith("-")]
    # The names of commands come first, and what is no target stands in lower case.
    names = list(itertools.takewhile(re.compile(r"[a-z][a-z-]*").fullmatch, words))[:2]
    shown = CliRunner().invoke(app, [*names, "--help"])
    assert shown.exit_code == 0, (page, shown.output)
    assert f"guardrails {' '.join(names)} " in f"{shown.output} ".replace("root ", "guardrails ")
    for option in wanted:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", shown.output), (page, option)
