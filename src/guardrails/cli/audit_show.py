"""``guardrails audit show``: one call from intent to outcome, and the rules as they were."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardrails.approvals.display import plain as harmless
from guardrails.approvals.display import render
from guardrails.audit.archive import DIRECTORY, Archive
from guardrails.audit.story import Story, story_of
from guardrails.cli.audit_storage import record_plan
from guardrails.cli.console import output, plain, print_json
from guardrails.cli.machine import JsonOption, say
from guardrails.cli.moments import clock
from guardrails.config import Config
from guardrails.errors import ConfigError, StateUnavailable
from guardrails.past_policies import PastPolicies, PastRule

if TYPE_CHECKING:
    from collections.abc import Iterator

RecordOption = Annotated[
    Path | None,
    typer.Option("--record", help="The record, where it is not that of the configuration here."),
]
ArchiveOption = Annotated[
    Path | None,
    typer.Option("--archive", help="The archive of policies; else the one in the state directory."),
]


def show(
    id: Annotated[str, typer.Argument(help="The decision's or run's id, or how it begins.")],
    *,
    record: RecordOption = None,
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a call: who, what, what was decided, by which rules as they were, and what came of it.

    A run's id shows its calls, a line each.
    """
    story = story_of(record_plan(record).path, id)
    if as_json:
        rules = [] if story.is_run else _rules(story, archive_of(archive))
        print_json(
            {
                "id": story.id,
                "events": list(story.events),
                "rules": [
                    {"where": each.where, "rule": each.rule, "text": "\n".join(each.text)}
                    for each in rules
                ],
            }
        )
        return
    if story.is_run:
        for event in story.events:
            output().print(plain(_line(event)), soft_wrap=True)
        return
    for word, text in _told(story):
        output().print(plain(f"{word:<11}"), plain(text), sep="", soft_wrap=True)
    for rule in _rules(story, archive_of(archive)):
        output().print(plain(f"{'rule':<11}"), plain(rule.where, "bold"), sep="", soft_wrap=True)
        for line in rule.text:
            output().print(plain(f"{'':<11}{line.expandtabs(4)}"), soft_wrap=True)


def archive_of(path: Path | None) -> Archive | None:
    """The archive at `path`, else that of the configuration that holds here; None for none."""
    if path is not None:
        return Archive(path)
    try:
        state = Config.find().state
    except ConfigError:
        return None
    return None if state is None else Archive(state / DIRECTORY)


def past_policies(story: Story, archive: Archive | None) -> dict[str, PastPolicies]:
    """The policies of a story's decisions by their revisions, as far as they are kept."""
    found: dict[str, PastPolicies] = {}
    if archive is None:
        return found
    for revision, event in story.activations.items():
        kept = PastPolicies.read(archive, str(event["detail"]["archive"]))
        if kept is not None:
            found[revision] = kept
    return found


def _rules(story: Story, archive: Archive | None) -> list[PastRule]:
    event = next(iter(story.decided), None)
    if event is None or "effect" not in event:
        return []
    said = event.get("policy", event)
    named = [each["rule"] for part in ("reasons", "approvals") for each in said.get(part, ())]
    if not named:
        return []
    try:
        kept = past_policies(story, archive).get(event.get("revision", ""))
    except StateUnavailable as error:
        say(f"warning: {error}")
        return []
    if kept is None:
        say("note: the policies of this revision are not in the archive here")
        return []
    return kept.rules(said["effect"], list(dict.fromkeys(named)), event.get("input"))


def _told(story: Story) -> Iterator[tuple[str, str]]:
    event = next(iter(story.decided), None)
    first = story.events[0] if event is None else event
    yield "decision", f"{story.id}, {clock(first['time'])}"
    document: dict[str, Any] = first.get("input") or {}
    agent = document.get("agent") or {}
    who = f"{first.get('agent')}@{agent['version']}" if "version" in agent else first.get("agent")
    more = [f"owner {agent['owner']}" if "owner" in agent else "", agent.get("environment", "")]
    more += [first.get("mode") or ""]
    yield "who", harmless(", ".join(each for each in (str(who), *more) if each))
    if document.get("principal"):
        yield "for", harmless(str(document["principal"]))
    yield "run", harmless(" > ".join([*_ancestry(document), str(first.get("run_id"))]))
    tool = str(first.get("tool"))
    if "args" in document:
        yield "what", render(tool, document["args"], longest=500)
    else:
        yield "what", f"{harmless(tool)}, its arguments are not recorded"
    hidden = [*first.get("masked", ()), *first.get("erased", ())]
    if hidden:
        yield "hidden", harmless(", ".join(hidden))
    yield from _decision(first)
    yield from _approvals(story)
    yield from _outcome(story, first)


def _ancestry(document: dict[str, Any]) -> list[str]:
    run = document.get("run") or {}
    return [str(each.get("run", each)) for each in run.get("ancestry", ())]


def _decision(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    detail = event.get("detail") or {}
    if "effect" not in event:
        yield "decided", f"nothing: {harmless(str(detail.get('code', '')))}"
    else:
        by = event.get("decided_by", "policy")
        took = event.get("decision_ns")
        time = "" if took is None else f" in {Decimal(took) / 1000:.0f} µs"
        yield "decided", f"{event['effect']}, by {by}{time}"
        if "policy" in event:
            yield "policy", f"itself said {event['policy']['effect']}"
    for reason in event.get("reasons", ()):
        yield "reason", _sentence(f"{reason['rule']}: {reason['reason']}")
    for demand in event.get("approvals", ()):
        whom = ", ".join(demand["approvers"])
        yield (
            "asks",
            _sentence(f"{demand['rule']}: {demand['reason']}; {demand['quorum']} of {whom}"),
        )
    if event.get("revision"):
        yield "policies", harmless(str(event["revision"]))


def _approvals(story: Story) -> Iterator[tuple[str, str]]:
    for event in story.of("approval."):
        detail = event["detail"]
        said = [clock(event["time"]), event["kind"].partition(".")[2]]
        if detail.get("by"):
            said.append(f"by {detail['by']}")
        if detail.get("channel"):
            said.append(f"({detail['channel']})")
        if detail.get("reason"):
            said.append(f": {detail['reason']}")
        yield "approval", harmless(f"{detail['request_id']}  {' '.join(said)}")


def _outcome(story: Story, first: dict[str, Any]) -> Iterator[tuple[str, str]]:
    detail = first.get("detail") or {}
    match first["kind"]:
        case "call.refused":
            yield "came of it", _sentence(f"refused: {detail.get('message', '')}")
        case "call.shadowed":
            yield "came of it", f"withheld; it would: {harmless(str(detail.get('would', '')))}"
        case "call.started":
            ends = story.of("call.finished")
            if not ends:
                yield "came of it", "not known: it was at work when the record ends"
            for end in ends:
                said = end["detail"]
                cost = said.get("cost") or {}
                words = [str(said["outcome"]), str(said.get("error", ""))]
                words += [f"${cost['usd']}"] if cost.get("usd") else []
                words += [f"{cost['tokens']} tokens"] if cost.get("tokens") else []
                yield "came of it", harmless(", ".join(each for each in words if each))
        case _:
            pass


def _line(event: dict[str, Any]) -> str:
    detail = event.get("detail") or {}
    words = [clock(event["time"]), f"{event['kind']:<18}", str(event.get("decision_id") or "")]
    words += [str(event[key]) for key in ("tool", "effect") if event.get(key)]
    words += [str(detail[key]) for key in ("outcome", "code", "message", "by") if detail.get(key)]
    return _sentence("  ".join(words))


def _sentence(text: str) -> str:
    """Words of ours or of a policy, which quote by backticks and brackets."""
    return harmless(text, markup=True)
