"""A replay from its beginning to its end: the record, the candidate, the processes, the tally."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardrails.replay.parts import files_of, parts_of
from guardrails.replay.processes import Workers, processors
from guardrails.replay.replayer import Replayer
from guardrails.replay.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from guardrails.candidates import Candidate
    from guardrails.errors import Finding
    from guardrails.replay.parts import Part


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay came to.

    Attributes:
        log: The record.
        candidate: The candidate, as it was named.
        revision: The candidate's revision.
        tally: The counts and examples.
    """

    log: str
    candidate: str
    revision: str
    tally: Tally


def replay(
    log: Path,
    candidate: Candidate,
    *,
    agents: Mapping[str, Mapping[str, Any]] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Replay:
    """Every decision of a record, made again by a candidate; nothing is executed.

    Args:
        log: The record: a file of JSON lines, or a directory of segments.
        candidate: The policies that are tried.
        agents: The agents of another register, as :class:`Replayer` takes them.
        workers: How many processes do it, this one included; None for one for each processor.
        progress: Told how many bytes are done, and of how many.

    Raises:
        ConfigError: there is no record at `log`.
        PolicyLoadError: the policies cannot be used.
        StateUnavailable: the record cannot be read.
    """
    files = files_of(log)
    # Loaded here first: what is wrong with it is told before anything starts, with its place,
    # and the other processes find it compiled.
    loaded = candidate.engine().loaded
    parts = parts_of(files)
    whole = sum(part.end - part.begin for part in parts)
    tally, done = Tally(), 0
    pool: Workers[Part, Tally] = Workers(
        Replayer(loaded, agents).replay,
        _replayer,
        (candidate, agents),
        processors() if workers is None else workers,
    )
    for part, found in pool.results(parts):
        tally.add(found)
        done += part.end - part.begin
        if progress is not None:
            progress(done, whole)
    return Replay(str(log), candidate.name, loaded.revision, tally)


def findings_of(found: Replay, candidate: Candidate) -> dict[tuple[int, int], Sequence[Finding]]:
    """By the place of each example, what the candidate's rules say of it, with file and row."""
    engine = candidate.engine()
    findings: dict[tuple[int, int], Sequence[Finding]] = {}
    for examples in found.tally.examples.values():
        for example in examples:
            if example.input is not None and example.place not in findings:
                rules = example.becomes[1] or example.was[1]
                findings[example.place] = engine.explain(example.input, rules)
    return findings


def _replayer(
    candidate: Candidate, agents: Mapping[str, Mapping[str, Any]] | None
) -> Callable[[Part], Tally]:
    return Replayer(candidate.engine().loaded, agents).replay
