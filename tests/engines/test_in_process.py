"""The embedded engine decides by compiled code, and never otherwise than the interpreter."""

from __future__ import annotations

import copy
import json
import threading
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from guardrails.engines import in_process
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.layers import PolicyFiles
from guardrails.engines.source import ENTRYPOINT
from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.model.decision import Decision, Effect, MalformedDecision
from guardrails.rego import compile_process, loading
from guardrails.rego.compile_cache import CompileCache
from guardrails.rego.compiled import Entrypoint
from guardrails.rego.program import Interpreted
from guardrails.rego.values import to_json
from guardrails.resources import policies_directory

AGENTS = {
    "agents": {
        "a": {
            "version": "3",
            "owner": "o@acme.example",
            "review_by": "2099-12-31",
            "environments": ["prod"],
            "access": [{"resource": "r", "operations": ["read"]}],
            "contacts": [],
            "delegates": [],
            "approval": {},
        }
    }
}

DOCUMENT: dict[str, Any] = {
    "agent": {
        "id": "a",
        "version": "3",
        "owner": "o@acme.example",
        "environment": "prod",
        "labels": [],
    },
    "principal": None,
    "tool": {"name": "t", "resource": "r", "operation": "read", "labels": [], "hidden": []},
    "args": {"amount": Decimal("1.50")},
    "call": {"id": "c"},
    "run": {
        "id": "r",
        "ancestry": [],
        "labels": [],
        "mode": "enforce",
        "calls": 0,
        "history": {},
        "steps": [],
        "signals": [],
        "spent": {"usd": 0, "tokens": 0, "calls": 0},
        "reserved": {"usd": 0, "tokens": 0, "calls": 0},
        "remaining": {"usd": 5, "calls": 10},
    },
    "time": 1_781_524_800_000_000_000,
}

DECISION = """package guardrails

import rego.v1

default decision := {"effect": "deny", "reasons": [], "approvals": [], "obligations": []}

decision := {"effect": "allow", "reasons": [], "approvals": [], "obligations": []} if {
	%s
}
"""


def engine(tmp_path, condition: str, **options: Any) -> InProcessEngine:
    """An engine with one rule, and what it reads of the data."""
    (tmp_path / "policies").mkdir(exist_ok=True)
    (tmp_path / "policies" / "main.rego").write_text(DECISION % condition)
    options.setdefault("cache", None)
    return InProcessEngine(PolicyFiles((tmp_path / "policies",)), lambda: AGENTS, **options)


@pytest.fixture(scope="module")
def shipped():
    library = policies_directory()
    files = PolicyFiles((library / "guardrails", library / "data.yaml"))
    return InProcessEngine(files, lambda: AGENTS, cache=None)


def both(engine: InProcessEngine, document: Any) -> tuple[Any, Any]:
    """What the engine decides, and what the interpreter says."""
    program = engine.loaded.reference.program

    def decided(result: Any) -> Any:
        return Decision.from_document(to_json(result), revision=engine.revision, decision_id="d")

    answers = []
    for ask in (
        lambda: engine.decide(document, "d"),
        lambda: decided(program.evaluate(ENTRYPOINT, document, strict_builtin_errors=True)),
    ):
        try:
            answers.append(ask())
        except (EvaluationError, MalformedDecision) as error:
            answers.append(type(error))
    return answers[0], answers[1]


def test_the_shipped_library_is_compiled_and_decides(shipped) -> None:
    assert isinstance(shipped.loaded.decider, Entrypoint)
    assert shipped.decide(DOCUMENT, "d").effect is Effect.ALLOW
    other = {**DOCUMENT, "tool": {**DOCUMENT["tool"], "operation": "write"}}
    assert shipped.decide(other, "d").effect is Effect.DENY


JUNK = [None, True, 0, 7.5, Decimal("2.5"), "", "r", [], ["r"], {}, {"r": 1}, {1}, object()]


@pytest.mark.parametrize("value", JUNK, ids=lambda value: repr(value).partition(" at ")[0])
def test_a_document_of_another_shape_is_decided_as_the_interpreter_decides(shipped, value) -> None:
    for place, inner in DOCUMENT.items():
        one, two = both(shipped, {**DOCUMENT, place: value})
        assert one == two, place
        less = {name: item for name, item in DOCUMENT.items() if name != place}
        assert both(shipped, less)[0] == both(shipped, less)[1]
        for name in inner if type(inner) is dict else ():
            document = {**DOCUMENT, place: {**inner, name: value}}
            one, two = both(shipped, document)
            assert one == two, (place, name)


def test_text_where_a_list_was_promised_does_not_open(tmp_path) -> None:
    its = engine(tmp_path, '"trusted" in input.tool.labels')
    assert isinstance(its.loaded.decider, Entrypoint)
    document = copy.deepcopy(DOCUMENT)
    document["tool"]["labels"] = ["trusted"]
    assert its.decide(document, "d").effect is Effect.ALLOW
    for hostile in ("not trusted at all", {"trusted": 1}, {"trusted"}, ("trusted",)):
        document["tool"]["labels"] = hostile
        try:
            effect = its.decide(document, "d").effect
        except EvaluationError:
            continue
        assert (effect is Effect.ALLOW) == (hostile == ("trusted",)), hostile


def test_a_document_is_neither_changed_nor_kept(tmp_path) -> None:
    its = engine(tmp_path, "input.args.amount > 1")
    before = copy.deepcopy(DOCUMENT)
    its.decide(DOCUMENT, "d")
    assert before == DOCUMENT


def test_a_transform_gives_its_value_in_json_types(tmp_path) -> None:
    (tmp_path / "main.rego").write_text(
        "package guardrails\n\nimport rego.v1\n\n"
        'decision := {"effect": "allow", "reasons": [], "approvals": [], "obligations":'
        ' [{"type": "transform", "path": "/args/x", "value": {"b": {2, 1}, "a": input.args}}]}\n'
    )
    its = InProcessEngine(PolicyFiles((tmp_path,)), dict, cache=None)
    (duty,) = its.decide(DOCUMENT, "d").obligations
    assert json.dumps(duty.value, default=str) == '{"a": {"amount": "1.50"}, "b": [1, 2]}'
    assert duty.value["a"] is not DOCUMENT["args"]


def test_a_set_of_reasons_is_an_array_of_them(tmp_path) -> None:
    (tmp_path / "main.rego").write_text(
        "package guardrails\n\nimport rego.v1\n\n"
        'why contains {"rule": "r", "reason": input.tool.name}\n\n'
        'decision := {"effect": "deny", "reasons": why, "approvals": [], "obligations": []}\n'
    )
    its = InProcessEngine(PolicyFiles((tmp_path,)), dict, cache=None)
    assert [reason.reason for reason in its.decide(DOCUMENT, "d").reasons] == ["t"]


def test_decisions_in_flight_finish_on_what_they_began_with(tmp_path) -> None:
    its = engine(tmp_path, 'input.agent.id == "a"')
    stop, found, faults = threading.Event(), set(), []

    def ask() -> None:
        while not stop.is_set():
            try:
                decision = its.decide(DOCUMENT, "d")
                found.add((decision.revision, decision.effect))
            except Exception as error:  # noqa: BLE001  # any is a failure of the test
                faults.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    first = its.revision
    (tmp_path / "policies" / "main.rego").write_text(DECISION % 'input.agent.id == "b"')
    assert its.reload()
    stop.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert its.decide(DOCUMENT, "d").effect is Effect.DENY
    assert found <= {(first, Effect.ALLOW), (its.revision, Effect.DENY)}


def test_a_reload_that_fails_leaves_what_decides(tmp_path) -> None:
    its = engine(tmp_path, 'input.agent.id == "a"')
    (tmp_path / "policies" / "main.rego").write_text(DECISION % "input.agent.id ==")
    with pytest.raises(PolicyLoadError, match=r"main\.rego"):
        its.reload()
    assert its.decide(DOCUMENT, "d").effect is Effect.ALLOW


def test_without_a_compiler_the_interpreter_decides(tmp_path, monkeypatch, caplog) -> None:
    # So little time that no process can even begin.
    short = partial(compile_process.compile_apart, timeout=0.001)
    monkeypatch.setattr(loading, "compile_apart", short)
    its = engine(tmp_path, 'input.agent.id == "a"')
    assert isinstance(its.loaded.decider, Interpreted)
    assert "interpreted" in caplog.text
    assert its.decide(DOCUMENT, "d").effect is Effect.ALLOW
    assert its.explain(DOCUMENT) == ()
    other = {**DOCUMENT, "agent": {**DOCUMENT["agent"], "id": "b"}}
    assert its.decide(other, "d").effect is Effect.DENY


NESTED = "\n\t".join(f"some x{place} in input.args.items" for place in range(14))
"""Loops within one another, for which there is no compiled form."""


def test_what_has_no_compiled_form_decides_and_a_warning_says_why(tmp_path, caplog) -> None:
    its = engine(tmp_path, NESTED)
    assert isinstance(its.loaded.decider, Interpreted)
    assert "loops" in its.loaded.decider.reason
    warned = [each for each in caplog.records if "interpreted" in each.getMessage()]
    assert [each.levelname for each in warned] == ["WARNING"]
    assert its.loaded.decider.reason in warned[0].getMessage()
    document = {**DOCUMENT, "args": {"items": [1]}}
    assert its.decide(document, "d").effect is Effect.ALLOW
    assert its.decide(DOCUMENT, "d").effect is Effect.DENY


@pytest.mark.parametrize("count", [100_001, 250_000])
def test_large_data_are_carried_beside_the_code(tmp_path, count) -> None:
    (tmp_path / "policies").mkdir()
    limits = {f"t{place}": place for place in range(count)} | {"t": 2}
    (tmp_path / "policies" / "data.json").write_text(json.dumps({"limits": limits}))
    its = engine(tmp_path, "object.get(data.limits, input.tool.name, 0) >= input.args.amount")
    assert not isinstance(its.loaded.decider, Interpreted)
    assert its.decide(DOCUMENT, "d").effect is Effect.ALLOW
    above = {**DOCUMENT, "args": {"amount": 3}}
    assert its.decide(above, "d").effect is Effect.DENY


def test_a_second_start_takes_the_compiled_policy_from_the_cache(tmp_path, monkeypatch) -> None:
    cache = CompileCache(tmp_path / "cache")
    first = engine(tmp_path, 'input.agent.id == "a"', cache=cache)

    def never(*_: Any) -> Any:
        raise AssertionError("it was compiled again")

    monkeypatch.setattr(loading, "compile_apart", never)
    second = engine(tmp_path, 'input.agent.id == "a"', cache=cache)
    assert second.revision == first.revision
    assert second.decide(DOCUMENT, "d") == first.decide(DOCUMENT, "d")
    with pytest.raises(AssertionError, match="again"):
        engine(tmp_path, 'input.agent.id == "b"', cache=cache)


def test_the_cache_is_the_users_own_unless_another_is_given(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    engine(tmp_path, 'input.agent.id == "a"', cache="user")
    (kept,) = (tmp_path / "xdg" / "guardrails").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_without_the_published_schema_nothing_is_promised(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(in_process, "policies_directory", lambda: tmp_path)
    its = engine(tmp_path, '"trusted" in input.tool.labels')
    assert "schema" in caplog.text
    document = copy.deepcopy(DOCUMENT)
    document["tool"]["labels"] = "not trusted at all"
    assert its.decide(document, "d").effect is Effect.DENY
