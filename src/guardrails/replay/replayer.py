"""Makes the decisions of a part of the record again, by the candidate's policies.

Nothing is executed: no tool is imported, no budget is held, nobody is asked. What a call's run
had spent and done stands in the recorded input, and so does the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from guardrails.audit.chain import MARK
from guardrails.replay.recorded import DECIDED, STRICTNESS, UNRECORDABLE, Gap, LineReader
from guardrails.replay.tally import Tally
from guardrails.replay.verdict import Judge, strictest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.candidates import Candidate
    from guardrails.replay.parts import Part
    from guardrails.replay.recorded import Line


class Replayer:
    """Replays parts of a record with one candidate.

    Args:
        candidate: The policies.
        agents: The agents of another register, in place of what the inputs say about them: by
            id, without the environment; None to take the inputs as they are.

    Raises:
        PolicyLoadError: the policies cannot be used.
    """

    def __init__(
        self, candidate: Candidate, agents: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self._reader = LineReader()
        self._judge = Judge(candidate.engine())
        self._agents = agents

    def replay(self, part: Part) -> Tally:
        """What the decisions of `part` come to.

        Raises:
            StateUnavailable: the record cannot be read.
        """
        tally = Tally()
        for place, raw in part.lines():
            self.note(raw, (part.number, place), tally)
        return tally

    def note(self, raw: bytes, place: tuple[int, int], tally: Tally) -> None:
        """Count one line of the record, which stands at `place`, in `tally`."""
        if raw == b"\n" or raw.startswith(MARK):
            return
        tally.events += 1
        line = self._reader.read(raw) if raw.endswith(b"\n") else None
        if line is None:
            tally.torn += 1
        elif line.kind in DECIDED:
            self._again(line, raw, place, tally)

    def _again(self, line: Line, raw: bytes, place: tuple[int, int], tally: Tally) -> None:
        was = line.said.effect
        if was is None:
            tally.undecided += 1
            return
        gap = self._gap(line, was, raw)
        if gap is not None:
            tally.gaps[gap] += 1
            return
        documents = [line.input]
        if _NARROWED in raw:
            documents += [{**line.input, "agent": agent} for agent in _narrowed_by(line) or ()]
        if self._agents is not None:
            for document in documents:
                agent = document["agent"]
                document["agent"] = {**agent, **self._agents[agent["id"]]}
        verdicts = [self._judge.verdict(document) for document in documents]
        verdict = verdicts[0] if len(verdicts) == 1 else strictest(verdicts)
        tally.note(line, was, verdict, place, len(raw))

    def _gap(self, line: Line, was: str, raw: bytes) -> Gap | None:
        if was not in STRICTNESS:
            return Gap.UNKNOWN_EFFECT
        if type(line.input) is not dict:
            return Gap.NO_INPUT
        if any(map(_is_in_input, (*line.masked, *line.erased))):
            return Gap.HIDDEN
        if UNRECORDABLE in raw and _is_unrecordable(line.input):
            return Gap.UNRECORDABLE
        agents = [line.input.get("agent")]
        if _NARROWED in raw:
            others = _narrowed_by(line)
            if others is None:
                return Gap.NARROWED
            agents += others
        if self._agents is not None and any(_id_of(agent) not in self._agents for agent in agents):
            return Gap.UNKNOWN_AGENT
        return None


_NARROWED: Final = b'"narrowed_by"'


def _narrowed_by(line: Line) -> list[Any] | None:
    """The agents for which a call was decided besides its own; None where they cannot be read."""
    try:
        detail = msgspec.json.decode(line.detail)
    except (ValueError, RecursionError):
        return None
    found = detail.get("narrowed_by", []) if type(detail) is dict else []
    is_whole = type(found) is list and all(type(_id_of(agent)) is str for agent in found)
    return found if is_whole else None


def _is_in_input(pointer: str) -> bool:
    return pointer == "" or (pointer + "/").startswith("/input/")


def _id_of(agent: Any) -> Any:
    found = agent.get("id") if type(agent) is dict else None
    return found if type(found) is str else None


def _is_unrecordable(value: Any) -> bool:
    """Whether something stands in `value` for what has no JSON form."""
    if type(value) is dict:
        return "$unrecordable" in value or any(map(_is_unrecordable, value.values()))
    return type(value) is list and any(map(_is_unrecordable, value))
