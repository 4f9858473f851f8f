"""A replay from its beginning to its end: the record, the candidate, the processes, the tally."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardrails.errors import ConfigError
from guardrails.replay.parts import parts_of
from guardrails.replay.processes import Workers, processors
from guardrails.replay.replayer import Replayer
from guardrails.replay.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from guardrails.candidates import Candidate
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
        log: The record.
        candidate: The policies that are tried.
        agents: The agents of another register, as :class:`Replayer` takes them.
        workers: How many processes do it; None for one for each processor.
        progress: Told how many bytes are done, and of how many.

    Raises:
        ConfigError: there is no record at `log`.
        PolicyLoadError: the policies cannot be used.
        StateUnavailable: the record cannot be read.
    """
    if not log.exists():
        msg = f"there is no record at `{log}`"
        raise ConfigError(msg)
    # Loaded here first: what is wrong with it is told before anything starts, with its place,
    # and the other processes find it compiled.
    revision = candidate.engine().revision
    parts = parts_of([log])
    whole = sum(part.end - part.begin for part in parts)
    tally, done = Tally(), 0
    pool: Workers[Part, Tally] = Workers(
        _replayer, (candidate, agents), processors() if workers is None else workers
    )
    for part, found in pool.results(parts):
        tally.add(found)
        done += part.end - part.begin
        if progress is not None:
            progress(done, whole)
    return Replay(str(log), candidate.name, revision, tally)


def _replayer(
    candidate: Candidate, agents: Mapping[str, Mapping[str, Any]] | None
) -> Callable[[Part], Tally]:
    return Replayer(candidate, agents).replay
