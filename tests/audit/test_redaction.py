"""What must not be written is nowhere in the bytes of a record, and the line says where it was."""

from __future__ import annotations

import base64
import copy
import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.audit.secret_corpus import CORES, SECRETS

import guardrails as gr
from guardrails import testing
from guardrails.audit.jsonl import JsonLinesRecord
from guardrails.audit.lines import lines_of
from guardrails.audit.reading import read
from guardrails.audit.redaction import REDACTED, Redaction
from guardrails.audit.segments import SegmentRecord
from guardrails.errors import Reason
from guardrails.model.call import Event
from guardrails.model.decision import ApprovalDemand, Decision, Effect, Obligation
from guardrails.model.recording import ArgumentsKept, OnSecret, Recording, ToolRecording

KEY = b"k" * 32
TEXTS = st.text(max_size=8)


def encoded(text: str, how: str) -> str:
    match how:
        case "base64":
            return base64.b64encode(f"a {text} b".encode()).decode()
        case "hex":
            return f"a {text} b".encode().hex()
        case "percent":
            return quote(text, safe="")
        case "json":
            return json.dumps({"x": text})
        case _:
            return f"a {text} b"


@st.composite
def buried(draw):
    """A secret's core, its written form, and a JSON value with that at some depth, or as a key."""
    name = draw(st.sampled_from(sorted(SECRETS)))
    how = draw(st.sampled_from(["plain", "base64", "hex", "percent", "json"]))
    value = encoded(SECRETS[name], how)
    core = value if how in {"base64", "hex", "percent"} else CORES[name]
    made: object = value
    for step in draw(st.lists(st.sampled_from(["list", "dict", "key"]), max_size=5)):
        match step:
            case "list":
                made = [draw(TEXTS), made]
            case "dict":
                made = {"a": draw(TEXTS), "b": made}
            case _:
                made = {value: made}
    return core, made


def event(args, **more) -> Event:
    return Event(
        "call.started",
        1,
        "d",
        "r",
        "agent",
        "pay",
        "enforce",
        "allow",
        input={"args": args, "principal": None, "run": {"labels": []}},
        detail={},
        decided_by="policy",
    )._replace(**more)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(buried())
def test_no_secret_reaches_the_bytes_wherever_it_stands(case):
    core, value = case
    redaction = Redaction(key=KEY)
    for each in (
        event({"x": value}),
        event({}, reasons=(Reason("rule", f"because {value}"),)),
        event({}, approvals=(ApprovalDemand("rule", json.dumps(value), ("ops",)),)),
        event({}, detail={"message": [value]}),
        event({}, policy=Decision(Effect.DENY, (Reason("rule", str(value)),))),
        event({}, input={"args": {}, "principal": str(value), "run": {"labels": [str(value)]}}),
    ):
        assert json.dumps(core)[1:-1].encode() not in lines_of([each], redaction)


@given(buried())
def test_what_is_masked_is_named_and_nothing_else_changes(case):
    _, value = case
    args = {"order": "A-17", "x": value, "amount": 20}
    before = copy.deepcopy(args)
    document = Redaction(key=KEY).document(event(args))
    assert args == before, "the event is not changed"
    shown = document["input"]["args"]
    assert (shown["order"], shown["amount"]) == ("A-17", 20)
    assert document["masked"]
    for pointer in document["masked"]:
        target = document
        for token in pointer.split("/")[1:]:
            step = token.replace("~1", "/").replace("~0", "~")
            target = target[int(step)] if isinstance(target, list) else target[step]


@given(
    st.lists(
        st.one_of(
            buried().map(lambda case: event({"x": case[1]})),
            buried().map(lambda case: event({}, detail={"message": [case[1]]})),
            TEXTS.map(lambda text: event({"x": text, "password": text})),
            TEXTS.map(lambda text: event({"x": text * 20_000})),
            TEXTS.map(lambda text: event({"x": text}, effect=None)),
            TEXTS.map(
                lambda text: event({"x": text}, obligations=(Obligation("redact", "/args/x"),))
            ),
            st.just(event({"pad": "%41\\"}, reasons=(Reason("r", "%4"),))),
        ),
        max_size=8,
    )
)
def test_many_at_once_are_each_as_it_is_alone(events):
    redaction = Redaction(key=KEY)
    assert redaction.documents(events) == [redaction.document(each) for each in events]


def test_what_holds_no_secret_is_handed_on_as_it_is():
    args = {"order": "A-17", "items": [1, {"max_tokens": 5}]}
    document = Redaction().document(event(args))
    assert document["input"]["args"] is not None
    assert document["input"]["args"] == args
    assert "masked" not in document
    assert "erased" not in document


def test_equal_secrets_have_equal_digests_under_one_key_alone():
    secret = SECRETS["github-token"]
    one, two, other = (
        Redaction(key=key).document(event({"x": secret}))["input"]["args"]["x"]
        for key in (KEY, KEY, b"o" * 32)
    )
    assert one == two != other
    assert one.startswith("[redacted:github-token:")


def test_values_are_hidden_by_their_names():
    document = Redaction(key=KEY).document(
        event({"login": {"password": 1234, "user": "dana"}, "reset_password": True})
    )
    args = document["input"]["args"]
    assert args["login"]["password"].startswith("[redacted:named-secret:")
    assert args["login"]["user"] == "dana"
    assert args["reset_password"] is True
    assert document["masked"] == ["/input/args/login/password"]


def test_policys_redactions_come_first_and_say_nothing_of_the_value():
    hide = (Obligation("redact", "/args/to/iban"),)
    document = Redaction(key=KEY).document(
        event({"to": {"iban": "DE89", "name": "dana"}}, obligations=hide)
    )
    assert document["input"]["args"] == {"to": {"iban": REDACTED, "name": "dana"}}
    assert document["masked"] == ["/input/args/to/iban"]
    assert document["obligations"] == [{"type": "redact", "path": "/args/to/iban"}]


@pytest.mark.parametrize("tool", ["pay", "other"])
def test_a_tools_arguments_are_kept_as_it_is_said(tool):
    recording = Recording(
        ToolRecording(ArgumentsKept.NONE), {"pay": ToolRecording(ArgumentsKept.DIGEST)}
    )
    document = Redaction(recording, KEY).document(event({"to": "dana", "n": 1}, tool=tool))
    assert "dana" not in repr(document)
    if tool == "pay":
        assert set(document["input"]["args"]) == {"to", "n"}
        assert document["masked"] == ["/input/args/to", "/input/args/n"]
    else:
        assert "args" not in document["input"]
        assert document["erased"] == ["/input/args"]


def test_before_a_decision_no_argument_is_shown():
    document = Redaction().document(event({"x": "plain"}, effect=None, decided_by=None))
    assert "plain" not in repr(document)
    assert document["erased"] == ["/input/args"]


@gr.governed_tool(name="pay", operation="write")
def pay(note: str) -> str:
    return note


@pytest.mark.parametrize("kind", ["file", "segments"])
def test_a_governed_call_leaves_no_secret_on_the_disk(tmp_path, kind):
    secret = SECRETS["anthropic-key"]
    record = (
        JsonLinesRecord(tmp_path / "r.jsonl")
        if kind == "file"
        else SegmentRecord(tmp_path / "record", window=0.01)
    )
    with testing.governor(record=record).run("agent", principal=f"dana {secret}"):
        assert pay(f"use {secret}") == f"use {secret}", "the tool gets what was passed"
    record.close()
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert all(secret.encode() not in each.read_bytes() for each in files)
    path = tmp_path / ("r.jsonl" if kind == "file" else "record")
    started = next(each for each in read(path) if each["kind"] == "call.started")
    assert "/input/args/note" in started["masked"]


def test_a_secret_can_be_a_refusal_before_the_decision():
    asked = []

    def decide(document):
        asked.append(document)
        return Decision(Effect.ALLOW)

    guard = Redaction(Recording(tools={"pay": ToolRecording(secrets=OnSecret.REFUSE)}))
    its = testing.governor(decide, secrets=guard.refused)
    secret = SECRETS["github-token"]
    with testing.run(governor=its):
        pay("plain")
        with pytest.raises(gr.CallDenied, match="github-token at /args/note") as refused:
            pay(f"use {secret}")
        with pytest.raises(gr.CallDenied):
            its.decide(pay, {"note": secret})
    assert secret not in refused.value.explain()
    assert len(asked) == 1
    assert secret not in repr(its.record.documents)
