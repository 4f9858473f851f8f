"""What a record says about one call or one run, from intent to outcome, in the order of time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.lines import event_of_line
from guardrails.audit.reading import batches
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DECIDED: Final = frozenset({"call.started", "call.refused", "call.shadowed"})
"""The kinds of events of which each call has one."""

SHORTEST: Final = 4
"""Characters of an id that are asked for at least."""


@dataclass(frozen=True, slots=True)
class Story:
    """The events about one call, or one run.

    Attributes:
        id: The whole id.
        is_run: Whether it is a run's.
        events: What happened to it, what people were asked about it, and its run's opening.
        activations: The events that brought the policies that decided into force, by revision.
    """

    id: str
    is_run: bool
    events: tuple[dict[str, Any], ...]
    activations: dict[str, dict[str, Any]]

    @property
    def decided(self) -> tuple[dict[str, Any], ...]:
        """The events that hold decisions."""
        return tuple(each for each in self.events if each["kind"] in DECIDED)

    def of(self, kind: str) -> tuple[dict[str, Any], ...]:
        """The events of a kind, or of a family: ``approval.``."""
        return tuple(each for each in self.events if each["kind"].startswith(kind))


def story_of(path: Path, wanted: str) -> Story:
    """The story of the call or run whose id begins with `wanted`.

    Args:
        path: The record.
        wanted: The id, or as much of it as tells it apart.

    Raises:
        ConfigError: there is no such id, or several.
        StateUnavailable: the record cannot be read.
    """
    if len(wanted) < SHORTEST:
        raise ConfigError(f"`{wanted}` is too short for an id; {SHORTEST} characters are needed")
    mark = json.dumps(wanted)[1:-1].encode()
    calls: dict[str, None] = {}
    runs: dict[str, None] = {}
    for event in _events(path, [mark]):
        for name, found in (("decision_id", calls), ("run_id", runs)):
            if str(event.get(name) or "").startswith(wanted):
                found[event[name]] = None
    fits = [*calls, *(each for each in runs if each not in calls)]
    if wanted in fits:
        fits = [wanted]
    if len(fits) != 1:
        shown = ", ".join(fits[:5])
        raise ConfigError(
            f"`{wanted}` fits several ids: {shown}" if fits else f"the record has no `{wanted}`"
        )
    whole = fits[0]
    is_run = whole not in calls
    return Story(whole, is_run, *_collect(path, whole, is_run=is_run))


def _collect(
    path: Path, whole: str, *, is_run: bool
) -> tuple[tuple[dict[str, Any], ...], dict[str, dict[str, Any]]]:
    name = "run_id" if is_run else "decision_id"
    own = [each for each in _events(path, [_mark(whole)]) if each.get(name) == whole]
    requests = {
        found for each in own if (found := (each.get("detail") or {}).get("request_id")) is not None
    }
    runs = {each["run_id"] for each in own if each.get("run_id") is not None}
    revisions = {each["revision"] for each in own if each.get("revision")}
    events: list[dict[str, Any]] = []
    activations: dict[str, dict[str, Any]] = {}
    for event in _events(path, list(map(_mark, {whole, *requests, *runs, *revisions}))):
        detail = event.get("detail") or {}
        kind = event["kind"]
        if (
            event.get(name) == whole
            or (kind.startswith("approval.") and detail.get("request_id") in requests)
            or (kind == "run.opened" and event.get("run_id") in runs)
        ):
            events.append(event)
        elif kind == "policy.activated" and event.get("revision") in revisions:
            activations[event["revision"]] = event
    return tuple(events), activations


def _events(path: Path, marks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    # Most lines are about others; they are not parsed.
    marks = tuple(marks)
    for lines in batches(path):
        for line in lines:
            if any(mark in line for mark in marks):
                event = event_of_line(line)
                if event is not None:
                    yield event


def _mark(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode()
