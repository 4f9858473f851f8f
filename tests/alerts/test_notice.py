"""A notice can always be written as JSON, on one line, and says whom it concerns."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.model.notice import Notice, NoticeKind, Severity, Undelivered

texts = st.text() | st.text(st.characters(codec=None), max_size=2_000)
facts = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=4)


def notice(**words):
    given_words = {
        "id": "n-1",
        "kind": NoticeKind.KILL,
        "severity": Severity.CRITICAL,
        "title": "agent/billing was killed",
        "time": 1_767_225_600_123_456_789,
        "environment": "prod",
    }
    return Notice(**{**given_words, **words})


def test_its_json_form():
    made = notice(
        facts={"scope": "agent/billing", "reason": "it loops", "by": "dana"},
        agent="billing",
        whom={"owner": "dana@acme.example", "on_call": "#billing"},
    )
    assert json.loads(made.json()) == made.document()
    assert made.document() == {
        "version": 1,
        "type": "guardrails.kill",
        "timestamp": "2026-01-01T00:00:00.123Z",
        "data": {
            "id": "n-1",
            "severity": "critical",
            "title": "agent/billing was killed",
            "environment": "prod",
            "agent": "billing",
            "run_id": None,
            "notify": {"owner": "dana@acme.example", "on_call": "#billing"},
            "facts": {"scope": "agent/billing", "reason": "it loops", "by": "dana"},
        },
    }


@given(texts, facts, texts, texts)
def test_whatever_texts_it_holds_it_is_one_line_of_printable_ascii(title, facts, agent, whom):
    line = notice(title=title, facts=facts, agent=agent, whom={"owner": whom}).json()
    assert line.isascii()
    assert line.isprintable()
    data = json.loads(line)["data"]
    assert len(data["title"]) <= 10_000
    for text in (data["title"], data["agent"], data["notify"]["owner"], *data["facts"]):
        assert text.isprintable()
        text.encode()


def test_a_fact_of_another_type_is_its_text():
    made = notice(facts={"used": Decimal("4.10"), "none": None, "all": True, "part": 0.5})
    assert made.facts == {"used": "4.10", "none": None, "all": True, "part": "0.5"}
    assert json.loads(made.json())["data"]["facts"]["used"] == "4.10"


def test_a_notice_is_frozen():
    made = notice(facts={"a": 1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.title = "other"
    with pytest.raises(TypeError):
        made.facts["a"] = 2


def test_a_change_of_the_callers_facts_does_not_reach_it():
    own = {"a": 1}
    made = notice(facts=own)
    own["a"] = 2
    assert made.facts == {"a": 1}


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_has_a_severity(kind):
    assert kind.severity in Severity


def test_what_was_not_delivered_says_which_notice_which_sink_and_why():
    assert Undelivered(notice(), "pager", "it answered 500", 8).document() == {
        "notice_id": "n-1",
        "notice_kind": "kill",
        "title": "agent/billing was killed",
        "sink": "pager",
        "reason": "it answered 500",
        "attempts": 8,
    }
