"""A request's text and its digests: written fast and read fast, as the plain way does it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.approvals.stores.text import request_of, text_of
from guardrails.model.approval import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    ApprovalStep,
    Escalation,
    key_about,
)
from guardrails.model.canonical import NotExactJSON, call_key, canonical, digest
from guardrails.model.decision import ApprovalDemand
from guardrails.model.exact_text import read_exact
from guardrails.model.lineage import RunTerms, terms_of

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['"', "\\", "\b\f\n\r\t\x00\x1f\x7f", "\u2028\u2029", "\U0001f600\ufb33", "</script>"]
)
whole = st.integers(-(2**70), 2**70)
numbers = whole | st.decimals(allow_nan=False, allow_infinity=False, places=6)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
amounts = st.dictionaries(texts, whole, max_size=2)
terms = st.builds(
    RunTerms,
    texts,
    texts,
    texts,
    labels=st.lists(texts, max_size=2).map(tuple),
    limits=amounts,
    left=amounts,
)
demands = st.builds(
    ApprovalDemand, texts, texts, st.lists(texts, max_size=3).map(tuple), whole, whole
)
answers = st.builds(
    Answer,
    texts,
    st.frozensets(texts, max_size=3),
    st.booleans(),
    texts,
    whole,
    texts,
    texts,
    texts,
    st.frozensets(texts, max_size=3),
    texts,
)
maybe = st.none() | texts
requests = st.builds(
    ApprovalRequest,
    id=texts,
    call_key=texts,
    state=st.sampled_from(ApprovalState),
    demands=st.lists(demands, max_size=2).map(tuple),
    tool=texts,
    agent=texts,
    run_id=texts,
    principal=maybe,
    args=st.dictionaries(texts, values, max_size=3),
    revision=texts,
    created=whole,
    expires=whole,
    about=st.sampled_from(["call", "budget", "proposal", "escalation"]),
    nonce=texts,
    idempotency_key=texts,
    escalation=st.lists(st.builds(Escalation, texts, whole, texts), max_size=2).map(tuple),
    answers=st.lists(answers, max_size=2).map(tuple),
    steps=st.lists(st.builds(ApprovalStep, texts, whole, texts, texts, texts), max_size=2).map(
        tuple
    ),
    previous=maybe,
    previous_outcome=maybe,
    outcome=maybe,
    question=texts,
    lineage=st.lists(terms, max_size=2).map(tuple),
    origin=maybe,
    successor=maybe,
    told=st.booleans(),
    decision_id=texts,
)


def written_plainly(request: ApprovalRequest) -> str:
    """The text of a request by Python's own writer, as every release wrote it."""

    def plain(value: object) -> object:
        if isinstance(value, frozenset):
            return sorted(value)
        return list(value) if isinstance(value, tuple) else value

    def objects(items: tuple[Any, ...]) -> list[dict[str, object]]:
        return [
            {each.name: plain(getattr(item, each.name)) for each in fields(item)} for item in items
        ]

    document = {each.name: getattr(request, each.name) for each in fields(request)}
    del document["args"], document["lineage"]
    document["state"] = request.state.value
    for name in ("demands", "escalation", "answers", "steps"):
        document[name] = objects(document[name])
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    args = canonical(dict(request.args)).decode()
    lineage = canonical([each.document() for each in request.lineage]).decode()
    return f'{text[:-1]},"args":{args},"lineage":{lineage}}}'


def read_plainly(text: str) -> ApprovalRequest:
    """The request of a text by Python's own reader, without a look at its types."""
    document = read_exact(text)
    document["state"] = ApprovalState(document["state"])
    document["demands"] = tuple(
        ApprovalDemand(**{**each, "approvers": tuple(each["approvers"])})
        for each in document["demands"]
    )
    document["escalation"] = tuple(Escalation(**each) for each in document["escalation"])
    sets = ("groups", "vouched")
    document["answers"] = tuple(
        Answer(**{**each, **{name: frozenset(each[name]) for name in sets if name in each}})
        for each in document["answers"]
    )
    document["steps"] = tuple(ApprovalStep(**each) for each in document["steps"])
    document["lineage"] = tuple(map(terms_of, document.get("lineage", ())))
    return ApprovalRequest(**document)


def key_of(request: ApprovalRequest) -> str:
    args = dict(request.args)
    if request.about == "budget":
        return digest({"about": "budget", "args": args})
    key = call_key(request.tool, args, request.agent, request.principal, request.run_id)
    return key_about(request.about, key, request.question)


@given(requests)
def test_a_text_is_the_one_that_python_s_own_writer_writes(request_):
    assert text_of(request_) == written_plainly(request_)


@given(requests)
def test_a_text_is_read_as_python_s_own_reader_reads_it(request_):
    text = written_plainly(request_)
    assert request_of(text) == read_plainly(text) == request_


@given(requests, st.randoms(use_true_random=False))
def test_so_is_one_that_somebody_else_wrote(request_, random):
    """Names in another order, and blanks between: not the text that is written here."""

    def shuffled(value: object) -> object:
        if isinstance(value, dict):
            names = list(value)
            random.shuffle(names)
            return {name: shuffled(value[name]) for name in names}
        return list(map(shuffled, value)) if isinstance(value, list) else value

    plain = replace(request_, args={}, lineage=())
    text = json.dumps(shuffled(json.loads(written_plainly(plain))))
    assert request_of(text) == read_plainly(text) == plain


@given(requests)
def test_an_older_release_s_text_lacks_what_is_younger(request_):
    document = json.loads(written_plainly(replace(request_, args={})))
    for younger in ("decision_id", "told", "origin", "successor", "lineage", "question"):
        del document[younger]
    for answer in document["answers"]:
        for younger in ("server", "vouched", "edit"):
            del answer[younger]
    text = json.dumps(document)
    assert request_of(text) == read_plainly(text)


@given(requests)
def test_digests_are_those_of_the_document_that_is_shown(request_):
    sealed = {
        "call_key": request_.call_key,
        "nonce": request_.nonce,
        "revision": request_.revision,
        "shown": request_.shown(),
    }
    assert request_.digest == digest(sealed) == request_.seal().digest
    assert request_.key_of_shown() == key_of(request_) == request_.seal().key_of_shown


SOME = ApprovalRequest(
    id="ap-1",
    call_key="k",
    state=ApprovalState.APPROVED,
    demands=(ApprovalDemand("money", "over 1000", ("fin",)),),
    tool="pay",
    agent="billing",
    run_id="r",
    principal=None,
    args={"amount": Decimal("1.5"), "to": {"iban": "DE1"}},
    revision="v1",
    created=1,
    expires=2,
    escalation=(Escalation("fin", 60, "board"),),
    answers=(Answer("lee", frozenset({"fin"}), approved=True, reason="", time=1),),
    steps=(ApprovalStep("requested", 1),),
    lineage=(RunTerms("r", "billing", "enforce", limits={"usd": 1}, left={"usd": 1}),),
)


@pytest.mark.parametrize("wrong", [1.5, "\ud800", b"x", object(), {1: 2}, (), [1.0]])
@pytest.mark.parametrize("name", ["id", "nonce", "tool", "created", "question", "previous"])
def test_what_is_no_exact_json_has_no_digest(name, wrong):
    with pytest.raises(NotExactJSON):
        replace(SOME, **{name: wrong}).seal()


def objects_in(text: str) -> list[int]:
    """Where the objects of a text begin, the whole one first."""
    return [place for place, character in enumerate(text) if character == "{"]


@pytest.mark.parametrize("place", objects_in(text_of(SOME)))
def test_a_name_that_stands_twice_is_refused_wherever_it_stands(place):
    text = text_of(SOME)
    name, value = json.JSONDecoder().raw_decode(text, place)[0].popitem()
    doubled = f"{text[: place + 1]}{json.dumps(name)}:{json.dumps(value)},{text[place + 1 :]}"
    json.loads(doubled)  # another reader takes it
    with pytest.raises(ValueError, match="twice"):
        request_of(doubled)


@pytest.mark.parametrize("where", ["demands", "escalation", "answers", "steps", "lineage", None])
def test_a_name_that_nobody_knows_is_refused_wherever_it_stands(where):
    document = json.loads(text_of(replace(SOME, args={})))
    request_of(json.dumps(document))
    (document if where is None else document[where][0])["more"] = 1
    with pytest.raises(ValueError, match="no approval request"):
        request_of(json.dumps(document))


@pytest.mark.parametrize("wrong", [1.5, True, None, "1", {}, [], [1]])
@pytest.mark.parametrize("field", fields(ApprovalRequest), ids=lambda each: each.name)
def test_a_value_of_another_type_is_refused(field, wrong):
    document = json.loads(text_of(replace(SOME, args={})))
    kinds = {type(document[field.name])}
    if "None" in field.type:
        kinds = {str, type(None)}
    if type(wrong) in kinds and wrong != [1] and field.name != "state":
        return  # it is of the right type
    document[field.name] = wrong
    with pytest.raises(ValueError, match="no approval request"):
        request_of(json.dumps(document))


@pytest.mark.parametrize("text", ["", "1", "[]", "null", "{}", "{", '"x"', "{}{}", "[" * 99_999])
def test_what_is_no_request_is_refused(text):
    with pytest.raises(ValueError, match="no approval request"):
        request_of(text)


@pytest.mark.parametrize("number", ["1e9999999999999999999", "NaN", "Infinity", "-Infinity", "01"])
def test_a_number_that_is_none_is_refused(number):
    text = text_of(SOME).replace("1.5", number)
    with pytest.raises(ValueError, match="no approval request"):
        request_of(text)
