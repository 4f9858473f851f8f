"""Makes the decisions of a part of the record again, by the candidate's policies.

Nothing is executed: no tool is imported, no budget is held, nobody is asked. What a call's run
had spent and done stands in the recorded input, and so does the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.replay.recorded import DECIDED, MARK, STRICTNESS, UNRECORDABLE, Gap, LineReader
from guardrails.replay.tally import Tally
from guardrails.replay.verdict import Judge

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
            if raw == b"\n" or raw.startswith(MARK):
                continue
            tally.events += 1
            line = self._reader.read(raw) if raw.endswith(b"\n") else None
            if line is None:
                tally.torn += 1
            elif line.kind in DECIDED:
                self._again(line, raw, (part.number, place), tally)
        return tally

    def _again(self, line: Line, raw: bytes, place: tuple[int, int], tally: Tally) -> None:
        was = line.said.effect
        if was is None:
            tally.undecided += 1
            return
        gap = self._gap(line, was, raw)
        if gap is not None:
            tally.gaps[gap] += 1
            return
        if self._agents is not None:
            line.input["agent"] = {**line.input["agent"], **self._agents[line.input["agent"]["id"]]}
        tally.note(line, was, self._judge.verdict(line.input), place, len(raw))

    def _gap(self, line: Line, was: str, raw: bytes) -> Gap | None:
        if was not in STRICTNESS:
            return Gap.UNKNOWN_EFFECT
        if type(line.input) is not dict:
            return Gap.NO_INPUT
        if line.masked or line.erased:
            return Gap.HIDDEN
        if UNRECORDABLE in raw and _is_unrecordable(line.input):
            return Gap.UNRECORDABLE
        if self._agents is not None and _agent_id(line.input) not in self._agents:
            return Gap.UNKNOWN_AGENT
        return None


def _agent_id(document: dict[str, Any]) -> Any:
    agent = document.get("agent")
    found = agent.get("id") if type(agent) is dict else None
    return found if type(found) is str else None


def _is_unrecordable(value: Any) -> bool:
    """Whether something stands in `value` for what has no JSON form."""
    if type(value) is dict:
        return "$unrecordable" in value or any(map(_is_unrecordable, value.values()))
    return type(value) is list and any(map(_is_unrecordable, value))
