"""What a replay comes to: counts and a few examples, however many events it saw.

Tallies of parts of a record add up to that of the whole, in whatever order they are added.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from guardrails.replay.counts import ByName, Sums, Times
from guardrails.replay.reading import whole_input
from guardrails.replay.recorded import STRICTNESS
from guardrails.replay.timeline import Timeline

if TYPE_CHECKING:
    from guardrails.replay.recorded import Gap, Line
    from guardrails.replay.verdict import Verdict

EXAMPLES_EACH: Final = 3
"""Examples of each change of effect by each rule: the first in the record."""

MOST_KINDS: Final = 300
"""Changes of effect by a rule that have examples."""


_POINTERS: Final = 200
"""Places in inputs that are told apart where something is hidden."""

_INDEX: Final = re.compile(r"/\d+(?=/|$)")
"""Places in lists, which are told as one."""


class Flips(Sums):
    """Decisions about calls of one tool or agent, and those with another effect."""

    __slots__ = ("decisions", "flips", "loosened")

    decisions: int
    flips: int
    loosened: int


class Speaking(Sums):
    """In how many flips a rule speaks for the first time, or does not speak any more."""

    __slots__ = ("newly", "no_longer")

    newly: int
    no_longer: int


@dataclass(frozen=True, slots=True)
class Example:
    """One flip.

    Attributes:
        place: Where it stands in the record: its file's number and the byte.
        decision_id: The call's id.
        run_id: The run.
        agent: The agent.
        tool: The tool.
        time: When it was decided, in UTC nanoseconds.
        was: The recorded effect, and the rules behind it.
        becomes: The same by the candidate.
        input: The document; None where it is too large to be carried along, or holds a number
            that nothing holds, in a part that was not read.
    """

    place: tuple[int, int]
    decision_id: str | None
    run_id: str | None
    agent: str | None
    tool: str | None
    time: int
    was: tuple[str, tuple[str, ...]]
    becomes: tuple[str, tuple[str, ...]]
    input: dict[str, Any] | None


@dataclass(slots=True)
class Tally:
    """The counts.

    Attributes:
        events: Lines of the record.
        torn: Lines that are no event.
        decisions: Decisions that were made again.
        undecided: Calls that were refused before policy was asked.
        gaps: Decisions that could not be made again, by the reason.
        hidden: Those of them whose input lacks something, by the first pointer to such a value.
        effects: Decisions by the recorded effect and the candidate's.
        reworded: Decisions of the same effect for other rules.
        tools: By tool.
        agents: By agent.
        rules: By rule, among flips.
        revisions: By the revision that is recorded.
        timeline: Decisions of the same effect, and flips, by time.
        first: The time of the first decision, in UTC nanoseconds; 0 for none.
        last: The time of the last one.
        examples: Flips by the change and the rule.
    """

    events: int = 0
    torn: int = 0
    decisions: int = 0
    undecided: int = 0
    gaps: Counter[Gap] = field(default_factory=Counter)
    hidden: ByName[Times] = field(default_factory=lambda: ByName(Times, most=_POINTERS))
    effects: Counter[tuple[str, str]] = field(default_factory=Counter)
    reworded: int = 0
    tools: ByName[Flips] = field(default_factory=lambda: ByName(Flips))
    agents: ByName[Flips] = field(default_factory=lambda: ByName(Flips))
    rules: ByName[Speaking] = field(default_factory=lambda: ByName(Speaking))
    revisions: ByName[Flips] = field(default_factory=lambda: ByName(Flips))
    timeline: Timeline = field(default_factory=lambda: Timeline(2))
    first: int = 0
    last: int = 0
    examples: dict[tuple[str, str, str], list[Example]] = field(default_factory=dict)

    @property
    def flips(self) -> int:
        """Decisions with another effect."""
        return sum(number for (was, becomes), number in self.effects.items() if was != becomes)

    @property
    def loosened(self) -> int:
        """Flips after which a call is less held up than before."""
        return sum(
            number for (was, becomes), number in self.effects.items() if _looser(was, becomes)
        )

    @property
    def unreplayed(self) -> int:
        """Decisions that could not be made again."""
        return sum(self.gaps.values())

    def note(
        self, line: Line, was: str, verdict: Verdict, place: tuple[int, int], raw: bytes
    ) -> None:
        """Count one decision that was made again.

        Args:
            line: Its event.
            was: The recorded effect.
            verdict: What the candidate says.
            place: Where the event stands.
            raw: Its line.
        """
        becomes = verdict.effect
        self.decisions += 1
        self.effects[was, becomes] += 1
        tool, agent = self.tools.of(line.tool), self.agents.of(line.agent)
        revision = self.revisions.of(line.revision)
        tool.decisions += 1
        agent.decisions += 1
        revision.decisions += 1
        time = line.time
        self.timeline.note(time, was != becomes)
        self.last = max(self.last, time)
        if time < self.first or not self.first:
            self.first = time
        if was == becomes:
            said = line if line.policy is None else line.policy
            self.reworded += not said.is_by(verdict.rules)
            return
        looser = _looser(was, becomes)
        for each in (tool, agent, revision):
            each.flips += 1
            each.loosened += looser
        self._flip(line, was, verdict, place, raw)

    def hide(self, pointer: str) -> None:
        """Count one decision whose input lacks what stood at `pointer` of its line."""
        self.hidden.of(_INDEX.sub("/*", pointer) or "(the whole line)").times += 1

    def add(self, other: Tally) -> None:
        """Add the tally of another part of the record."""
        for name in ("events", "torn", "decisions", "undecided", "reworded"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.gaps.update(other.gaps)
        self.hidden.add(other.hidden)
        self.effects.update(other.effects)
        self.tools.add(other.tools)
        self.agents.add(other.agents)
        self.revisions.add(other.revisions)
        self.rules.add(other.rules)
        self.timeline.add(other.timeline)
        if other.first:
            self.first = min(self.first or other.first, other.first)
            self.last = max(self.last, other.last)
        for key, examples in other.examples.items():
            for example in examples:
                self._exemplify(key, example)

    def _flip(
        self, line: Line, was: str, verdict: Verdict, place: tuple[int, int], raw: bytes
    ) -> None:
        before = line.said.rules()
        newly, no_longer = verdict.rules - before, before - verdict.rules
        for rule in newly:
            self.rules.of(rule).newly += 1
        for rule in no_longer:
            self.rules.of(rule).no_longer += 1
        # What a call is held up by now; where nothing holds it up, what did before.
        speaks = newly or no_longer or {""}
        example: Example | None = None
        for rule in sorted(speaks):
            key = (was, verdict.effect, rule[:200])
            if self._wants(key, place):
                example = example or Example(
                    place,
                    line.decision_id,
                    line.run_id,
                    line.agent,
                    line.tool,
                    line.time,
                    (was, tuple(sorted(before))),
                    (verdict.effect, tuple(sorted(verdict.rules))),
                    whole_input(line, raw) if len(raw) <= _LARGEST else None,
                )
                self._exemplify(key, example)

    def _wants(self, key: tuple[str, str, str], place: tuple[int, int]) -> bool:
        kept = self.examples.get(key)
        if kept is None:
            return len(self.examples) < MOST_KINDS
        return len(kept) < EXAMPLES_EACH or place < kept[-1].place

    def _exemplify(self, key: tuple[str, str, str], example: Example) -> None:
        if self._wants(key, example.place):
            kept = self.examples.setdefault(key, [])
            kept.append(example)
            kept.sort(key=lambda each: each.place)
            del kept[EXAMPLES_EACH:]


_LARGEST: Final = 64 << 10
"""Bytes of a line whose input is kept with an example."""


def _looser(was: str, becomes: str) -> bool:
    return STRICTNESS[becomes] < STRICTNESS[was]
