"""The section of alert sinks: strict, wrong where it is written, and shy of its secrets."""

from __future__ import annotations

import base64

import pytest

from guardrails.alerts.sinks import CallbackSink, LogSink, WebhookSink
from guardrails.clock import SystemClock
from guardrails.config import Config
from guardrails.errors import ConfigError
from guardrails.model.notice import Severity
from guardrails.register.source import SourceError
from guardrails.webhooks.retries import RetryPolicy

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def load(tmp_path):
    (tmp_path / "agents.yaml").write_text("bot: {owner: dana@acme.example}\n")

    def loaded(alerts):
        (tmp_path / "guardrails.yaml").write_text(f"environment: dev\nalerts:\n{alerts}\n")
        return Config.load(tmp_path / "guardrails.yaml")

    return loaded


def test_without_the_section_there_is_no_sink(tmp_path):
    (tmp_path / "agents.yaml").write_text("bot: {owner: dana@acme.example}\n")
    (tmp_path / "guardrails.yaml").write_text("environment: dev\n")
    assert Config.load(tmp_path / "guardrails.yaml").alerts == ()


def test_everything_can_be_said(load, tmp_path):
    (tmp_path / "key").write_text(SECRET)
    config = load(
        "  security:\n    webhook: https://hooks.acme.example/x\n    secret_file: key\n"
        "    severity: warning\n    attempts: 5\n    retry_for: 10m\n    timeout: 3s\n"
        "    proxy: http://proxy.example:3128\n"
        "  pager: {callback: 'os.path:basename', severity: critical}\n"
        "  lines: {log: acme.alerts}"
    )
    security, pager, lines = config.alerts
    assert security.retries == RetryPolicy(attempts=5, window=600)
    assert (security.timeout, security.proxy) == (3, "http://proxy.example:3128")
    routes = [sink.route(SystemClock()) for sink in config.alerts]
    assert [(it.name, it.at_least) for it in routes] == [
        ("security", Severity.WARNING),
        ("pager", Severity.CRITICAL),
        ("lines", Severity.INFO),
    ]
    assert [type(it.sink) for it in routes] == [WebhookSink, CallbackSink, LogSink]
    assert (pager.way, lines.target) == ("callback", "acme.alerts")
    assert "hooks.acme.example" not in repr(config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  a: {}", ":3:3: alerts.a: a sink has exactly one of `webhook`, `callback`, `log`"),
        ("  a: {log: x, callback: 'a:b'}", ":3:3: alerts.a: a sink has exactly one of"),
        ("  a: {logg: x}", ":3:7: alerts.a.logg: unknown key (did you mean `log`?)"),
        ("  a b: {log: x}", ":3:3: alerts.a b: a name of letters, digits"),
        ("  a: {log: x, severity: warn}", "alerts.a.severity: `warn` is not known (did you mean"),
        ("  a: {log: x, attempts: 3}", ":3:15: alerts.a.attempts: belongs to a `webhook`"),
        ("  a: {callback: print}", ":3:17: alerts.a.callback: `module:function` is needed"),
        ("  a: {callback: 'os.system(1):x'}", "alerts.a.callback: `module:function` is needed"),
        ("  a: {webhook: 'https://h.example/'}", "a webhook has one of `secret_file` and"),
        (
            "  a: {webhook: 'https://h.example/', secret_env: A, secret_file: b}",
            "a webhook has one of `secret_file` and",
        ),
        ("  a: {webhook: 'http://h.example/token', secret_env: A}", "is neither `https` nor"),
        ("  a: {webhook: 'https://u:w@h.example/', secret_env: A}", "a name and password"),
        (
            "  a: {webhook: 'https://h.example/', secret_env: A, proxy: 'https://p'}",
            "alerts.a.proxy: `http://host:port` is needed",
        ),
        ("  a: {webhook: 'https://h.example/', secret_env: A, attempts: 0}", "alerts.a.attempts"),
        ("  a: {webhook: 'https://h.example/', secret_env: A, timeout: 0s}", "alerts.a.timeout"),
    ],
)
def test_a_wrong_sink_is_named_with_its_place(load, text, said):
    with pytest.raises(SourceError) as caught:
        load(text)
    assert said in str(caught.value)
    assert "token" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("webhook: 'https://h.example/', secret_env: NO_SUCH", "`NO_SUCH` is not set"),
        ("webhook: 'https://h.example/', secret_file: absent", "cannot be read: No such file"),
        ("webhook: 'https://h.example/', secret_file: agents.yaml", "begins otherwise"),
        (
            "webhook: 'https://h.example/', secret_env: HOOK_SECRET, ca_file: absent",
            "ca_file: `",
        ),
        ("callback: 'no_such_module:page'", "`no_such_module` cannot be imported"),
        ("callback: 'os.path:no_such'", "the module `os.path` has no `no_such`"),
        ("callback: 'os.path:sep'", "is a plain function"),
    ],
)
def test_what_is_not_there_is_said_when_the_sinks_are_built(load, monkeypatch, text, said):
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    (sink,) = load(f"  a: {{{text}}}").alerts
    with pytest.raises(ConfigError) as caught:
        sink.route(SystemClock())
    assert "guardrails.yaml:3:3: alerts.a: " in str(caught.value)
    assert said in str(caught.value)
