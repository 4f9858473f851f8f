"""A replay as documents: JSON for machines, Markdown for a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.exact_json import exact_json
from guardrails.replay.recorded import Gap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guardrails.errors import Finding
    from guardrails.replay.counts import ByName
    from guardrails.replay.replaying import Replay
    from guardrails.replay.tally import Example, Flips, Tally

_ROWS: Final = 10
_LONGEST: Final = 120


def document_of(
    found: Replay, findings: Mapping[tuple[int, int], Sequence[Finding]] | None = None
) -> dict[str, Any]:
    """The whole of a replay as JSON values.

    Args:
        found: The replay.
        findings: By an example's place, what the candidate says of it.
    """
    tally = found.tally
    return {
        "log": found.log,
        "candidate": found.candidate,
        "revision": found.revision,
        "events": tally.events,
        "torn": tally.torn,
        "undecided": tally.undecided,
        "decisions": tally.decisions,
        "flips": tally.flips,
        "loosened": tally.loosened,
        "reworded": tally.reworded,
        "unreplayed": {
            gap.value: {"decisions": number, "because": gap.words, **_places(gap, tally)}
            for gap, number in sorted(tally.gaps.items())
        },
        "effects": [
            {"was": was, "becomes": becomes, "decisions": number}
            for (was, becomes), number in sorted(tally.effects.items())
        ],
        "rules": [
            {"rule": rule, **sums.document()}
            for rule, sums in tally.rules.ranked(lambda sums: sums.newly + sums.no_longer)
        ],
        "tools": _rows(tally.tools, "tool"),
        "agents": _rows(tally.agents, "agent"),
        "revisions": _rows(tally.revisions, "revision"),
        "first": tally.first,
        "last": tally.last,
        "timeline": [
            {"time": start, "decisions": same + flips, "flips": flips}
            for start, (same, flips) in tally.timeline.rows(200)
        ],
        "examples": [
            _example(example, rule, (findings or {}).get(example.place, ()))
            for (_, _, rule), example in examples_of(found)
        ],
    }


def examples_of(found: Replay) -> Iterator[tuple[tuple[str, str, str], Example]]:
    """Each example with what it is one of, in the order of these."""
    for key, examples in sorted(found.tally.examples.items()):
        for example in examples:
            yield key, example


def markdown_of(found: Replay) -> str:
    """The summary of a replay, as a comment on a pull request shows it."""
    tally = found.tally
    said = (
        f"Candidate {_code(found.candidate)}, record {_code(found.log)}. Of the changed ones"
        f" {tally.loosened:,} are looser than before; {tally.reworded:,} more have the same effect"
        " by other rules."
    )
    lines = [
        f"### Policy replay: {tally.flips:,} of {tally.decisions:,} recorded decisions change",
        "",
        said,
    ]
    if tally.unreplayed or tally.torn:
        lines += ["", "**Not replayed:**", ""]
        for gap, number in sorted(tally.gaps.items()):
            lines.append(f"- {number:,}: {gap.words}")
            lines += [f"  - {times:,}: {_code(name)}" for name, times in places_of(gap, tally)]
        lines += [f"- {tally.torn:,} lines are no whole event"] if tally.torn else []
    changed = [(key, number) for key, number in tally.effects.most_common() if key[0] != key[1]]
    lines += _table("was | becomes | decisions", [(*key, number) for key, number in changed])
    rules = tally.rules.ranked(lambda sums: sums.newly + sums.no_longer)
    lines += _table(
        "rule | speaks now | no longer",
        [(rule, each.newly, each.no_longer) for rule, each in rules],
    )
    for title, by in (("tool", tally.tools), ("agent", tally.agents)):
        rows = [
            (name, each.decisions, each.flips, each.loosened)
            for name, each in by.ranked(lambda sums: sums.flips)
            if each.flips
        ]
        lines += _table(f"{title} | decisions | flips | looser", rows)
    examples = {example.place: example for _, example in examples_of(found)}
    shown = [
        (each.decision_id or "", each.agent or "", each.tool or "", each.was[0], each.becomes[0])
        for _, each in sorted(examples.items())
    ]
    lines += _table("example | agent | tool | was | becomes", shown)
    return "\n".join(lines) + "\n"


def places_of(gap: Gap, tally: Tally) -> list[tuple[str, int]]:
    """Where inputs lack what makes this gap, most frequent first, and how often; a few."""
    if gap is not Gap.HIDDEN:
        return []
    ranked = tally.hidden.ranked(lambda sums: sums.times)
    return [(name, sums.times) for name, sums in ranked][:_ROWS]


def _places(gap: Gap, tally: Tally) -> dict[str, Any]:
    found = places_of(gap, tally)
    return {"places": [{"pointer": name, "decisions": n} for name, n in found]} if found else {}


def _rows(by: ByName[Flips], name: str) -> list[dict[str, Any]]:
    return [{name: key, **sums.document()} for key, sums in by.ranked(lambda sums: sums.flips)]


def _example(example: Example, rule: str, findings: Sequence[Finding]) -> dict[str, Any]:
    document = example.input
    return {
        "rule": rule,
        "decision_id": example.decision_id,
        "run_id": example.run_id,
        "agent": example.agent,
        "tool": example.tool,
        "time": example.time,
        "was": {"effect": example.was[0], "rules": list(example.was[1])},
        "becomes": {"effect": example.becomes[0], "rules": list(example.becomes[1])},
        "args": None if document is None else document.get("args"),
        "findings": [each._asdict() for each in findings],
    }


def _table(head: str, rows: Sequence[Sequence[object]]) -> list[str]:
    if not rows:
        return []
    columns = head.split(" | ")
    lines = ["", f"| {head} |", f"|{'---|' * len(columns)}"]
    for row in rows[:_ROWS]:
        cells = [f"{cell:,}" if isinstance(cell, int) else _code(cell) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    if len(rows) > _ROWS:
        lines += ["", f"… and {len(rows) - _ROWS} more."]
    return lines


def _code(text: object) -> str:
    """`text` as a span of code that it cannot leave, on one line, also within a table."""
    shown = exact_json(str(text))[1:-1].replace('\\"', '"').replace("`", "'").replace("|", "¦")
    return f"`{shown[:_LONGEST]}`" if shown else ""


__all__ = ["document_of", "examples_of", "markdown_of", "places_of"]
