"""``alerts:`` of ``guardrails.yaml``: whom to tell, and by which way.

::

    alerts:
      security:                       # a name of one's own
        webhook: https://hooks.acme.example/guardrails
        secret_file: secrets/alerts.key      # or `secret_env: NAME`
        severity: warning             # at least; info, warning, critical
        attempts: 8                   # at most
        retry_for: 5m
        timeout: 10s                  # of one attempt
        ca_file: internal-ca.pem      # trusted in place of the system's
        proxy: http://proxy:3128      # none is taken from the environment
      pager: {callback: "acme.pager:page", severity: critical}
      lines: {log: acme.alerts}       # the name of a logger

What budgets alert at stands with the budgets. Secrets, certificates and callbacks are looked at
when the sinks are built: a check of policies needs none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BeforeValidator, Field

from guardrails.alerts.dispatcher import Route
from guardrails.alerts.sinks import CallbackSink, LogSink, WebhookSink
from guardrails.errors import ConfigError
from guardrails.model.notice import Severity
from guardrails.named_functions import function_of, is_reference
from guardrails.register.source import Mapped, nearest, quoted, shown
from guardrails.register.words import (
    Keyed,
    Name,
    Seconds,
    Text,
)
from guardrails.webhooks import Secret
from guardrails.webhooks.endpoint import Endpoint
from guardrails.webhooks.retries import RetryPolicy
from guardrails.webhooks.sender import WebhookSender

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from guardrails.ports import AlertSink, Clock
    from guardrails.register.source import Problem, Source

_WAYS: Final = ("webhook", "callback", "log")
_OF_WEBHOOKS: Final = (
    "secret_file", "secret_env", "attempts", "retry_for", "timeout", "ca_file", "proxy"
)  # fmt: skip
_SEVERITIES: Final = {severity.word: severity for severity in Severity}


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """One sink, as the file describes it.

    Attributes:
        name: Its name.
        way: ``webhook``, ``callback`` or ``log``.
        target: The address, the function or the logger.
        severity: The least severity that goes to it.
        place: Where the file says so, as ``guardrails.yaml:7:3``.
        secret_file: The file of a webhook's secrets.
        secret_env: The environment variable of a webhook's secrets.
        retries: When a webhook is tried again.
        timeout: Seconds of one attempt.
        ca_file: The certificates that are trusted.
        proxy: The proxy.
    """

    name: str
    way: str
    target: str = field(repr=False)
    severity: Severity
    place: str
    secret_file: Path | None = None
    secret_env: str | None = None
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    timeout: float = 10.0
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)

    def route(self, clock: Clock, retries: RetryPolicy | None = None) -> Route:
        """The sink itself.

        Args:
            clock: The time.
            retries: In place of the configured ones.

        Raises:
            ConfigError: a secret, a certificate or a function is not there.
        """
        try:
            return Route(self.name, self._sink(clock, retries or self.retries), self.severity)
        except ConfigError as error:
            raise ConfigError(f"{self.place}: alerts.{self.name}: {error}") from None

    def _sink(self, clock: Clock, retries: RetryPolicy) -> AlertSink:
        match self.way:
            case "log":
                return LogSink(self.target)
            case "callback":
                return CallbackSink(function_of(self.target))
            case _:
                sender = WebhookSender(self.endpoint(), clock=clock, retries=retries)
                return WebhookSink(sender, clock)

    def endpoint(self) -> Endpoint:
        """Where a webhook goes, with its secrets.

        Raises:
            ConfigError: a secret or the certificates are not there.
        """
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ConfigError(f"ca_file: `{self.ca_file}` is no file")
        if self.secret_file is not None:
            secrets = Secret.from_file(self.secret_file)
        else:
            secrets = Secret.from_environment(self.secret_env or "")
        return Endpoint(self.target, secrets, self.timeout, self.ca_file, self.proxy)


def _severity(value: object) -> object:
    if not isinstance(value, str) or value not in _SEVERITIES:
        msg = f"{shown(value)} is not known{nearest(str(value), tuple(_SEVERITIES))}; there are "
        raise ValueError(msg + quoted(_SEVERITIES))
    return value


class WrittenSink(Mapped):
    """A sink as it is written."""

    webhook: Text | None = None
    callback: Text | None = None
    log: Text | None = None
    severity: Annotated[str, BeforeValidator(_severity)] = "info"
    secret_file: Text | None = None
    secret_env: Text | None = None
    attempts: Annotated[int, Field(ge=1, le=20)] = 8
    retry_for: Seconds = 300
    timeout: Seconds = 10
    ca_file: Text | None = None
    proxy: Text | None = None


WrittenAlerts = Keyed[Name, WrittenSink]
"""The section as it is written: sinks by their names."""


def alert_problems(written: Mapping[str, WrittenSink], source: Source) -> Iterator[Problem]:
    """What is wrong in the section that types alone do not show."""
    for name, sink in written.items():
        given = [way for way in _WAYS if getattr(sink, way) is not None]
        if len(given) != 1:
            message = f"a sink has exactly one of {quoted(_WAYS)}; here {len(given)} are given"
            yield source.problem(("alerts", name), message, of_key=True)
            continue
        if given != ["webhook"]:
            for key in sorted(sink.model_fields_set & set(_OF_WEBHOOKS)):
                message = f"belongs to a `webhook`, and this is a `{given[0]}`"
                yield source.problem(("alerts", name, key), message, of_key=True)
        else:
            yield from _webhook_problems(name, sink, source)
        if sink.callback is not None and not is_reference(sink.callback):
            message = f"`module:function` is needed, not {shown(sink.callback)}"
            yield source.problem(("alerts", name, "callback"), message)


def _webhook_problems(name: str, sink: WrittenSink, source: Source) -> Iterator[Problem]:
    if (sink.secret_file is None) is (sink.secret_env is None):
        message = "a webhook has one of `secret_file` and `secret_env`; it is always signed"
        yield source.problem(("alerts", name, "webhook"), message, of_key=True)
    try:
        # With a stand-in, since the secret itself may be on another machine.
        Endpoint(sink.webhook or "", (Secret(bytes(32)),), float(sink.timeout), proxy=sink.proxy)
    except ConfigError as error:
        key = "proxy" if str(error).startswith("proxy") else "webhook"
        message = str(error).partition(": ")[2] or str(error)
        yield source.problem(("alerts", name, key), message)


def sinks_of(
    written: Mapping[str, WrittenSink], source: Source, base: Path
) -> tuple[SinkConfig, ...]:
    """The sinks that a correct section describes; paths are relative to `base`."""
    return tuple(_sink_of(name, sink, source, base) for name, sink in written.items())


def _sink_of(name: str, sink: WrittenSink, source: Source, base: Path) -> SinkConfig:
    way = next(way for way in _WAYS if getattr(sink, way) is not None)
    line, col = source.place(("alerts", name), of_key=True)
    return SinkConfig(
        name=name,
        way=way,
        target=getattr(sink, way),
        severity=_SEVERITIES[sink.severity],
        place=f"{source.file}:{line}:{col}",
        secret_file=None if sink.secret_file is None else base / sink.secret_file,
        secret_env=sink.secret_env,
        retries=RetryPolicy(attempts=sink.attempts, window=float(sink.retry_for)),
        timeout=float(sink.timeout),
        ca_file=None if sink.ca_file is None else base / sink.ca_file,
        proxy=sink.proxy,
    )
