"""Each refusal is one line on the logger, whatever its texts are; its level says how bad it is."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.secret_corpus import CORES, SECRETS

from guardrails import errors
from guardrails.audit.log import line_of, log_refusal
from guardrails.errors import CallDenied, Reason, Refusal, RunKilled


def every_refusal():
    found = [Refusal]
    for each in found:
        found.extend(each.__subclasses__())
    return found


@given(st.text(st.characters()), st.text(st.characters()))
def test_no_text_makes_a_second_line_or_another_field(message, tool):
    line = line_of(CallDenied(message, tool=tool))
    assert line.isprintable()
    assert line.isascii()
    start = 'denied tool="'
    assert line.startswith(start)
    decoder = json.JSONDecoder()
    found, end = decoder.raw_decode(line, len(start) - 1)
    assert found == tool
    assert line[end:].startswith(" message=")
    assert decoder.raw_decode(line, end + len(" message="))[0] == message[:512]


def test_the_line_says_who_what_where_and_why(caplog):
    caplog.set_level(logging.DEBUG, "guardrails")
    log_refusal(
        CallDenied(
            "no",
            tool="pay",
            agent="bot",
            run_id="r-1",
            decision_id="d-1",
            reasons=[Reason("access", "x"), Reason("budget", "y")],
        )
    )
    (record,) = caplog.records
    assert record.name == "guardrails"
    assert record.getMessage() == (
        'denied tool="pay" agent="bot" run="r-1" decision="d-1"'
        ' rules=["access","budget"] message="no"'
    )


@pytest.mark.parametrize("kind", every_refusal(), ids=lambda kind: kind.__name__)
def test_every_refusal_is_one_line(kind, caplog):
    caplog.set_level(logging.DEBUG, "guardrails")
    log_refusal(kind("why"))
    (record,) = caplog.records
    broken = {errors.PolicyError, errors.PolicyUnavailable, errors.StateUnavailable}
    quiet = {errors.CallShadowed, errors.ApprovalPending}
    level = logging.ERROR if kind in broken else logging.INFO if kind in quiet else logging.WARNING
    assert record.levelno == level


def test_a_kill_is_a_warning(caplog):
    log_refusal(RunKilled("stop", run_id="r-1", scope="run/r-1", tool="pay"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith('run_killed tool="pay" run="r-1" scope="run/r-1"')


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_no_secret_in_a_message_reaches_the_log(name):
    line = line_of(CallDenied(f"`pay` was refused: {SECRETS[name]}"))
    assert json.dumps(CORES[name])[1:-1] not in line
