"""Every notice reaches every sink that wants it, or is reported; whoever gives it never waits."""

from __future__ import annotations

import itertools
import logging
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.webhooks.receiver import receiver

from guardrails.alerts.dispatcher import Dispatcher, Route
from guardrails.alerts.sinks import CallbackSink, LogSink, WebhookSink
from guardrails.errors import ConfigError, DeliveryError
from guardrails.model.notice import Notice, NoticeKind, Severity
from guardrails.testing import FakeClock
from guardrails.webhooks import Secret, verify
from guardrails.webhooks.endpoint import Endpoint
from guardrails.webhooks.retries import RetryPolicy
from guardrails.webhooks.sender import WebhookSender

WAIT = 30


def notice(id="n-1", severity=Severity.WARNING, time=0):
    return Notice(id, NoticeKind.BUDGET, severity, "80 % used", time, "test")


class Holding:
    """A sink that delivers nothing before it is let go."""

    target = "nowhere"

    def __init__(self):
        self.entered = threading.Event()
        self.go = threading.Event()
        self.closed = threading.Event()
        self.sent: list[str] = []

    def send(self, notice):
        self.entered.set()
        assert self.go.wait(WAIT)
        self.sent.append(notice.id)
        return "sent"

    def close(self):
        self.closed.set()
        self.go.set()


def dispatcher(*routes, **words):
    made = Dispatcher(routes, **words)
    reports: list = []
    made.subscribe(reports.append)
    return made, reports


def callback(name, function, at_least=Severity.INFO):
    return Route(name, CallbackSink(function), at_least)


@given(
    st.lists(st.sampled_from(Severity), max_size=20),
    st.lists(st.sampled_from(Severity), min_size=1, max_size=3),
)
def test_each_sink_gets_its_severities_in_their_order(severities, thresholds):
    got: dict[str, list[str]] = {str(at): [] for at in range(len(thresholds))}
    made, reports = dispatcher(
        *(
            callback(name, lambda it, name=name: got[name].append(it.id), at_least)
            for name, at_least in zip(got, thresholds, strict=True)
        )
    )
    for at, severity in enumerate(severities):
        made.notify(notice(str(at), severity))
    made.close()
    for name, at_least in zip(got, thresholds, strict=True):
        assert got[name] == [str(at) for at, it in enumerate(severities) if it >= at_least]
    assert reports == []


def test_who_gives_a_notice_does_not_wait_for_any_sink():
    slow, got = Holding(), []
    done = threading.Event()

    def take(it):
        got.append(it.id)
        done.set()

    made, _ = dispatcher(Route("slow", slow), callback("quick", take))
    made.notify(notice())
    assert slow.entered.wait(WAIT)
    assert done.wait(WAIT)  # a sink that hangs holds up no other
    assert slow.sent == []
    slow.go.set()
    made.close()
    assert (slow.sent, got) == (["n-1"], ["n-1"])


def test_a_full_queue_is_counted_logged_and_reported(caplog):
    slow = Holding()
    made, reports = dispatcher(Route("slow", slow), capacity=2)
    made.notify(notice("first"))
    assert slow.entered.wait(WAIT)
    for at in range(5):
        made.notify(notice(str(at)))
    assert [(it.notice.id, it.attempts) for it in reports] == [("2", 0), ("3", 0), ("4", 0)]
    assert made.failed == {"slow": 3}
    assert "2 notices wait for this sink already" in reports[0].reason
    assert caplog.text.count("did not reach the sink `slow`") == 3
    slow.go.set()
    made.close()
    assert slow.sent == ["first", "0", "1"]


@pytest.mark.parametrize("raised", [ValueError("secret text"), SystemExit(3), KeyboardInterrupt()])
def test_a_sink_that_raises_is_reported_and_goes_on(raised):
    got = []

    def page(it):
        got.append(it.id)
        if it.id == "bad":
            raise raised

    made, reports = dispatcher(callback("pager", page))
    for id in ("bad", "good"):
        made.notify(notice(id))
    made.close()
    assert got == ["bad", "good"]
    ((report),) = reports
    assert (report.notice.id, report.sink) == ("bad", "pager")
    assert report.reason == f"it raised {type(raised).__name__}"


def test_a_webhook_that_gives_up_is_reported_with_its_attempts():
    clock = FakeClock()

    def wait(seconds):
        clock.advance(seconds)
        return False

    with receiver(500, 500, 204) as held:
        sender = WebhookSender(
            Endpoint(held.url, (Secret(b"k" * 32),)),
            clock=clock,
            retries=RetryPolicy(attempts=2),
            wait=wait,
        )
        made, reports = dispatcher(Route("hook", WebhookSink(sender, clock)))
        for id in ("lost", "kept"):
            made.notify(notice(id, time=clock.now_ns()))
        made.close()
    ((report),) = reports
    assert (report.notice.id, report.attempts) == ("lost", 2)
    assert "tried 2 times: it answered 500" in report.reason
    assert [headers["webhook-id"] for _, headers, _ in held.came] == ["lost", "lost", "kept"]
    assert b'"type":"guardrails.budget.threshold"' in held.came[-1][2]


def test_what_waited_behind_a_receiver_that_is_away_is_tried_once_each():
    clock = FakeClock()

    def wait(seconds):
        clock.advance(seconds)
        return False

    with receiver(503) as held:
        endpoint = Endpoint(held.url, (Secret(b"k" * 32),))
        sender = WebhookSender(endpoint, clock=clock, wait=wait, chance=lambda: 0.0)
        made, reports = dispatcher(Route("hook", WebhookSink(sender, clock)), drain=WAIT)
        began = clock.now_ns()
        for at in range(30):
            made.notify(notice(str(at), time=began - 60 * 10**9))
        made.close()
    tried = [it.attempts for it in reports]
    assert tried[0] == 8
    assert tried == sorted(tried, reverse=True)
    assert tried[8:] == [1] * 22
    assert (clock.now_ns() - began) / 1e9 == 240


def test_close_delivers_what_waits():
    got = []

    def take(it):
        time.sleep(0.001)
        got.append(it.id)

    made, reports = dispatcher(callback("slow", take))
    for at in range(100):
        made.notify(notice(str(at)))
    made.close()
    assert got == [str(at) for at in range(100)]
    assert reports == []


def test_close_is_bounded_and_reports_what_is_left():
    hold = Holding()
    hold.close = hold.closed.set  # it hangs on, closed or not
    made, reports = dispatcher(Route("stuck", hold), drain=0.05)
    made.notify(notice("under way"))
    assert hold.entered.wait(WAIT)
    made.notify(notice("waiting"))
    began = time.monotonic()
    made.close()
    assert time.monotonic() - began < WAIT
    assert hold.closed.is_set()
    assert [it.notice.id for it in reports] == ["under way", "waiting"]
    assert "may have arrived" in reports[0].reason
    hold.go.set()


def test_close_lets_a_sink_end_its_pauses_first():
    class Retrying(Holding):
        def close(self):
            self.closed.set()
            self.go.set()

        def send(self, notice):
            super().send(notice)
            raise DeliveryError("tried once: it answered 500", attempts=1)

    sink = Retrying()
    made, reports = dispatcher(Route("hook", sink), drain=0.05)
    made.notify(notice())
    assert sink.entered.wait(WAIT)
    made.close()
    assert [(it.reason, it.attempts) for it in reports] == [("tried once: it answered 500", 1)]


def test_what_comes_after_the_end_is_reported():
    made, reports = dispatcher(callback("pager", lambda _: None))
    made.close()
    made.close()
    made.notify(notice())
    assert [it.reason for it in reports] == ["it came after the end"]


def test_a_listener_that_fails_harms_nobody(caplog):
    def fail(_):
        raise OSError("disk full")

    def page(_):
        raise ValueError

    made = Dispatcher([callback("pager", page)])
    made.subscribe(fail)
    made.notify(notice())
    made.close()
    assert "could not be recorded" in caplog.text


@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 20))
def test_under_threads_every_notice_is_delivered_or_reported_once(threads, each, capacity):
    got: Counter[str] = Counter()
    made, reports = dispatcher(
        callback("pager", lambda it: got.update([it.id])), capacity=capacity, drain=WAIT
    )

    def give(thread):
        for at in range(each):
            made.notify(notice(f"{thread}-{at}"))

    workers = [threading.Thread(target=give, args=(at,)) for at in range(threads)]
    for worker in workers:
        worker.start()
    made.close()  # in the middle of it
    for worker in workers:
        worker.join(WAIT)
    got.update(it.notice.id for it in reports)
    assert got == {f"{thread}-{at}": 1 for thread in range(threads) for at in range(each)}


def test_a_forked_child_sends_its_own_notices_and_none_of_its_parents():
    code = """
import os, sys, threading
from guardrails.alerts.dispatcher import Dispatcher, Route
from guardrails.alerts.sinks import CallbackSink
from guardrails.model.notice import Notice, NoticeKind, Severity

go, entered = threading.Event(), threading.Event()
parent = os.getpid()

def page(notice):
    if os.getpid() == parent:
        entered.set()
        go.wait(30)
    os.write(1, f"{'parent' if os.getpid() == parent else 'child'} {notice.id}\\n".encode())

made = Dispatcher([Route("pager", CallbackSink(page))])
def give(id):
    made.notify(Notice(id, NoticeKind.TEST, Severity.INFO, "t", 0, "test"))
give("a"); entered.wait(30); give("b")
child = os.fork()
give("c" if child else "d")
if not child:
    made.close()
    os._exit(0)
os.waitpid(child, 0)
go.set()
made.close()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert sorted(done.stdout.splitlines()) == ["child d", "parent a", "parent b", "parent c"]
    assert done.stderr == ""


def test_the_end_of_a_process_delivers_what_waits():
    code = """
from guardrails.alerts.dispatcher import Dispatcher, Route
from guardrails.alerts.sinks import CallbackSink
from guardrails.model.notice import Notice, NoticeKind, Severity
made = Dispatcher([Route("out", CallbackSink(lambda notice: print(notice.id, flush=True)))])
for at in range(50):
    made.notify(Notice(str(at), NoticeKind.TEST, Severity.INFO, "t", 0, "test"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [str(at) for at in range(50)]


def test_a_signal_handler_may_give_a_notice_while_one_is_given():
    got: list[str] = []
    made, _ = dispatcher(
        callback("pager", lambda it: got.append(it.id)), drain=WAIT, capacity=10**6
    )
    numbers = itertools.count()
    main = threading.main_thread().ident
    assert threading.get_ident() == main
    handled, ended = threading.Event(), threading.Event()

    def give(*_):
        made.notify(notice(str(next(numbers))))  # one step in C, so no number comes twice

    def handle(*_):
        give()
        handled.set()

    def interrupt():
        for _ in range(100):
            handled.clear()
            signal.pthread_kill(main, signal.SIGUSR1)
            if not handled.wait(WAIT):
                break
        ended.set()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        threading.Thread(target=interrupt).start()
        while not ended.is_set():
            give()
    finally:
        signal.signal(signal.SIGUSR1, before)
    made.close()
    assert sorted(map(int, got)) == list(range(next(numbers)))


def test_two_sinks_of_one_name_are_an_error():
    with pytest.raises(ConfigError, match="two alert sinks are called `a`"):
        Dispatcher([callback("a", print), callback("a", print)])


def test_a_callback_is_a_plain_function():
    async def page(_):
        pass

    wrongs: tuple[Any, ...] = (page, "text", None)
    for wrong in wrongs:
        with pytest.raises(ConfigError, match="plain function"):
            CallbackSink(wrong)


def test_a_log_sink_writes_one_line_at_the_level_of_the_severity(caplog):
    caplog.set_level(logging.INFO)
    sink = LogSink("acme.alerts")
    for severity in Severity:
        sink.send(notice(severity=severity))
    levels = [record.levelno for record in caplog.records if record.name == "acme.alerts"]
    assert levels == [logging.INFO, logging.WARNING, logging.CRITICAL]
    assert '"type":"guardrails.budget.threshold"' in caplog.text


def test_a_webhook_carries_the_notice_under_its_id():
    clock = FakeClock()
    secret = Secret(b"k" * 32)
    with receiver(202) as held:
        sink = WebhookSink(WebhookSender(Endpoint(held.url, (secret,)), clock=clock), clock)
        assert sink.send(notice("n-7")).startswith("answered 202")
        assert "token" not in sink.target
    ((_, headers, body),) = held.came
    assert verify(headers, body, secret, now=clock.now_ns() / 1e9).id == "n-7"
    assert body.decode() == notice("n-7").json()
