"""Webhooks reach a real receiver, signed, whatever it does; and end where they must."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.webhooks.certificates import server_context
from tests.webhooks.receiver import cut, dribble, flood, garbage, receiver

from guardrails.errors import DeliveryError
from guardrails.testing import FakeClock
from guardrails.webhooks import Secret, verify
from guardrails.webhooks.endpoint import Endpoint
from guardrails.webhooks.retries import RetryPolicy
from guardrails.webhooks.sender import WebhookSender
from guardrails.webhooks.transport import Answer, NoAnswer

KEY = b"k" * 32
SECRET = Secret(KEY)
BODY = json.dumps({"kind": "test"}).encode()


class Pauses:
    """A clock by hand, and the pauses that were made."""

    def __init__(self):
        self.clock = FakeClock()
        self.made: list[float] = []

    def __call__(self, seconds):
        self.made.append(seconds)
        self.clock.advance(seconds)
        return False


def sender_to(url, pauses=None, retries=None, **words):
    pauses = pauses or Pauses()
    return WebhookSender(
        Endpoint(url, (SECRET,), **words),
        clock=pauses.clock,
        retries=retries,
        chance=lambda: 0.0,
        wait=pauses,
    )


def test_what_arrives_is_what_was_signed():
    pauses = Pauses()
    with receiver(204) as held:
        receipt = sender_to(held.url, pauses).send("n-1", BODY)
    assert (receipt.status, receipt.attempts) == (204, 1)
    ((path, headers, body),) = held.came
    assert (path, body) == ("/hook?token=hidden", BODY)
    now = pauses.clock.now_ns() // 10**9
    assert verify(headers, body, SECRET, now=now).id == "n-1"
    content = f"n-1.{headers['webhook-timestamp']}.".encode() + body
    independent = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{independent}"
    assert headers["Content-Type"] == "application/json"
    assert pauses.made == []


def test_a_failure_is_tried_again_under_the_same_id_and_signed_anew():
    pauses = Pauses()
    with receiver(500, 503, 200) as held:
        receipt = sender_to(held.url, pauses).send("n-1", BODY)
    assert (receipt.status, receipt.attempts) == (200, 3)
    assert pauses.made == [1.0, 2.0]
    assert receipt.seconds == 3.0
    times = [int(headers["webhook-timestamp"]) for _, headers, _ in held.came]
    assert times == [times[0], times[0] + 1, times[0] + 3]
    for (_, headers, body), now in zip(held.came, times, strict=True):
        assert verify(headers, body, SECRET, now=now).id == "n-1"


def test_it_gives_up_after_its_attempts_and_says_the_last_answer():
    with receiver((500, {}, b"kaputt")) as held, pytest.raises(DeliveryError) as caught:
        sender_to(held.url, retries=RetryPolicy(attempts=3)).send("n-1", BODY)
    error = caught.value
    assert len(held.came) == 3
    assert (error.attempts, error.status, error.out_of_reach) == (3, 500, False)
    assert error.answer == "kaputt"
    assert "tried 3 times: it answered 500" in str(error)
    assert "token" not in str(error)


def test_it_gives_up_where_its_time_is_over():
    with receiver(500) as held, pytest.raises(DeliveryError, match="tried 4 times"):
        sender_to(held.url, retries=RetryPolicy(attempts=20, window=10)).send("n-1", BODY)
    assert len(held.came) == 4  # at 0, 1, 3 and 7 seconds; the next would be at 15


@pytest.mark.parametrize("form", ["30", "Thu, 01 Jan 2026 00:00:30 GMT"])
def test_retry_after_is_honoured(form):
    pauses = Pauses()
    with receiver((429, {"Retry-After": form}, b""), 200) as held:
        sender_to(held.url, pauses).send("n-1", BODY)
    assert pauses.made == [30.0]


def test_gone_ends_it_at_once_and_for_good():
    with receiver(410) as held:
        sender = sender_to(held.url)
        with pytest.raises(DeliveryError, match="it answered 410"):
            sender.send("n-1", BODY)
        with pytest.raises(DeliveryError, match="410") as caught:
            sender.send("n-2", BODY)
    assert len(held.came) == 1
    assert caught.value.attempts == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status):
    with receiver(200) as elsewhere:
        answer = (status, {"Location": elsewhere.url}, b"")
        with receiver(answer) as held, pytest.raises(DeliveryError, match="not followed"):
            sender_to(held.url).send("n-1", BODY)
        assert len(held.came) == 1
    assert elsewhere.came == []


@pytest.mark.parametrize("fault", [cut, garbage])
def test_a_broken_answer_is_a_failure_and_tried_again(fault):
    with receiver(fault, 200) as held:
        assert sender_to(held.url).send("n-1", BODY).attempts == 2
    assert len(held.came) == 2


def test_a_receiver_that_does_not_answer_costs_one_timeout():
    release = threading.Event()

    def hang(_):
        release.wait(60)

    with receiver(hang) as held:
        began = time.monotonic()
        with pytest.raises(DeliveryError, match=r"no answer within 0\.3 seconds") as caught:
            sender_to(held.url, retries=RetryPolicy(attempts=1), timeout=0.3).send("n-1", BODY)
        assert time.monotonic() - began < 20
        release.set()
    assert caught.value.out_of_reach


def test_an_answer_that_dribbles_is_cut_at_the_end_of_its_time():
    ended = threading.Event()
    with receiver(dribble(ended)) as held:
        with pytest.raises(DeliveryError, match=r"no answer within 0\.5 seconds"):
            sender_to(held.url, retries=RetryPolicy(attempts=1), timeout=0.5).send("n-1", BODY)
        assert ended.wait(20)


def test_of_an_endless_body_only_the_beginning_is_read():
    with receiver(flood) as held:
        assert sender_to(held.url).send("n-1", BODY).status == 200


def test_nobody_there_is_out_of_reach():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(DeliveryError, match="refused") as caught:
            sender_to(url, retries=RetryPolicy(attempts=2)).send("n-1", BODY)
    assert (caught.value.attempts, caught.value.status) == (2, None)
    assert caught.value.out_of_reach


def test_clear_text_goes_to_this_machine_alone_whatever_a_name_leads_to(monkeypatch):
    """`localhost` is a name, and a resolver may be wrong."""
    monkeypatch.setattr(socket.socket, "getpeername", lambda _: ("203.0.113.7", 80), raising=False)
    with receiver(200) as held:
        url = f"http://localhost:{held.port}/"
        with pytest.raises(DeliveryError, match=r"the name leads to 203\.0\.113\.7"):
            sender_to(url, retries=RetryPolicy(attempts=1)).send("n-1", BODY)
    assert held.came == []


def test_close_ends_a_pause_and_the_delivery_with_it():
    failed = threading.Event()

    def attempt(*_):
        failed.set()
        return Answer(500)

    sender = WebhookSender(
        Endpoint("https://a.example/", (SECRET,)), clock=FakeClock(), attempt=attempt
    )
    ends: list[DeliveryError] = []

    def send():
        with pytest.raises(DeliveryError) as caught:
            sender.send("n-1", BODY)
        ends.append(caught.value)

    thread = threading.Thread(target=send)
    thread.start()
    assert failed.wait(20)
    sender.close()
    thread.join(20)
    assert not thread.is_alive()
    assert ends[0].attempts == 1
    assert "the process ended" in str(ends[0])


def test_no_proxy_of_the_environment_is_used(monkeypatch):
    with receiver(500) as proxy, receiver(200) as held:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert sender_to(held.url).send("n-1", BODY).attempts == 1
    assert proxy.came == []


def test_nothing_secret_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    with receiver(500, garbage, 200) as held:
        sender = sender_to(held.url)
        sender.send("n-1", BODY)
    assert "hidden" not in caplog.text + repr(sender)
    assert base64.b64encode(KEY).decode() not in caplog.text + repr(sender)


# ------------------------------------------------------------------------------- TLS


def test_tls_with_an_authority_of_ones_own(tmp_path):
    context, ca_file = server_context(tmp_path)
    with receiver(200, context=context) as held:
        url = f"https://127.0.0.1:{held.port}/"
        assert sender_to(url, ca_file=ca_file).send("n-1", BODY).status == 200
        with pytest.raises(DeliveryError, match="certificate is not trusted") as caught:
            sender_to(url, retries=RetryPolicy(attempts=1)).send("n-1", BODY)
    assert caught.value.out_of_reach
    assert len(held.came) == 1


def test_a_certificate_for_another_host_is_refused(tmp_path):
    context, ca_file = server_context(tmp_path, "other.example")
    with receiver(200, context=context) as held:
        url = f"https://127.0.0.1:{held.port}/"
        with pytest.raises(DeliveryError, match="not trusted"):
            sender_to(url, retries=RetryPolicy(attempts=1), ca_file=ca_file).send("n-1", BODY)
    assert held.came == []


def test_plain_text_where_tls_is_expected_is_refused(tmp_path):
    _, ca_file = server_context(tmp_path)
    with receiver(200) as held, pytest.raises(DeliveryError):
        sender_to(
            f"https://127.0.0.1:{held.port}/", retries=RetryPolicy(attempts=1), ca_file=ca_file
        ).send("n-1", BODY)
    assert held.came == []


@contextmanager
def tunnel(asked, status=200):
    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            if status != 200:
                return
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port)), 20) as far:
                pair = [self.connection, far]
                while readable := select.select(pair, [], [], 20)[0]:
                    for near in readable:
                        data = near.recv(65_536)
                        if not data:
                            return
                        pair[1 - pair.index(near)].sendall(data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def test_a_configured_proxy_tunnels_and_sees_neither_path_nor_body(tmp_path):
    context, ca_file = server_context(tmp_path)
    asked: list[str] = []
    with receiver(200, context=context) as held, tunnel(asked) as proxy:
        url = f"https://127.0.0.1:{held.port}/secret-path"
        assert sender_to(url, ca_file=ca_file, proxy=proxy).send("n-1", BODY).status == 200
    assert asked == [f"127.0.0.1:{held.port}"]
    assert held.came[0][0] == "/secret-path"


def test_a_proxy_that_refuses_is_a_failure(tmp_path):
    _, ca_file = server_context(tmp_path)
    with tunnel([], 403) as proxy, pytest.raises(DeliveryError, match="403") as caught:
        sender_to(
            "https://127.0.0.1:9/", retries=RetryPolicy(attempts=1), ca_file=ca_file, proxy=proxy
        ).send("n-1", BODY)
    assert caught.value.out_of_reach


# ------------------------------------------------------------------------------- laws


@given(
    st.lists(st.sampled_from([200, 204, 299, 302, 400, 410, 429, 500, None]), max_size=9),
    st.integers(1, 9),
    st.floats(0, 1, exclude_max=True),
)
def test_a_delivery_ends_at_the_first_final_answer_or_after_its_attempts(answers, most, chance):
    script = iter(answers)
    pauses = Pauses()
    made = []

    def attempt(*_):
        status = next(script, 500)
        made.append(status)
        if status is None:
            raise NoAnswer("nobody is there")
        return Answer(status)

    sender = WebhookSender(
        Endpoint("https://a.example/", (SECRET,)),
        clock=pauses.clock,
        retries=RetryPolicy(attempts=most),
        chance=lambda: chance,
        wait=pauses,
        attempt=attempt,
    )
    final = {200, 204, 299, 302, 410}
    first = next((at for at, status in enumerate(answers) if status in final), most)
    expected = min(first + 1, most)
    last = (*answers, *[500] * most)[expected - 1]
    if last in {200, 204, 299}:
        attempts = sender.send("n-1", BODY).attempts
    else:
        with pytest.raises(DeliveryError) as caught:
            sender.send("n-1", BODY)
        attempts = caught.value.attempts
        assert caught.value.status == last
        assert caught.value.out_of_reach is (last is None)
    assert len(made) == attempts == expected
    assert len(pauses.made) == expected - 1


@pytest.mark.parametrize("module", ["guardrails", "guardrails.webhooks"])
def test_importing_it_imports_no_http_client(module):
    code = f"import sys, {module}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    loaded = set(done.stdout.split())
    assert "guardrails.webhooks" in loaded or module == "guardrails"
    assert not loaded & {
        "urllib3", "requests", "httpx", "httpx2", "http.client", "aiohttp", "genai_prices"
    }  # fmt: skip
