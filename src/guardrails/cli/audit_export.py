"""``guardrails audit export``: events for other tools, and evidence of one decision or run."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from guardrails.audit.evidence import write_evidence
from guardrails.audit.exact_json import exact_json
from guardrails.audit.keys import public_file
from guardrails.audit.reading import read
from guardrails.audit.story import Story, story_of
from guardrails.audit.table import write_table
from guardrails.cli.audit_show import ArchiveOption, RecordOption, archive_of
from guardrails.cli.audit_storage import moment, record_plan
from guardrails.cli.console import notices, plain
from guardrails.errors import ConfigError, StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.audit.archive import Archive
    from guardrails.model.record_plan import RecordPlan


def export(  # noqa: PLR0913  # its options, each by its name
    *,
    record: RecordOption = None,
    archive: ArchiveOption = None,
    since: Annotated[
        str | None, typer.Option("--since", help="A date as 2026-01-31, or an age: 90d.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Likewise.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Events of one agent.")] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="Events of one tool.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="One kind, or a family as `call.`.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="`jsonl` or `csv`.")] = "jsonl",
    evidence: Annotated[
        str | None, typer.Option("--evidence", help="A decision or run: all that proves it, a zip.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; it must not be there yet.")
    ] = None,
) -> None:
    """Write events as JSON lines or CSV, or the evidence of one decision or run as a zip."""
    plan = record_plan(record)
    if evidence is not None:
        _export_evidence(plan, evidence.removesuffix(".zip"), to, archive_of(archive))
        return
    if form not in {"jsonl", "csv"}:
        raise ConfigError(f"--format: `{form}` is not known; there are `jsonl` and `csv`")
    begin = 0 if since is None else moment(since, "--since")
    end = time.time_ns() if until is None else moment(until, "--until")
    events = (
        event
        for event in read(plan.path)
        if begin <= event.get("time", 0) <= end
        and agent in (None, event.get("agent"))
        and tool in (None, event.get("tool"))
        and (kind is None or _is_of(str(event["kind"]), kind))
    )
    if to is None:
        # A spreadsheet's ends of lines are its own; nothing here may turn them into others.
        out = io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="", write_through=True)
        _write(events, form, out)
        out.detach()
        return
    try:
        with to.open("x", encoding="utf-8", newline="") as file:
            count = _write(events, form, file)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StateUnavailable(f"`{to}` cannot be written: {reason}") from error
    notices().print(plain(f"{count} events in {to}"))


def _is_of(kind: str, wanted: str) -> bool:
    return kind.startswith(wanted) if wanted.endswith(".") else kind == wanted


def _write(events: Iterator[dict[str, Any]], form: str, file: TextIO) -> int:
    if form == "csv":
        return write_table(events, file)
    count = 0
    for event in events:
        file.write(exact_json(event) + "\n")
        count += 1
    return count


def _export_evidence(
    plan: RecordPlan, wanted: str, to: Path | None, archive: Archive | None
) -> None:
    if plan.is_plain:
        raise ConfigError(f"`{plan.path}` is a plain file, neither chained nor signed: no evidence")
    story = story_of(plan.path, wanted)
    public = public_file(plan.key_file)
    key = public.read_text("ascii").strip() if public.is_file() else None
    target = to or Path(f"{story.id}.zip")
    policies = _policies(story, archive)
    if not policies:
        notices().print(plain("note: the policies that decided are not in the archive here"))
    count = write_evidence(target, story, plan.path, policies=policies, public_key=key)
    notices().print(plain(f"{count} events in {target}"))


def _policies(story: Story, archive: Archive | None) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if archive is None:
        return found
    for event in story.activations.values():
        digest = str(event["detail"]["archive"])
        kept = archive.get_document(digest)
        if kept is None:
            continue
        for each in (digest, *kept["modules"].values(), kept["data"]):
            content = archive.get(each)
            if content is not None:
                found[each] = content
    return found
