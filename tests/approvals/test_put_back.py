"""Who puts back a row as it was before its use makes the call again, but no other act of it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from guardrails.approvals import ApprovalService
from guardrails.approvals.approvers import Approver, Approvers
from guardrails.approvals.signing import ApproverKey
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.approvals.stores.text import text_of
from guardrails.errors import ApprovalPending
from guardrails.model.approval import Answer
from guardrails.model.canonical import call_key
from guardrails.model.decision import ApprovalDemand

FIN = ApprovalDemand("money", "over 1000", ("fin",), 1, 100)
ANN = ApproverKey(bytes([1]) * 32)
PEOPLE = Approvers([Approver("ann@acme.example", frozenset({"fin"}), ANN.public)])


@pytest.mark.parametrize("changed", [False, True])
def test_a_row_that_is_put_back_keeps_the_key_of_the_act(tmp_path, clock, changed):
    """A tool that hands the key on acts once; with another key nobody has signed the row."""
    path = tmp_path / "approvals.sqlite"
    service = ApprovalService(SqliteRequests(path), clock, approvers=PEOPLE)
    request = service.request(
        call_key("pay", {"amount": 5}, "billing", None, "r"),
        demands=(FIN,),
        tool="pay",
        agent="billing",
        run_id="r",
        principal=None,
        args={"amount": 5},
        revision="v1",
    )
    said = Answer("ann@acme.example", frozenset({"fin"}), True, "", clock.now_ns())
    approved = service.answer(
        request.id,
        by=said.by,
        approve=True,
        time=said.time,
        signature=ANN.sign(request.digest, said),
    )
    used = service.consume(request.id, request.call_key, [FIN])
    row = replace(approved, idempotency_key="another") if changed else approved
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE requests SET state = 'approved', request = ?", (text_of(row),))
    connection.close()
    later = ApprovalService(SqliteRequests(path), clock, approvers=PEOPLE)
    if changed:
        with pytest.raises(ApprovalPending):
            later.consume(request.id, request.call_key, [FIN])
    else:
        again = later.consume(request.id, request.call_key, [FIN])
        assert again.idempotency_key == used.idempotency_key
