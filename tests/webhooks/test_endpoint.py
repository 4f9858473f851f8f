"""An endpoint is an address that configuration may name: TLS or this machine; nothing is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import ConfigError
from guardrails.webhooks import Secret
from guardrails.webhooks.endpoint import Endpoint

SECRET = Secret(b"k" * 32)


def endpoint(url, **words):
    return Endpoint(url, (SECRET,), **words)


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "origin"),
    [
        ("https://a.example/h?t=1", "a.example", 443, "/h?t=1", "https://a.example:443"),
        ("https://a.example:8443", "a.example", 8443, "/", "https://a.example:8443"),
        ("https://[2001:db8::1]/x", "2001:db8::1", 443, "/x", "https://[2001:db8::1]:443"),
        ("http://127.0.0.1:9/x", "127.0.0.1", 9, "/x", "http://127.0.0.1:9"),
        ("http://127.1.2.3/x", "127.1.2.3", 80, "/x", "http://127.1.2.3:80"),
        ("http://localhost:9/x", "localhost", 9, "/x", "http://localhost:9"),
        ("http://[::1]:9/x", "::1", 9, "/x", "http://[::1]:9"),
        ("https://10.0.0.7/internal", "10.0.0.7", 443, "/internal", "https://10.0.0.7:443"),
    ],
)
def test_an_address_is_taken_apart(url, host, port, target, origin):
    found = endpoint(url)
    assert (found.host, found.port, found.target, found.origin) == (host, port, target, origin)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example/h",
        "//a.example/h",
        "ftp://a.example/h",
        "file:///etc/passwd",
        "http://a.example/h",
        "http://10.0.0.1/h",
        "http://0.0.0.0/h",
        "http://127.0.0.1.evil.example/h",
        "http://localhost.evil.example/h",
        "http://evil.example\\@127.0.0.1/h",
        "http://127.0.0.1@evil.example/h",
        "https://user:hunter2@a.example/h",
        "https://a.example/h#part",
        "https://a.example/h h",
        "https://a.example/h\r\nX: y",
        "https://a.example/\x00",
        "https://a.example:0/h",
        "https://a.example:99999/h",
        "https://a.example:x/h",
        "https://[::1/h",
        "https://exämple.example/h",
        "https:///h",
        "https://a.example/" + "x" * 2_000,
    ],
)
def test_any_other_address_is_refused_and_its_path_not_repeated(url):
    with pytest.raises(ConfigError) as caught:
        endpoint(url)
    assert "/h" not in str(caught.value).replace("https://host/path", "")
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60))
def test_whatever_text_comes_is_an_endpoint_or_a_configuration_error(text):
    for url in (text, f"https://{text}", f"http://127.0.0.1{text}"):
        try:
            found = endpoint(url)
        except ConfigError:
            continue
        assert found.secure or found.host.startswith("127.") or found.host in {"localhost", "::1"}
        assert found.target.isascii()
        assert found.target.startswith("/")


def test_neither_path_nor_secret_stands_in_its_repr():
    shown = repr(endpoint("https://a.example/token-123", proxy="http://p.example:3128"))
    assert "token-123" not in shown
    assert "Secret" not in shown


def test_without_a_secret_nothing_is_sent():
    with pytest.raises(ConfigError, match="unsigned"):
        Endpoint("https://a.example/", ())


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_an_attempt_has_an_end(timeout):
    with pytest.raises(ConfigError, match="timeout"):
        endpoint("https://a.example/", timeout=timeout)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://a.example/", "https://p.example"),
        ("https://a.example/", "http://u:p@p.example"),
        ("https://a.example/", "http://p.example/path"),
        ("https://a.example/", "socks5://p.example"),
        ("http://127.0.0.1/", "http://p.example"),
    ],
)
def test_a_proxy_tunnels_to_tls_or_is_refused(url, proxy):
    with pytest.raises(ConfigError, match="proxy"):
        endpoint(url, proxy=proxy)
