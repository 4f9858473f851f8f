"""``guardrails alerts``: what is configured to tell people, and whether it reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
import uuid_utils
from rich.table import Table

from guardrails.cli.callbacks import findable
from guardrails.cli.console import ExitCode, notices, output, plain, print_json
from guardrails.clock import SystemClock
from guardrails.config import Config
from guardrails.config.alerts import SinkConfig
from guardrails.errors import ConfigError, DeliveryError
from guardrails.model.notice import Notice, NoticeKind, Severity
from guardrails.register.source import nearest, quoted
from guardrails.webhooks.retries import RetryPolicy

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="List the ways by which people are told, and try them.",
)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a test notice.

    Attributes:
        sink: The sink's name.
        to: Where it went.
        ok: Whether it was delivered.
        came_back: What came back, or what is wrong.
        out_of_reach: Whether there was no answer.
        answer: The beginning of the answer, where it was no success; the receiver's text.
    """

    sink: str
    to: str
    ok: bool
    came_back: str
    out_of_reach: bool = False
    answer: str = ""


@app.command("list")
def list_(*, as_json: _Json = False) -> None:
    """List the sinks of guardrails.yaml. Of addresses, only scheme, host and port are shown."""
    sinks = Config.find().alerts
    rows = [
        {"sink": sink.name, "way": sink.way, "to": _shown(sink), "severity": sink.severity.word}
        for sink in sinks
    ]
    if as_json:
        print_json({"sinks": rows})
        return
    if not rows:
        output().print(plain("no sinks are configured: notices are logged and recorded alone"))
        return
    output().print(_table(("sink", "way", "to", "severity"), rows))


@app.command("test")
def try_(
    *,
    sink: Annotated[
        str | None, typer.Option("--sink", help="Try this one alone, by its name.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Send a test notice through each sink, once, and say what came back.

    A callback's module may stand in the working directory or beside guardrails.yaml. Exits with
    1 where a sink failed, and with 3 where all that failed could not be reached.
    """
    config = findable(Config.find())
    chosen = _chosen(config.alerts, sink)
    clock = SystemClock()
    notice = Notice(
        str(uuid_utils.uuid7()),
        NoticeKind.TEST,
        Severity.INFO,
        "this is a test of guardrails alerts; nothing happened",
        clock.now_ns(),
        config.environment,
    )
    with notices().status("sending"):
        tried = [_attempt(each, notice, clock) for each in chosen]
    if as_json:
        print_json({"notice_id": notice.id, "sinks": [_document(each) for each in tried]})
    else:
        for each in tried:
            _print(each)
    failed = [each for each in tried if not each.ok]
    if failed:
        unreached = all(each.out_of_reach for each in failed)
        raise typer.Exit(ExitCode.OUT_OF_REACH if unreached else ExitCode.FINDING)


def _chosen(sinks: tuple[SinkConfig, ...], name: str | None) -> tuple[SinkConfig, ...]:
    known = [sink.name for sink in sinks]
    if not known:
        raise ConfigError("guardrails.yaml configures no sinks; name some under `alerts`")
    if name is None:
        return sinks
    if name not in known:
        raise ConfigError(
            f"there is no sink `{name}`{nearest(name, known)}; there are {quoted(known)}"
        )
    return tuple(sink for sink in sinks if sink.name == name)


def _attempt(sink: SinkConfig, notice: Notice, clock: SystemClock) -> Tried:
    to = _shown(sink)
    try:
        came_back = sink.route(clock, RetryPolicy(attempts=1)).sink.send(notice)
    except DeliveryError as error:
        return Tried(
            sink.name,
            to,
            ok=False,
            came_back=str(error),
            out_of_reach=error.out_of_reach,
            answer=error.answer,
        )
    except ConfigError as error:
        return Tried(sink.name, to, ok=False, came_back=str(error))
    except Exception as error:  # noqa: BLE001  # a callback's own failure is what is asked for
        return Tried(sink.name, to, ok=False, came_back=f"{type(error).__name__}: {error}")
    return Tried(sink.name, to, ok=True, came_back=came_back)


def _shown(sink: SinkConfig) -> str:
    if sink.way != "webhook":
        return sink.target
    parts = urlsplit(sink.target)
    return f"{parts.scheme}://{parts.netloc}"


def _document(tried: Tried) -> dict[str, Any]:
    document: dict[str, Any] = {
        "sink": tried.sink,
        "to": tried.to,
        "ok": tried.ok,
        "came_back": tried.came_back,
    }
    return document if tried.ok else {**document, "answer": tried.answer}


def _print(tried: Tried) -> None:
    style = "green" if tried.ok else "bold red"
    line = plain("ok  " if tried.ok else "fail", style)
    line.append_text(plain(f"  {tried.sink}  {tried.to}  {tried.came_back}"))
    output().print(line, soft_wrap=True)
    if tried.answer:
        first = tried.answer.strip().splitlines()[:1]
        output().print(plain(f"      it said: {''.join(first)[:200]}"), soft_wrap=True)


def _table(columns: tuple[str, ...], rows: list[dict[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(plain(column), overflow="fold")
    for row in rows:
        table.add_row(*(plain(row[column]) for column in columns))
    return table
