"""An unanswered request is put to further groups as time passes; at last it expires."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.approvals import ApprovalService
from guardrails.approvals.requests import NEVER, AnswerRefused, asked_of, due
from guardrails.approvals.stores.memory import MemoryRequests
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.model.approval import ApprovalState, Escalation
from guardrails.model.decision import ApprovalDemand

FIN = ApprovalDemand("money", "over 1000", ("fin",), 1, 1000)
CHAIN = (
    Escalation("fin", 100, "leads"),
    Escalation("leads", 300, "board"),
    Escalation("ops", 10, "others"),
)


@pytest.fixture(params=["memory", "sqlite"])
def service(request, clock, tmp_path):
    table = MemoryRequests() if request.param == "memory" else SqliteRequests(tmp_path / "a.sqlite")
    return ApprovalService(table, clock, escalation=CHAIN)


def ask(service, demands=(FIN,)):
    return service.request(
        "k",
        demands=demands,
        tool="pay",
        agent="billing",
        run_id="r",
        principal=None,
        args={},
        revision="v1",
    )


def kinds(request):
    return [step.kind for step in request.steps]


def test_each_group_may_answer_from_its_time_on(service, clock):
    request = ask(service)
    assert request.escalation == CHAIN[:2], (
        "the chain of a group that nobody asks is not part of it"
    )
    for waited, may in [(0, {"fin"}), (100, {"fin", "leads"}), (200, {"fin", "leads", "board"})]:
        clock.advance(waited)
        assert set(asked_of(request, FIN, clock.now_ns())) == may
        for group in {"fin", "leads", "board"} - may:
            with pytest.raises(AnswerRefused, match="in none of the groups"):
                service.approve(request.id, by="ann", groups=[group])
    assert service.approve(request.id, by="ann", groups=["board"]).state is ApprovalState.APPROVED
    assert service.consume(request.id, "k", [FIN]).state is ApprovalState.CONSUMED


def test_each_step_is_told_once_with_the_time_at_which_it_was_due(service, clock):
    told = []
    service.subscribe(lambda request, step: told.append((step, request.steps[-1].time)))
    request = ask(service)
    clock.advance(350)
    service.pass_time()
    assert service.pass_time() == ()
    service.list()
    start = request.created
    assert told == [
        ("requested", start),
        ("escalated", start + 100 * 10**9),
        ("escalated", start + 300 * 10**9),
    ]
    clock.advance(650)
    assert service.get(request.id).state is ApprovalState.EXPIRED
    assert told[-1] == ("expired", start + 1000 * 10**9)


def test_an_answered_request_goes_to_nobody_else(service, clock):
    request = ask(service)
    service.approve(request.id, by="ann", groups=["fin"])
    clock.advance(500)
    assert kinds(service.get(request.id)) == ["requested", "approved"]


def test_a_quorum_may_come_from_both_groups(service, clock):
    two = ApprovalDemand("money", "over 9000", ("fin",), 2, 1000)
    request = ask(service, (two,))
    service.approve(request.id, by="ann", groups=["fin"])
    clock.advance(100)
    assert service.approve(request.id, by="bob", groups=["leads"]).state is ApprovalState.APPROVED


def test_an_answer_counts_by_when_it_was_given(service, clock):
    request = ask(service)
    with pytest.raises(AnswerRefused):
        service.approve(request.id, by="ann", groups=["leads"])
    clock.advance(100)
    assert service.get(request.id).answers == ()


chains = st.lists(
    st.builds(Escalation, st.sampled_from("abcd"), st.integers(1, 900), st.sampled_from("abcd")),
    max_size=5,
)


@given(chains, st.lists(st.integers(0, 300), max_size=8))
def test_time_only_adds_groups_and_always_ends_it(chain, waits):
    class Clock:
        ns = 0

        def now_ns(self):
            return self.ns

        def monotonic(self):
            return self.ns / 1e9

    clock = Clock()
    service = ApprovalService(MemoryRequests(), clock, escalation=chain)
    demand = ApprovalDemand("money", "why", ("a",), 1, 1000)
    request = ask(service, (demand,))
    before: set[str] = {"a"}
    for wait in waits:
        clock.ns += wait * 10**9
        now = service.get(request.id)
        may = set(asked_of(now, demand, clock.ns))
        assert before <= may
        before = may
        open_now = now.state is ApprovalState.PENDING
        assert open_now == (clock.ns < request.expires)
        assert (due(now) > clock.ns) if open_now else due(now) == NEVER
    clock.ns = request.expires
    assert service.get(request.id).state is ApprovalState.EXPIRED
