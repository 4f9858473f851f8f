"""Requests in a file: exact, shared by processes, there after a crash, used once."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.approvals import ApprovalService
from guardrails.approvals.service import MOST_OPEN
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.approvals.stores.text import request_of, text_of
from guardrails.approvals.table import Listed
from guardrails.clock import SystemClock
from guardrails.errors import ApprovalRejected, BudgetExceeded, Refusal, StateUnavailable
from guardrails.model.approval import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    ApprovalStep,
    Escalation,
)
from guardrails.model.decision import ApprovalDemand

FIN = ApprovalDemand("money", "over 1000", ("fin",), 1, 3600)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1) | st.decimals(
    allow_nan=False, allow_infinity=False, places=6
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
times = st.integers(0, 2**62)
requests = st.builds(
    ApprovalRequest,
    id=texts,
    call_key=texts,
    state=st.sampled_from(ApprovalState),
    demands=st.lists(
        st.builds(
            ApprovalDemand,
            texts,
            texts,
            st.lists(texts).map(tuple),
            st.integers(1, 9),
            st.integers(1, 99),
        ),
        max_size=2,
    ).map(tuple),
    tool=texts,
    agent=texts,
    run_id=texts,
    principal=st.none() | texts,
    args=st.dictionaries(texts, values, max_size=3),
    revision=texts,
    created=times,
    expires=times,
    about=st.sampled_from(["call", "budget"]),
    nonce=texts,
    idempotency_key=texts,
    escalation=st.lists(st.builds(Escalation, texts, times, texts), max_size=2).map(tuple),
    answers=st.lists(
        st.builds(Answer, texts, st.frozensets(texts), st.booleans(), texts, times, texts),
        max_size=2,
    ).map(tuple),
    steps=st.lists(st.builds(ApprovalStep, texts, times, texts, texts, texts), max_size=2).map(
        tuple
    ),
    previous=st.none() | texts,
    previous_outcome=st.none() | texts,
    outcome=st.none() | texts,
)


def ask(service: ApprovalService, key: str = "k") -> ApprovalRequest:
    return service.request(
        key,
        demands=(FIN,),
        tool="pay",
        agent="billing",
        run_id="r",
        principal=None,
        args={"amount": Decimal("0.10")},
        revision="v1",
    )


def service_at(path: Path) -> ApprovalService:
    return ApprovalService(SqliteRequests(path), SystemClock())


@given(requests)
def test_a_request_comes_back_from_its_text_as_it_was(request_):
    back = request_of(text_of(request_))
    assert back == request_
    assert back.digest == request_.digest
    assert text_of(back) == text_of(request_)


@settings(max_examples=20)
@given(st.lists(requests, max_size=3, unique_by=lambda each: each.id))
def test_a_list_shows_of_each_request_what_stands_in_it(several):
    with tempfile.TemporaryDirectory() as folder:
        table = SqliteRequests(Path(folder) / "a.sqlite")
        for each in several:
            table.put(each)
        found = table.listed(None)
        table.close()
    shown = [Listed.of(each) for each in several]
    names = ("id", "state", "agent", "tool", "about", "expires")
    assert [[getattr(each, name) for name in names] for each in found] == [
        [getattr(each, name) for name in names] for each in several
    ]
    assert [each.args for each in found] == [dict(each.args) for each in several]
    assert [each.approvers for each in found] == [each.approvers for each in shown]
    assert [each.groups for each in found] == [
        {*shown.approvers, *(step.to for step in each.escalation)}
        for shown, each in zip(shown, several, strict=True)
    ]


def test_a_list_shows_a_name_with_a_nul_whole(tmp_path):
    """SQLite ended the text there: another agent's name was shown."""
    table = SqliteRequests(tmp_path / "a.sqlite")
    there = replace(ask(ApprovalService(table, SystemClock())), agent="a\0b", tool="\0")
    table.put(there)
    ((found),) = table.listed(None)
    assert (found.agent, found.tool) == ("a\0b", "\0")


@given(requests, st.data())
def test_whatever_is_shown_is_in_the_digest(request_, data):
    name = data.draw(
        st.sampled_from(
            ["id", "call_key", "tool", "agent", "run_id", "revision", "nonce", "created", "expires"]
        )
    )
    was = getattr(request_, name)
    other = replace(request_, **{name: was + 1 if isinstance(was, int) else was + "x"})
    assert other.digest != request_.digest
    other = replace(
        request_, args={**request_.args, "more": 1} if "more" not in request_.args else {}
    )
    assert other.digest != request_.digest


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "pending"}', "null", "5"])
def test_what_is_no_request_is_not_read(text):
    with pytest.raises(ValueError, match="no approval request"):
        request_of(text)


def test_a_row_that_cannot_be_read_refuses(tmp_path):
    service = service_at(tmp_path / "a.sqlite")
    request = ask(service)
    table = SqliteRequests(tmp_path / "a.sqlite")
    with table._database.transaction() as connection:
        connection.execute("UPDATE requests SET request = '{}'")
    with pytest.raises(StateUnavailable, match="cannot be read"):
        service.get(request.id)
    with pytest.raises(StateUnavailable):
        service.find("k")


def use(path: Path, start: float, used: multiprocessing.Queue[int]) -> None:
    service = service_at(path)
    count = 0
    time.sleep(max(0.0, start - time.time()))
    for number in range(20):
        request = service.find(f"k{number}")
        try:
            service.consume(request.id, f"k{number}", [FIN])
        except Refusal:
            continue
        count += 1
    used.put(count)


def test_of_several_processes_exactly_one_uses_each_approval(tmp_path):
    path = tmp_path / "a.sqlite"
    service = service_at(path)
    for number in range(20):
        request = ask(service, f"k{number}")
        service.approve(request.id, by="ann", groups=["fin"])
    context = multiprocessing.get_context("spawn")
    used = context.Queue()
    start = time.time() + 2
    workers = [context.Process(target=use, args=(path, start, used)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert sum(used.get(timeout=60) for _ in workers) == 20
    for worker in workers:
        worker.join()
    assert {request.state for request in service.list()} == {ApprovalState.CONSUMED}


def test_an_answer_from_another_process_wakes_whoever_waits(tmp_path):
    path = tmp_path / "a.sqlite"
    service = service_at(path)
    request = ask(service)
    script = """
import sys
from guardrails.approvals import ApprovalService
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.clock import SystemClock
service = ApprovalService(SqliteRequests(sys.argv[1]), SystemClock())
service.approve(sys.argv[2], by="ann", groups=["fin"], reason="fine")
"""
    answer = threading.Thread(
        target=subprocess.run, args=([sys.executable, "-c", script, path, request.id],)
    )
    answer.start()
    answered = service.wait(request.id, 60)
    answer.join()
    assert answered.state is ApprovalState.APPROVED
    assert answered.answers[0].reason == "fine"


CRASH = """
import os, signal, sys
from guardrails.approvals import ApprovalService
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.clock import SystemClock
from guardrails.model.decision import ApprovalDemand
service = ApprovalService(SqliteRequests(sys.argv[1]), SystemClock())
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "within":
    service.subscribe(die)
request = service.find("k")
service.consume(request.id, "k", [ApprovalDemand("money", "over 1000", ("fin",), 1, 3600)])
die()
"""


@pytest.mark.parametrize("moment", ["within", "after"])
def test_a_process_that_dies_using_an_approval_leaves_a_clear_state(tmp_path, moment):
    path = tmp_path / "a.sqlite"
    service = service_at(path)
    first = ask(service)
    service.approve(first.id, by="ann", groups=["fin"])
    ended = subprocess.run([sys.executable, "-c", CRASH, path, moment], check=False)
    assert ended.returncode == -signal.SIGKILL
    if moment == "within":  # it never was used
        assert service.consume(first.id, "k", [FIN]).state is ApprovalState.CONSUMED
        return
    with pytest.raises(ApprovalRejected, match="used already"):
        service.consume(first.id, "k", [FIN])
    second = ask(service)
    assert second.id != first.id
    assert (second.previous, second.previous_outcome) == (first.id, "unknown")
    assert second.idempotency_key == first.idempotency_key == first.id
    assert second.shown()["previous_outcome"] == "unknown"


def test_a_call_whose_outcome_is_known_is_another_act_when_it_is_made_again(tmp_path):
    service = service_at(tmp_path / "a.sqlite")
    first = ask(service)
    service.approve(first.id, by="ann", groups=["fin"])
    service.consume(first.id, "k", [FIN])
    service.settle(first.id, "ok")
    service.settle(first.id, "error")
    assert service.get(first.id).outcome == "ok", "the first word counts"
    second = ask(service)
    assert (second.previous, second.previous_outcome) == (first.id, "ok")
    assert second.idempotency_key == second.id


@pytest.mark.parametrize("lost", ["expired", "withdrawn"])
def test_an_unknown_outcome_is_told_until_the_call_has_run(tmp_path, clock, lost):
    service = ApprovalService(SqliteRequests(tmp_path / "a.sqlite"), clock)
    first = ask(service)
    service.approve(first.id, by="ann", groups=["fin"])
    service.consume(first.id, "k", [FIN])
    second = ask(service)
    if lost == "expired":
        clock.advance(3600)
    else:
        service.withdraw(second.id, reason="policy demands something else")
    third = ask(service)
    assert third.id != second.id
    assert (third.previous, third.previous_outcome) == (first.id, "unknown")
    assert third.idempotency_key == first.id


@pytest.mark.parametrize("outcome", ["error", "cancelled", "killed", "abandoned", "ok"])
def test_only_an_act_that_went_well_is_another_one_when_it_is_made_again(tmp_path, outcome):
    service = service_at(tmp_path / "a.sqlite")
    first = ask(service)
    service.approve(first.id, by="ann", groups=["fin"])
    service.consume(first.id, "k", [FIN])
    service.settle(first.id, outcome)
    second = ask(service)
    assert second.previous_outcome == outcome
    assert (second.idempotency_key == first.idempotency_key) is (outcome != "ok")


def test_a_run_cannot_flood_people_with_requests(tmp_path):
    service = service_at(tmp_path / "a.sqlite")
    requests_ = [ask(service, f"k{number}") for number in range(MOST_OPEN)]
    with pytest.raises(BudgetExceeded, match="open approval requests"):
        ask(service, "one more")
    assert ask(service, "k7").id == requests_[7].id, "what is there is found"
    service.withdraw(requests_[0].id, reason="")
    ask(service, "one more")


def test_ten_thousand_open_requests_are_listed(tmp_path):
    table = SqliteRequests(tmp_path / "a.sqlite")
    service = ApprovalService(table, SystemClock())
    first = ask(service, "first")
    with table.transaction():
        for number in range(10_000):
            name = f"{number:012}"
            table.put(replace(first, id=f"ap-{name}", call_key=name, run_id=name))
    assert len(service.list(ApprovalState.PENDING)) == 10_001
    assert service.list(ApprovalState.APPROVED) == ()
    assert len(service.listed(ApprovalState.PENDING)) == 10_001
    assert service.listed(ApprovalState.APPROVED) == ()
    assert (tmp_path / "a.sqlite").stat().st_mode & 0o777 == 0o600
