"""The commands of ``guardrails audit`` that are about the record as it is stored."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from guardrails.audit.exact_json import exact_json
from guardrails.audit.following import Cursor
from guardrails.audit.keys import RecordKey, can_sign
from guardrails.audit.reading import follow, read
from guardrails.audit.retention import prune as prune_directory
from guardrails.audit.verification import verify as verify_directory
from guardrails.cli.callbacks import findable
from guardrails.cli.console import ExitCode, output, plain, print_json
from guardrails.cli.machine import JsonOption, operator, say
from guardrails.cli.moments import counted
from guardrails.config import Config
from guardrails.errors import ConfigError
from guardrails.model.record_plan import RecordPlan

_Path = Annotated[
    Path | None,
    typer.Argument(help="The record, where it is not that of the configuration that holds here."),
]

_AGO: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400}


def verify(
    path: _Path = None,
    *,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="The public key, `ed25519:…` or its file; several are taken."),
    ] = None,
    anchor: Annotated[Path | None, typer.Option("--anchor", help="The file of heads.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether the record is what was written; exits with 1 where it is not.

    Give the key that you kept elsewhere: without it, whoever can write the record could have
    written all of it anew.
    """
    plan = record_plan(path)
    if plan.is_plain:
        raise ConfigError(f"`{plan.path}` is a plain file: nothing in it could be verified")
    report = verify_directory(plan.path, key=key, anchor=anchor or plan.anchor)
    if as_json:
        print_json(
            {
                "whole": report.is_whole,
                "streams": report.streams,
                "segments": report.segments,
                "events": report.events,
                "deleted_segments": report.deleted,
                "deleted_events": report.deleted_events,
                "keys": list(report.keys),
                "pinned": report.is_pinned,
                "findings": [each._asdict() for each in report.findings],
            }
        )
    else:
        for found in report.findings:
            style = "red" if found.is_problem else "yellow"
            said = str(found) if found.is_problem else f"note: {found}"
            output().print(plain(said, style), soft_wrap=True)
        what = (
            f"{counted(report.events, 'event')} in {counted(report.segments, 'segment')} of "
            f"{counted(report.streams, 'stream')}"
        )
        if report.deleted:
            gone = counted(report.deleted_events, "event")
            what += f"; deleted: {counted(report.deleted, 'segment')} with {gone}"
        if report.keys:
            what += f"; signed by {', '.join(report.keys)}"
        word = "whole" if report.is_whole else counted(len(report.problems), "problem")
        output().print(plain(f"{word}: {what}"), soft_wrap=True)
    if not report.is_whole:
        raise typer.Exit(ExitCode.FINDING)


def tail(
    path: _Path = None,
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Events to begin with.")] = 10,
    follows: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on with those to come.")
    ] = True,
) -> None:
    """Print the last events, one JSON object a line, and go on with those to come."""
    plan = record_plan(path)
    if plan.is_plain or not follows:
        for event in _last(plan.path, lines):
            output().print(plain(exact_json(event)), soft_wrap=True)
        if follows:
            say("note: a plain file is not followed; `tail -f` does that")
        return
    events = [(cursor, event) for cursor, event in follow(plan.path, go_on=lambda: False)]
    for _, event in events[len(events) - min(lines, len(events)) :]:
        output().print(plain(exact_json(event)), soft_wrap=True)
    cursor = events[-1][0] if events else Cursor()
    try:
        for _, event in follow(plan.path, cursor):
            output().print(plain(exact_json(event)), soft_wrap=True)
    except KeyboardInterrupt:
        return


def prune(
    path: _Path = None,
    *,
    before: Annotated[str, typer.Option("--before", help="A date as 2026-01-31, or an age: 90d.")],
) -> None:
    """Delete the segments that ended before; what is gone stays on record, and verifies."""
    plan = record_plan(path)
    if plan.is_plain:
        raise ConfigError(f"`{plan.path}` is a plain file: it is deleted as a whole, or not")
    key = None
    if plan.key_file.exists() and can_sign():
        key = RecordKey.load(plan.key_file)
    deleted = prune_directory(
        plan.path, key, before_ns=moment(before, "--before"), by=operator(None)
    )
    for name in deleted:
        output().print(plain(f"deleted {name}"), soft_wrap=True)
    if not deleted:
        output().print(plain("nothing ended before that"))


def record_plan(path: Path | None) -> RecordPlan:
    """The record at `path`, else the one of the configuration that holds here.

    Raises:
        ConfigError: there is none.
    """
    if path is not None:
        return RecordPlan(path)
    config = findable(Config.find())
    if config.record is None:
        raise ConfigError(f"{config.file}: `record: null` keeps the record in memory")
    return config.record


def _last(path: Path, lines: int) -> list[dict[str, object]]:
    events = list(read(path))
    return events[len(events) - min(lines, len(events)) :]


def moment(text: str, option: str) -> int:
    """A date, or an age, as UTC nanoseconds.

    Raises:
        ConfigError: it is neither.
    """
    found = _AGO.fullmatch(text)
    if found is not None:
        return time.time_ns() - int(found[1]) * _SECONDS[found[2]] * 10**9
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option}: `{text}` is neither a date nor an age as `90d`") from None
    return int((day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()) * 10**9
