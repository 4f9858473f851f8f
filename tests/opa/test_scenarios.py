"""Every way in which a server can fail refuses, the same for threads and for coroutines.

One table of scenarios; each runs through both shells, over TCP and over a Unix socket.
"""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal

import pytest
from tests.opa.chaos import ALLOW, PROVENANCE, answer, chaos, chunked, gzipped

from guardrails.engines.sidecar import SidecarEngine
from guardrails.errors import EvaluationError, PolicyUnavailable
from guardrails.model.decision import MalformedDecision

LIMIT = 20_000
GENEROUS = 30.0
"""Seconds that are far more than any deadline in here, on any machine."""

OK = json.dumps({"provenance": PROVENANCE, "result": ALLOW}).encode()


def replies(*parts: bytes, then="close"):
    """A script that answers each request with the same parts."""

    def script(peer):
        while peer.request() is not None:
            for part in parts:
                peer.send(part)
            if then == "close":
                return
            if then == "reset":
                peer.reset()
                return
            if then == "silence":
                peer.wait(GENEROUS)
                return

    return script


def error(code, *, outer="internal_error", status="500 Internal Server Error", **more):
    inner = {"code": code, "message": "div: divide by zero", **more}
    return answer({"code": outer, "message": "m", "errors": [inner]}, status=status)


def drip(peer):
    peer.request()
    for byte in answer():
        peer.send(bytes([byte]))
        peer.wait(0.05)


def drip_body(peer):
    peer.request()
    peer.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    )
    for _ in range(10_000):
        peer.send(b" ")
        if peer.over.wait(0.05):
            return


def endless_head(peer):
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        peer.send(b"X-%d: %b\r\n" % (number, b"x" * 500))


def half_closed(peer):
    """Takes the request, closes its sending side alone."""
    peer.request()
    peer.socket.shutdown(1)
    peer.wait(GENEROUS)


def provided(**provenance):
    return answer({"provenance": {**PROVENANCE, **provenance}, "result": ALLOW})


DECIDED = "allow by b@7"
SCENARIOS = {
    # answers
    "whole": (replies(answer(), then="keep"), DECIDED),
    "in chunks": (replies(chunked(OK[:10], OK[10:11], OK[11:]), then="keep"), DECIDED),
    "in pieces": (replies(*(answer()[i : i + 7] for i in range(0, 500, 7))), DECIDED),
    "gzip unasked": (
        replies(answer(gzipped(OK), headers="Content-Encoding: gzip\r\n")), DECIDED,
    ),
    "with an interim response": (
        replies(b"HTTP/1.1 103 E\r\nContent-Type: text/plain\r\n\r\n" + answer()), DECIDED,
    ),
    "with a charset": (replies(answer(kind="Application/JSON; charset=utf-8")), DECIDED),
    "HTTP/1.0": (replies(answer().replace(b"HTTP/1.1", b"HTTP/1.0")), DECIDED),
    # OPA's other outcomes
    "undefined": (replies(answer({"provenance": PROVENANCE})), "malformed"),
    "no decision": (
        replies(answer({"provenance": PROVENANCE, "result": {"effect": "allow"}})), "malformed",
    ),
    "a bare true": (replies(answer({"provenance": PROVENANCE, "result": True})), "malformed"),
    "builtin error": (replies(error("eval_builtin_error")), "eval_builtin_error"),
    "conflict": (
        replies(error("eval_conflict_error", location={"file": "a.rego", "row": 3, "col": 1})),
        "eval_conflict_error",
    ),
    "evaluation given up": (replies(error("eval_cancel_error")), "server error"),
    # versions
    "too old": (replies(provided(version="1.16.9")), "OPA too old"),
    "much too old": (replies(provided(version="0.70.0")), "OPA too old"),
    "no version": (replies(answer({"result": ALLOW})), "OPA too old"),
    "strange version": (replies(provided(version="edge")), "OPA too old"),
    "provenance of another type": (
        replies(answer({"provenance": [], "result": ALLOW})), "no answer of an OPA",
    ),
    "bundles of another type": (
        replies(provided(bundles={"b": {"revision": 7}})), "no answer of an OPA",
    ),
    # statuses
    "500 of a proxy": (
        replies(answer(b"oops", status="500 Oops", kind="text/html")), "server error",
    ),
    "500 without errors": (
        replies(answer({"code": "internal_error", "message": "m"}, status="500 E")),
        "server error",
    ),
    "500 of another kind": (replies(error("rego_type_error")), "server error"),
    "500 with errors of another type": (
        replies(answer({"code": "x", "errors": "eval_"}, status="500 E")), "server error",
    ),
    "503": (replies(answer({}, status="503 S")), "server error"),
    "404": (replies(answer({}, status="404 N")), "server error"),
    "400": (replies(answer({"code": "invalid_parameter"}, status="400 B")), "request rejected"),
    "401": (replies(answer({"code": "unauthorized"}, status="401 U")), "not authorized"),
    "403": (replies(answer({}, status="403 F")), "not authorized"),
    "redirect": (
        replies(answer({}, status="307 T", headers="Location: http://127.0.0.1:9/\r\n")),
        "redirected",
    ),
    "redirect with an answer": (replies(answer(status="302 Found")), "redirected"),
    "204": (replies(b"HTTP/1.1 204 No Content\r\n\r\n"), "no answer of an OPA"),
    "another 2xx with an answer": (replies(answer(status="203 N")), "no answer of an OPA"),
    "101": (
        replies(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        "no answer of an OPA",
    ),
    # garbage
    "garbage": (replies(b"\x00\x01garbage\r\n\r\n"), "no answer of an OPA"),
    "another protocol": (replies(b"SSH-2.0-OpenSSH_9.6\r\n"), "no answer of an OPA"),
    "text": (replies(answer(b"allow", kind="text/plain")), "no answer of an OPA"),
    "JSON that is called text": (replies(answer(kind="text/plain")), "no answer of an OPA"),
    "no content type": (
        replies(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), "no answer of an OPA",
    ),
    "no JSON": (replies(answer(b'{"result": ')), "no answer of an OPA"),
    "no UTF-8": (replies(answer(b'{"result": "\xff"}')), "no answer of an OPA"),
    "NaN": (replies(answer(b'{"result": NaN}')), "no answer of an OPA"),
    "a number too large": (replies(answer(b'{"result": 1e99999999999999999999}')), "no answer of"),
    "deep": (replies(answer(b'{"result": ' + b"[" * 9000)), "no answer of an OPA"),
    "an array": (replies(answer(b"[]")), "no answer of an OPA"),
    "nothing": (replies(answer(b"")), "no answer of an OPA"),
    "a value and an error": (
        replies(answer({"provenance": PROVENANCE, "result": ALLOW, "code": "x"})),
        "no answer of an OPA",
    ),
    "no gzip": (
        replies(answer(OK, headers="Content-Encoding: gzip\r\n")), "no answer of an OPA",
    ),
    "truncated gzip": (
        replies(answer(gzipped(OK)[:-9], headers="Content-Encoding: gzip\r\n")),
        "no answer of an OPA",
    ),
    "gzip and more": (
        replies(answer(gzipped(OK) + b"x", headers="Content-Encoding: gzip\r\n")),
        "no answer of an OPA",
    ),
    "another encoding": (
        replies(answer(OK, headers="Content-Encoding: br\r\n")), "no answer of an OPA",
    ),
    "two lengths": (
        replies(answer(headers=f"Content-Length: {len(OK) - 1}\r\n")), "no answer of an OPA",
    ),
    "a length and chunks": (
        replies(answer(headers="Transfer-Encoding: chunked\r\n")), "no answer of an OPA",
    ),
    "a bad chunk": (replies(chunked(end=b"zz\r\n")), "no answer of an OPA"),
    "two answers to one request": (replies(answer() + answer()), "no answer of an OPA"),
    "an answer and garbage": (replies(answer() + b"x"), "no answer of an OPA"),
    # too large
    "too large": (replies(answer(b" " * (LIMIT + 1) + OK)), "answer too large"),
    "far too large": (replies(answer(b" " * (LIMIT * 20))), "answer too large"),
    "a gzip bomb": (
        replies(answer(gzipped(b" " * (LIMIT * 50)), headers="Content-Encoding: gzip\r\n")),
        "answer too large",
    ),
    "endless headers": (endless_head, "too large|no answer of an OPA"),
    # ends
    "closed unanswered": (replies(), "connection closed"),
    "reset unanswered": (replies(then="reset"), "connection closed"),
    "half-closed": (half_closed, "connection closed"),
    "truncated head": (replies(b"HTTP/1.1 200 OK\r\nConte"), "connection closed"),
    "truncated": (replies(answer()[:-5]), "connection closed"),
    "truncated by a reset": (replies(answer()[:-5], then="reset"), "connection closed"),
    "truncated chunks": (replies(chunked(OK, end=b"")), "connection closed"),
    "without a length": (
        replies(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + OK),
        "connection closed",
    ),
    # time
    "silence": (replies(then="silence"), "deadline passed"),
    "half an answer, then silence": (replies(answer()[:50], then="silence"), "deadline passed"),
    "dripping": (drip, "deadline passed"),
    "dripping a body": (drip_body, "deadline passed"),
    "interim responses for ever": (
        replies(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 10, then="silence"), "deadline passed",
    ),
}  # fmt: skip


def ask(engine, shell, document=None, decision_id="d-1"):
    document = document or {"x": 1}
    if shell == "sync":
        return engine.decide(document, decision_id)
    return asyncio.run(engine.decide_async(document, decision_id))


def verdict(engine, shell):
    try:
        decision = ask(engine, shell)
    except PolicyUnavailable as refused:
        trouble = engine.status().last_error.partition(":")[0]
        named = refused.decision_id == "d-1" and trouble in refused.message
        return refused.message.partition("gave no decision: ")[2] if named else "not named"
    except EvaluationError as failed:
        return failed.code
    except MalformedDecision:
        return "malformed"
    assert decision.decision_id == "d-1"
    return f"{decision.effect} by {decision.revision}"


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("shell", ["sync", "async"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario(name, shell, kind):
    script, expected = SCENARIOS[name]
    deadline = 0.3 if "deadline" in expected else GENEROUS
    with chaos(script, kind) as server:
        engine = SidecarEngine(server.address, deadline=deadline, answer_limit=LIMIT)
        began = time.monotonic()
        found = verdict(engine, shell)
        assert any(word in found for word in expected.split("|")), found
        assert time.monotonic() - began < GENEROUS
        assert server.connections == 1, "nothing but a stale connection is tried twice"
        engine.close()


@pytest.mark.parametrize("shell", ["sync", "async"])
def test_an_evaluation_error_names_its_place(shell):
    script, _ = SCENARIOS["conflict"]
    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS)
        with pytest.raises(EvaluationError, match=r"a\.rego:3: eval_conflict_error: div") as caught:
            ask(engine, shell)
        assert (caught.value.file, caught.value.row) == ("a.rego", 3)


def echo(peer):
    """Gives each request's input back as a transform's value."""
    while (asked := peer.request()) is not None:
        transform = {"type": "transform", "path": "/args/x", "value": None}
        text = json.dumps(
            {"provenance": PROVENANCE, "result": {**ALLOW, "obligations": [transform]}}
        )
        peer.send(answer(text.replace("null", asked["input"]["text"]).encode()))


@pytest.mark.parametrize("shell", ["sync", "async"])
@pytest.mark.parametrize(
    "text",
    ["9007199254740993", "0.1000000000000000055511151231257827", "1E+400", "1" * 400, "-0.0"],
)
def test_no_number_of_an_answer_is_rounded(shell, text):
    with chaos(echo) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS)
        value = ask(engine, shell, {"text": text}).obligations[0].value
        assert Decimal(value).compare_total(Decimal(text)) == 0 or value == int(text)
        assert type(value) in (int, Decimal)
        engine.close()


@pytest.mark.parametrize("shell", ["sync", "async"])
def test_what_has_no_exact_text_is_not_sent(shell):
    with chaos(replies(answer())) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS)
        for value in (Decimal("NaN"), float("inf"), "\ud800", object(), {1, 2}):
            with pytest.raises(EvaluationError, match="input_error"):
                ask(engine, shell, {"value": value})
        assert server.connections == 0


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("shell", ["sync", "async"])
def test_nobody_listens(shell, kind):
    with chaos(replies(), kind) as server:
        pass
    engine = SidecarEngine(server.address, deadline=GENEROUS)
    assert verdict(engine, shell).startswith("cannot connect")
    assert engine.status().is_reachable is False


@pytest.mark.parametrize("shell", ["sync", "async"])
@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, "a..b"])
def test_a_host_that_is_not_known(shell, host):
    engine = SidecarEngine(f"http://{host}:8181", deadline=GENEROUS)
    assert verdict(engine, shell).startswith("cannot connect (the host is not known")


@pytest.mark.parametrize("shell", ["sync", "async"])
def test_a_name_is_looked_up(shell):
    with chaos(replies(answer())) as server:
        engine = SidecarEngine(server.address.replace("127.0.0.1", "localhost"), deadline=GENEROUS)
        assert verdict(engine, shell) == DECIDED
