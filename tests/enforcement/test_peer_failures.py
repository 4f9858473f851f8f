"""What the largest peer in this field was seen to get wrong, each as a test that ours passes."""

from __future__ import annotations

import asyncio
import gc
import inspect
import subprocess
import sys
import threading
import tracemalloc
from decimal import Decimal

import pytest

import guardrails as gr
from guardrails import testing
from guardrails.audit.jsonl import JsonLinesRecord
from guardrails.audit.reading import read
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.layers import PolicyFiles
from guardrails.model.decision import ApprovalDemand, Decision, Effect, MalformedDecision
from guardrails.resources import policies_directory

REASON = (gr.Reason("test", "because"),)


def seen_by_policy(tool, *args, **kwargs) -> dict:
    """The input document that policy gets for one call."""
    documents = []

    def decide(document) -> Decision:
        documents.append(document)
        return Decision(Effect.ALLOW, REASON)

    with testing.run(governor=testing.governor(decide)):
        tool(*args, **kwargs)
    return documents[0]


def test_positional_arguments_after_the_first_reach_policy() -> None:
    @gr.governed_tool
    def pay(order: str, amount: int, to: str = "x") -> None: ...

    assert seen_by_policy(pay, "A", 5, "y")["args"] == {"order": "A", "amount": 5, "to": "y"}


def test_a_rule_on_the_tool_s_name_matches() -> None:
    @gr.governed_tool
    def delete_everything() -> None: ...

    name = "test_a_rule_on_the_tool_s_name_matches.delete_everything"
    assert seen_by_policy(delete_everything)["tool"]["name"] == name

    def decide(document) -> Decision:
        return Decision(Effect.DENY if document["tool"]["name"] == name else Effect.ALLOW, REASON)

    with testing.run(governor=testing.governor(decide)), pytest.raises(gr.CallDenied):
        delete_everything()


@pytest.mark.parametrize(
    "rule",
    [
        'deny contains "x" if input.args.amount >>> 5',  # does not parse
        'deny contains "x" if inpt.args.amount > 5',  # a typo in a name
        'deny contains "x" if no_such_function(input.args)',
        'denny contains "x" if input.args.amount > 5',
        "deny if input.args.amount > 5",
    ],
)
def test_a_rule_that_cannot_work_stops_start_up_and_is_never_silently_false(rule, tmp_path) -> None:
    (tmp_path / "bad.rego").write_text(f"package guardrails.rules.bad\n\n{rule}\n")
    library = policies_directory()
    files = PolicyFiles((library / "guardrails", library / "data.yaml", tmp_path))
    with pytest.raises(gr.PolicyLoadError, match="bad"):
        InProcessEngine(files, lambda: {"agents": {}})


def test_a_missing_opa_binary_stops_start_up(tmp_path) -> None:
    library = policies_directory()
    files = PolicyFiles(
        (library / "guardrails", library / "data.yaml"), planner="opa", opa=str(tmp_path / "opa")
    )
    with pytest.raises(gr.PolicyLoadError, match="opa"):
        InProcessEngine(files, lambda: {"agents": {}})


@pytest.mark.parametrize(
    "document",
    [
        {"allow": False},
        {"allow": True},
        {},
        None,
        True,
        "allow",
        [],
        {"effect": "allow"},
        {"effect": True, "reasons": [], "approvals": [], "obligations": []},
        {"effect": "ALLOW", "reasons": [], "approvals": [], "obligations": []},
        {"effect": "allow", "reasons": [], "approvals": [], "obligations": [], "extra": 1},
    ],
)
def test_a_result_that_is_no_decision_refuses(document) -> None:
    with pytest.raises(MalformedDecision):
        Decision.from_document(document)

    its = testing.governor(lambda _: Decision.from_document(document))
    ran = []
    tool = gr.governed_tool(name="tool")(lambda: ran.append(1))
    with testing.run(governor=its), pytest.raises(gr.PolicyError):
        tool()
    assert not ran


def test_only_listed_approvers_count() -> None:
    demand = ApprovalDemand("large", "large", ("finance-ops",), quorum=2)
    its = testing.governor(lambda _: Decision(Effect.REQUIRE_APPROVAL, approvals=(demand,)))
    tool = gr.governed_tool(name="tool")(lambda: "ran")
    with testing.run(governor=its, principal="ann@example.com"):
        with pytest.raises(gr.ApprovalPending) as pending:
            tool()
        request = pending.value.request_id
        for by, groups in (("eve@example.com", {"interns"}), ("ann@example.com", {"finance-ops"})):
            with pytest.raises(gr.GuardrailsError):
                its.approvals.approve(request, by=by, groups=groups)
        its.approvals.approve(request, by="dana@example.com", groups={"finance-ops"})
        with pytest.raises(gr.GuardrailsError):
            its.approvals.approve(request, by="DANA@example.com", groups={"finance-ops"})
        with pytest.raises(gr.ApprovalPending):
            tool()
        its.approvals.approve(request, by="finn@example.com", groups={"finance-ops"})
        assert tool() == "ran"


def test_the_record_holds_the_decision_and_who_approved(tmp_path) -> None:
    demand = ApprovalDemand("large", "large", ("finance-ops",))
    record = JsonLinesRecord(tmp_path / "record.jsonl")
    its = testing.governor(
        lambda _: Decision(Effect.REQUIRE_APPROVAL, approvals=(demand,), revision="r7"),
        record=record,
    )
    tool = gr.governed_tool(name="tool")(lambda x: x)
    with testing.run(governor=its):
        with pytest.raises(gr.ApprovalPending) as pending:
            tool(1)
        its.approvals.approve(pending.value.request_id, by="dana", groups={"finance-ops"})
        tool(1)
    its.close()
    started = next(e for e in read(tmp_path / "record.jsonl") if e["kind"] == "call.started")
    assert started["effect"] == "require_approval"
    assert started["revision"] == "r7"
    assert started["detail"]["approved_by"] == ["dana"]
    assert started["input"]["args"] == {"x": 1}


def test_one_wrapper_serves_eight_threads() -> None:
    results: list[int] = []

    @gr.governed_tool
    def double(x: int) -> int:
        return 2 * x

    def work(start: int) -> None:
        results.extend(double(start + i) for i in range(50))

    with testing.run() as run:
        threads = [threading.Thread(target=gr.bind(work), args=(1000 * n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert run.spent.calls == 400
    assert sorted(results) == sorted(2 * (1000 * n + i) for n in range(8) for i in range(50))


def test_a_limit_of_a_hundred_lets_a_hundred_through() -> None:
    ran = []

    @gr.governed_tool
    @gr.budget(calls=100)
    def limited() -> None:
        ran.append(1)

    def work() -> None:
        for _ in range(40):
            try:
                limited()
            except gr.BudgetExceeded:
                return

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with testing.run():
            threads = [threading.Thread(target=gr.bind(work)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(ran) == 100


def test_budgets_are_wired_to_calls() -> None:
    @gr.governed_tool
    @gr.budget(cost="0.30")
    def priced() -> None: ...

    with testing.run(budget=gr.Budget(usd=1, calls=10)) as run:
        for _ in range(3):
            priced()
        with pytest.raises(gr.BudgetExceeded):
            priced()
        assert run.spent.usd == Decimal("0.9")


def test_the_kill_switch_is_on_the_call_path() -> None:
    ran = []
    tool = gr.governed_tool(name="tool")(lambda: ran.append(1))
    its = testing.governor()
    with testing.run(governor=its):
        tool()
        its.kill("agent/test-agent", reason="stop")
        with pytest.raises(gr.RunKilled):
            tool()
    assert ran == [1]


def test_calls_keep_no_memory(tmp_path) -> None:
    its = testing.governor(record=JsonLinesRecord(tmp_path / "record.jsonl"))
    tool = gr.governed_tool(name="tool")(lambda x: x)

    def calls(count: int) -> None:
        for i in range(count):
            tool(i)

    with testing.run(governor=its):
        calls(300)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        calls(1000)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    its.close()
    assert kept < 1000 * 20, f"{kept} bytes stay after 1,000 calls"


def test_the_import_brings_no_heavy_parts_along() -> None:
    heavy = [
        "opa_client",
        "regopy",
        "requests",
        "aiohttp",
        "redis",
        "sqlalchemy",
        "typer",
        "rich",
        "yaml",
        "re2",
    ]
    code = f"import sys, guardrails; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_is_a_decorator_that_works_on_methods_and_shows_that_a_tool_is_async() -> None:
    class Agent:
        @gr.governed_tool
        async def act(self, x: int) -> int:
            return x

    assert inspect.iscoroutinefunction(Agent.act)

    async def main() -> None:
        async with testing.run():
            assert await Agent().act(3) == 3

    asyncio.run(main())
