"""Makes the decisions of a part of the record again, by the candidate's policies.

Nothing is executed: no tool is imported, no budget is held, nobody is asked. What a call's run
had spent and done stands in the recorded input, and so does the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.audit.chain import MARK
from guardrails.replay.hidden import Hidden
from guardrails.replay.reading import PartOfLine, reader_of
from guardrails.replay.recorded import DECIDED, STRICTNESS, UNRECORDABLE, Gap
from guardrails.replay.tally import Tally
from guardrails.replay.verdict import Judge, strictest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.engines.in_process import Loaded
    from guardrails.replay.parts import Part
    from guardrails.replay.recorded import Line
    from guardrails.replay.verdict import Verdict


class Replayer:
    """Replays parts of a record with one candidate.

    Args:
        loaded: The policies.
        agents: The agents of another register, in place of what the inputs say about them: by
            id, without the environment; None to take the inputs as they are.
    """

    def __init__(
        self, loaded: Loaded, agents: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        reads = loaded.decider.reads
        self._judge = Judge(loaded)
        self._hidden = Hidden(reads)
        # What a register says of agents is put into whole inputs.
        self._read = reader_of(loaded.shape, reads if agents is None else None)
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
        line = self._read(raw)
        if line is None:
            tally.torn += 1
        elif line.kind in DECIDED:
            self._again(line, raw, place, tally)

    def _again(self, line: Line, raw: bytes, place: tuple[int, int], tally: Tally) -> None:
        said = line if line.policy is None else line.policy
        was = said.effect
        if was is None:
            tally.undecided += 1
            return
        gap = self._gap(line, was, raw, tally)
        if gap is not None:
            tally.gaps[gap] += 1
            return
        tally.note(line, was, self._verdict(line), place, raw)

    def _verdict(self, line: Line) -> Verdict:
        if isinstance(line, PartOfLine):
            return self._judge.verdict(line.input, known=True)
        others = None if line.detail is None else line.detail.narrowed_by
        if not others and self._agents is None:
            return self._judge.verdict(line.input)
        documents = [line.input, *({**line.input, "agent": each} for each in others or ())]
        if self._agents is not None:
            for document in documents:
                agent = document["agent"]
                document["agent"] = {**agent, **self._agents[agent["id"]]}
        return strictest([self._judge.verdict(document) for document in documents])

    def _gap(self, line: Line, was: str, raw: bytes, tally: Tally) -> Gap | None:
        if was not in STRICTNESS:
            return Gap.UNKNOWN_EFFECT
        if type(line.input) is not dict:
            return Gap.NO_INPUT
        if line.masked or line.erased:
            pointer = self._hidden.first((*line.masked, *line.erased))
            if pointer is not None:
                tally.hide(pointer)
                return Gap.HIDDEN
        if isinstance(line, PartOfLine):  # the others are read whole
            return None
        if b"$" in raw and UNRECORDABLE in raw and _is_unrecordable(line.input):
            return Gap.UNRECORDABLE
        others = () if line.detail is None else line.detail.narrowed_by or ()
        if others and not (type(others) is list and all(map(_id_of, others))):
            return Gap.NARROWED
        if self._agents is not None:
            agents = (line.input.get("agent"), *others)
            if any(_id_of(agent) not in self._agents for agent in agents):
                return Gap.UNKNOWN_AGENT
        return None


def _id_of(agent: Any) -> Any:
    found = agent.get("id") if type(agent) is dict else None
    return found if type(found) is str else None


def _is_unrecordable(value: Any) -> bool:
    """Whether something stands in `value` for what has no JSON form."""
    if type(value) is dict:
        return "$unrecordable" in value or any(map(_is_unrecordable, value.values()))
    return type(value) is list and any(map(_is_unrecordable, value))
