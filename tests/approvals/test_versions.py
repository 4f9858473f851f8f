"""What takes the place of a request: edited arguments and accepted proposals, both on record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.approvals import ApprovalService
from guardrails.approvals.approvers import Approver, Approvers
from guardrails.approvals.changes import ABSENT, changes
from guardrails.approvals.requests import AnswerRefused
from guardrails.approvals.signing import ApproverKey
from guardrails.approvals.stores.memory import MemoryRequests
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.approvals.versions import MOST_PROPOSED, edited_key
from guardrails.errors import ApprovalRejected, BudgetExceeded
from guardrails.model.approval import Answer, ApprovalState, key_about
from guardrails.model.canonical import call_key, canonical, digest
from guardrails.model.decision import ApprovalDemand
from guardrails.model.lineage import RunTerms

NOW = 1_700_000_000_000_000_000
"""Where the clock of these tests stands."""
FIN = ApprovalDemand("money", "over 1000", ("fin",), 1, 100)
TWO = ApprovalDemand("money", "over 9000", ("fin",), 2, 100)
LINEAGE = (
    RunTerms("top", "lead", "shadow", ("night",), {"calls": 9}, {"calls": 4}),
    RunTerms("r", "billing", "shadow", (), {"usd": 5_000_000}, {"usd": 1_000_000}),
)
WORDS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@pytest.fixture(params=["memory", "sqlite"])
def store(request, clock, tmp_path):
    if request.param == "memory":
        return ApprovalService(MemoryRequests(), clock)
    return ApprovalService(SqliteRequests(tmp_path / "approvals.sqlite"), clock)


def key(args, run="r"):
    return call_key("pay", args, "billing", "ann@x.example", run)


def ask(store, args=None, demands=(FIN,)):
    args = {"amount": 5000, "to": "B"} if args is None else args
    return store.request(
        key(args),
        demands=demands,
        tool="pay",
        agent="billing",
        run_id="r",
        principal="ann@x.example",
        args=args,
        revision="v1",
        lineage=LINEAGE,
    )


def propose(store, amount=5, demands=()):
    args = {"amount": amount}
    return store.propose(
        key(args),
        demands=demands,
        tool="pay",
        agent="billing",
        run_id="r",
        principal="ann@x.example",
        args=args,
        revision="v1",
        lineage=LINEAGE,
    )


def edit(store, request, amount, by="lee", **more):
    args = {**request.args, "amount": amount}
    return store.edit(request.id, args, by=by, groups=["fin"], **more)


def test_both_versions_stand_and_point_at_each_other(store):
    steps = []
    old = ask(store)
    store.subscribe(lambda request, step: steps.append((request.id, step)))
    new = edit(store, old, 20, reason="partial", channel="web")
    old = store.get(old.id)
    assert steps == [(old.id, "edited"), (new.id, "requested")]
    assert (old.state, old.successor) == (ApprovalState.EDITED, new.id)
    assert (old.args["amount"], new.args) == (5000, {"amount": 20, "to": "B"})
    assert (new.state, new.origin) == (ApprovalState.PENDING, old.id)
    assert new.call_key == key(new.args) == new.key_of_shown()
    assert (new.demands, new.lineage, new.principal) == (old.demands, LINEAGE, old.principal)
    assert (old.steps[-1].by, old.steps[-1].reason, old.steps[-1].channel) == (
        "lee",
        "partial",
        "web",
    )
    assert store.latest(old.id) == new == store.find(new.call_key)


def test_an_edit_approves_nothing_and_its_editor_may_approve(store):
    new = edit(store, ask(store, demands=(TWO,)), 20)
    assert store.approve(new.id, by="lee", groups=["fin"]).state is ApprovalState.PENDING
    assert store.approve(new.id, by="kim", groups=["fin"]).state is ApprovalState.APPROVED


def test_an_edited_request_is_final(store):
    old = ask(store)
    edit(store, old, 20)
    for act in (
        lambda: store.approve(old.id, by="kim", groups=["fin"]),
        lambda: store.reject(old.id, by="kim", groups=["fin"]),
        lambda: edit(store, old, 30),
    ):
        with pytest.raises(AnswerRefused, match="edited"):
            act()
    store.withdraw(old.id, reason="late")
    assert ask(store).id == old.id, "the same call is not put to people again"
    assert store.get(old.id).state is ApprovalState.EDITED
    with pytest.raises(ApprovalRejected, match="was edited"):
        store.consume(old.id, old.call_key, [FIN])


def test_an_edit_of_an_edited_leads_on(store):
    first = ask(store)
    second = edit(store, first, 20)
    third = edit(store, second, 30, by="kim")
    assert store.latest(first.id) == store.latest(second.id) == third
    fourth = edit(store, third, 5000)
    assert store.latest(first.id) == fourth
    assert store.find(first.call_key) == fourth, "the call as it was asked for is open again"
    assert fourth.id != first.id


def test_an_approved_request_can_be_edited_until_it_is_used(store):
    old = ask(store)
    store.approve(old.id, by="kim", groups=["fin"])
    new = edit(store, old, 20)
    with pytest.raises(ApprovalRejected):
        store.consume(old.id, old.call_key, [FIN])
    store.approve(new.id, by="lee", groups=["fin"])
    store.consume(new.id, new.call_key, [FIN])
    with pytest.raises(AnswerRefused, match="consumed"):
        edit(store, new, 30)


@pytest.mark.parametrize("who", ["ann@x.example", "ANN@x.example", "billing"])
def test_nobody_edits_a_call_of_his_own(store, who):
    old = ask(store)
    with pytest.raises(AnswerRefused, match="made the request"):
        edit(store, old, 20, by=who)
    assert store.get(old.id) == old


def test_who_may_not_answer_may_not_edit(store):
    old = ask(store)
    with pytest.raises(AnswerRefused, match="none of the groups"):
        store.edit(old.id, {"amount": 1, "to": "B"}, by="eve", groups=["sales"])
    assert store.get(old.id) == old


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"amount": 5000, "to": "B"}, "nothing is changed"),
        ({"amount": 20}, "'to' is missing"),
        ({"amount": 20, "to": "B", "x": 1}, "'x' is none of"),
        ({"amount": 2.5, "to": "B"}, "no exact JSON"),
        ({"amount": float("nan"), "to": "B"}, "no exact JSON"),
    ],
)
def test_what_is_no_edit_changes_nothing(store, args, said):
    old = ask(store)
    with pytest.raises(AnswerRefused, match=said):
        store.edit(old.id, args, by="lee", groups=["fin"])
    assert store.get(old.id) == old


def test_an_edit_cannot_revive_a_rejected_call_and_meets_an_open_one(store):
    no = ask(store, {"amount": 1, "to": "B"})
    store.reject(no.id, by="kim", groups=["fin"])
    there = ask(store, {"amount": 2, "to": "B"})
    old = ask(store)
    with pytest.raises(AnswerRefused, match="rejected before"):
        edit(store, old, 1)
    assert store.get(old.id) == old
    assert edit(store, old, 2) == there
    assert store.get(old.id).successor == there.id


def test_what_changed_is_not_shared_with_the_caller(store):
    old = ask(store, {"amount": [1]})
    args = {"amount": [2]}
    new = store.edit(old.id, args, by="lee", groups=["fin"])
    args["amount"].append(3)
    assert store.get(new.id).args == {"amount": [2]}


def test_once_told_an_agent_makes_the_call_itself(store):
    old = ask(store)
    new = edit(store, old, 20)
    store.approve(new.id, by="kim", groups=["fin"])
    assert store.tell(old.id).told
    assert store.tell(old.id) == store.get(new.id), "telling twice is telling once"
    with pytest.raises(ApprovalRejected, match="itself"):
        store.consume(new.id, new.call_key, (), resumed=True)
    assert store.consume(new.id, new.call_key, [FIN]).state is ApprovalState.CONSUMED
    assert store.tell(old.id).state is ApprovalState.CONSUMED


def test_a_resumed_one_is_not_told_of_as_open(store):
    old = ask(store)
    new = edit(store, old, 20)
    store.approve(new.id, by="kim", groups=["fin"])
    store.consume(new.id, new.call_key, (), resumed=True)
    assert not store.tell(old.id).told


# ------------------------------------------------------------------------------- proposals


def test_a_proposal_is_kept_once_and_is_no_open_request(store, clock):
    one = propose(store)
    assert (one.state, one.about) == (ApprovalState.PROPOSED, "proposal")
    assert propose(store) == one
    assert store.find(key({"amount": 5})) is None, "the call itself asks for itself"
    assert one.call_key == one.key_of_shown() == key_about("proposal", key({"amount": 5}))
    assert store.list(ApprovalState.PENDING) == ()
    clock.advance(8 * 24 * 3600)
    assert store.get(one.id).state is ApprovalState.EXPIRED
    assert propose(store).id != one.id


def test_proposals_of_a_run_are_bounded(clock):
    store = ApprovalService(MemoryRequests(), clock)
    kept = [propose(store, amount) for amount in range(MOST_PROPOSED + 5)]
    assert kept[-5:] == [None] * 5
    assert None not in kept[:-5]
    ask(store)  # they take no place of requests


def test_accepting_makes_a_request_for_a_run_that_enforces(store):
    proposal = propose(store)
    with pytest.raises(AnswerRefused, match="accepting"):
        store.approve(proposal.id, by="kim", groups=["operations"])
    new = store.accept(proposal.id, by="kim", groups=["operations"], reason="as a human would")
    old = store.get(proposal.id)
    assert (old.state, old.successor) == (ApprovalState.ACCEPTED, new.id)
    assert (new.state, new.origin, new.about) == (ApprovalState.PENDING, old.id, "call")
    assert new.args == old.args
    assert [each.mode for each in new.lineage] == ["enforce", "enforce"]
    assert [each.agent for each in new.lineage] == ["lead", "billing"]
    assert not {each.id for each in new.lineage} & {"top", "r"}
    assert [each.limits for each in new.lineage] == [{"calls": 4}, {"usd": 1_000_000}]
    assert new.lineage[0].labels == ("night",)
    assert new.run_id == new.lineage[-1].id
    assert new.call_key == new.key_of_shown()
    with pytest.raises(AnswerRefused, match="accepted"):
        store.accept(proposal.id, by="lee", groups=["operations"])
    assert propose(store).id == proposal.id, "what was accepted is not proposed again"


def test_a_proposal_is_accepted_by_whom_its_call_would_be_put_to(store):
    proposal = propose(store, demands=(FIN,))
    for by, group, said in [
        ("kim", "operations", "none of the groups"),
        ("ann@x.example", "fin", "made the request"),
    ]:
        with pytest.raises(AnswerRefused, match=said):
            store.accept(proposal.id, by=by, groups=[group])
    assert store.accept(proposal.id, by="lee", groups=["fin"]).demands == (FIN,)


def test_a_dismissed_proposal_stays_dismissed(store):
    proposal = propose(store)
    store.reject(proposal.id, by="kim", groups=["operations"], reason="no")
    assert propose(store).state is ApprovalState.REJECTED
    with pytest.raises(AnswerRefused, match="rejected"):
        store.accept(proposal.id, by="kim", groups=["operations"])


def test_only_a_proposal_is_accepted_and_only_a_call_edited(store):
    with pytest.raises(AnswerRefused, match="no proposal"):
        store.accept(ask(store).id, by="lee", groups=["fin"])
    with pytest.raises(AnswerRefused, match="about a proposal"):
        edit(store, propose(store), 9)


# ------------------------------------------------------------------------------- signatures


@pytest.fixture
def keyed(clock, tmp_path):
    mine = ApproverKey.make(tmp_path / "key")
    people = Approvers([Approver("lee@x.example", frozenset({"fin", "operations"}), mine.public)])
    return ApprovalService(SqliteRequests(tmp_path / "a.sqlite"), clock, approvers=people), mine


def signed(mine, request, **said):
    answer = Answer("lee@x.example", frozenset(), reason="", time=NOW, **said)
    return {"signature": mine.sign(request.digest, answer), "time": NOW}


def test_an_edit_counts_only_signed_for_those_very_arguments(keyed):
    store, mine = keyed
    old = ask(store)
    args, other = {"amount": 20, "to": "B"}, {"amount": 21, "to": "B"}
    right = signed(mine, old, approved=False, edit=edited_key(old, args))
    no = signed(mine, old, approved=False)
    for signature, given_args in [({}, args), (right, other), (no, args)]:
        with pytest.raises(AnswerRefused, match="not signed"):
            store.edit(old.id, given_args, by="lee@x.example", **signature)
    with pytest.raises(AnswerRefused, match="not signed"):  # an edit is no plain no either
        store.answer(old.id, by="lee@x.example", approve=False, **right)
    new = store.edit(old.id, args, by="lee@x.example", **right)
    yes = signed(mine, new, approved=True)
    after = store.answer(new.id, by="lee@x.example", approve=True, **yes)
    assert after.state is ApprovalState.APPROVED


def test_an_acceptance_counts_only_signed(keyed):
    store, mine = keyed
    proposal = propose(store)
    with pytest.raises(AnswerRefused, match="not signed"):
        store.accept(proposal.id, by="lee@x.example", groups=["operations"])
    signature = signed(mine, proposal, approved=True)
    assert store.accept(proposal.id, by="lee@x.example", **signature).origin == proposal.id


def test_an_edit_that_nobody_signed_is_told_to_no_agent(keyed):
    """The agent would hear that a person wants a call that somebody wrote into the store."""
    store, mine = keyed
    heard = []
    store.subscribe(lambda request, step: heard.append((request.id, step)))
    old, another = ask(store), ask(store, {"amount": 9, "to": "E"})
    made_up = Answer("lee@x.example", frozenset({"fin"}), False, "", NOW, edit=another.call_key)
    forged = replace(old, state=ApprovalState.EDITED, answers=(made_up,), successor=another.id)
    args = {"amount": 20, "to": "B"}
    right = signed(mine, old, approved=False, edit=edited_key(old, args))
    new = store.edit(old.id, args, by="lee@x.example", **right)
    edited = store.get(old.id)
    for there in (forged, replace(edited, successor=another.id)):
        store._table.put(there)
        for look in (store.tell, store.latest):
            with pytest.raises(ApprovalRejected, match="nobody who may"):
                look(old.id)
            assert heard[-1] == (old.id, "refused")
    store._table.put(edited)
    store._table.put(replace(new, args=another.args))
    with pytest.raises(ApprovalRejected, match="nobody who may"):
        store.tell(old.id)
    store._table.put(new)
    assert store.tell(old.id).id == new.id


def test_requests_that_stand_in_each_other_s_place_are_refused_and_not_followed(store):
    one = ask(store)
    other = edit(store, one, 20)
    back = Answer("lee", frozenset({"fin"}), False, "", NOW, edit=one.call_key)
    around = replace(other, state=ApprovalState.EDITED, answers=(back,), successor=one.id)
    store._table.put(around)
    with pytest.raises(ApprovalRejected, match="nobody who may"):
        store.tell(one.id)


def test_who_writes_another_run_into_the_store_loses_the_answers(keyed):
    store, mine = keyed
    old = ask(store)
    store.answer(old.id, by="lee@x.example", approve=True, **signed(mine, old, approved=True))
    there = store.get(old.id)
    looser = replace(there.lineage[-1], mode="observe", limits={})
    store._table.put(replace(there, lineage=(*there.lineage[:-1], looser)))
    with pytest.raises(Exception, match="lacks the approval"):
        store.consume(old.id, old.call_key, [FIN])


# ------------------------------------------------------------------------------- what differs


def test_the_last_similar_call_is_one_of_the_same_agent_and_tool_that_was_made(store):
    request = ask(store)
    assert store.similar(request) is None
    for amount in (7, 8):
        request = ask(store, {"amount": amount, "to": "B"})
        store.approve(request.id, by="kim", groups=["fin"])
        store.consume(request.id, request.call_key, [FIN])
    assert store.similar(ask(store)).args["amount"] == 8
    assert store.similar(request).args["amount"] == 7, "not itself"


def apply(value, found):
    """`value` with the changes made: what they say has to be enough."""
    for place, before, after in found:
        if not place:
            return after
        *way, last = [s.replace("~1", "/").replace("~0", "~") for s in place.split("/")[1:]]
        target = value
        for step in way:
            target = target[int(step) if type(target) is list else step]
        if type(target) is list:
            if after is ABSENT:
                target[int(last)] = ABSENT
            elif before is ABSENT:
                target.append(after)
            else:
                target[int(last)] = after
        elif after is ABSENT:
            del target[last]
        else:
            target[last] = after
    return _without_absent(value)


def _without_absent(value):
    if type(value) is list:
        return [_without_absent(item) for item in value if item is not ABSENT]
    if type(value) is dict:
        return {name: _without_absent(item) for name, item in value.items()}
    return value


@given(WORDS, WORDS)
def test_the_changes_are_what_differs(one, other):
    found = changes(one, other)
    assert (found == ()) is (canonical(one) == canonical(other))
    assert digest(apply(one, found)) == digest(other)


def test_true_is_not_one():
    assert changes({"a": 1}, {"a": True}) == (("/a", 1, True),)


def test_a_run_with_enough_open_requests_can_still_be_edited(store):
    request = ask(store, {"amount": 0, "to": "B"})
    for amount in range(1, 100):
        ask(store, {"amount": amount, "to": "B"})
    with pytest.raises(BudgetExceeded):
        ask(store)
    edit(store, request, 5000)
