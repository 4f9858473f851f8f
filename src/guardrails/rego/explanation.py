"""What an evaluation did, for a person to read: which rules gave what, and what failed in others.

:mod:`~guardrails.rego.explain` makes a :class:`Trace`; here it is told. With the sources at
hand, the line of Rego stands below each condition that failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from guardrails.rego.values import UNDEFINED, RegoSet, dumps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guardrails.errors import EvaluationError
    from guardrails.rego import ir
    from guardrails.rego.values import Value

Mode: TypeAlias = Literal["notes", "fails", "full"]
"""How much is told: the rules that gave something, and what `trace` and `print` say; every rule,
with the first condition that failed in each body that did not hold; or every statement."""

MAX_ENTRIES: Final = 20_000
"""Statements and rules that one trace keeps."""

_SHORT: Final = 100
"""Characters of a value that are shown."""

_LONG: Final = 400
"""Characters of a condition, or of a line of a source, that are shown."""

_MAX_FAILURES: Final = 8
"""Conditions that are told of one run of a rule, outside of the mode `full`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement that ran.

    Attributes:
        where: Its place in the Rego file.
        text: The statement in the words of the policy, with the values in it.
        held: Whether it went on.
        negated: Whether it stood under a `not`, where to fail is to succeed.
        body: In which of the rule's bodies it stands, counted as its plan has them.
        note: Whether it is what `trace` or `print` says; its text is that, then.
    """

    where: ir.Location
    text: str
    held: bool
    negated: bool
    body: int = 0
    note: bool = False


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One run of a rule or function.

    Attributes:
        name: As ``data.guardrails.rules.access.allow``, a function with its arguments.
        where: The file and row of its first definition.
        value: What it gave; UNDEFINED if nothing, or if the evaluation ended in it.
        entries: The statements and the other rules that it ran, in order.
        held: Which of its bodies held, and gave a value or an element.
    """

    name: str
    where: ir.Location
    value: Value
    entries: tuple[Step | RuleTrace, ...]
    held: frozenset[int] = frozenset()

    @property
    def contributes(self) -> bool:
        """Whether its value is something: neither undefined nor false nor an empty collection."""
        if self.value is UNDEFINED or self.value is False:
            return False
        return not (isinstance(self.value, list | dict | RegoSet) and len(self.value) == 0)

    @property
    def failures(self) -> tuple[Step, ...]:
        """The statements at which its bodies ended, each once; loops end many a round."""
        return tuple(dict.fromkeys(self._failed()))

    @property
    def first_failures(self) -> tuple[tuple[Step, int], ...]:
        """Of each body that did not hold, where it ended, with how many more rounds ended there.

        A body without a loop ends in one place; one with a loop, in one or more.
        """
        found: dict[tuple[int, ir.Location], list[Step]] = {}
        for step in self._failed():
            if step.body not in self.held:
                found.setdefault((step.body, step.where), []).append(step)
        return tuple((steps[0], len(steps) - 1) for steps in found.values())

    def _failed(self) -> Iterator[Step]:
        for entry in self.entries:
            if isinstance(entry, Step) and not (entry.held or entry.negated or entry.note):
                yield entry

    def rules(self) -> Iterator[RuleTrace]:
        """This rule, and those that ran within it, in the order in which they began."""
        yield self
        for entry in self.entries:
            if isinstance(entry, RuleTrace):
                yield from entry.rules()


@dataclass(frozen=True, slots=True)
class Trace:
    """What an evaluation did.

    Attributes:
        entrypoint: What was evaluated.
        results: The result set, as :meth:`Program.run` gives it.
        error: What ended the evaluation instead.
        calls: The rules that the entrypoint ran.
        complete: Whether everything was kept (:data:`MAX_ENTRIES`).
    """

    entrypoint: str
    results: list[Value]
    error: EvaluationError | None
    calls: tuple[RuleTrace, ...]
    complete: bool

    def rules(self) -> Iterator[RuleTrace]:
        """Every rule and function that ran, in the order in which they began."""
        for call in self.calls:
            yield from call.rules()

    def render(self, mode: Mode = "fails", sources: Mapping[str, str] | None = None) -> str:
        """The trace as text, a line each, indented as the rules ran within one another.

        Args:
            mode: How much is told.
            sources: The Rego sources by file name: a condition that failed is told with its line.
        """
        teller = _Teller(mode, sources or {})
        lines = [line for call in self.calls for line in teller.lines(call, 0)]
        if not self.complete:
            lines.append(f"(only the first {MAX_ENTRIES} statements are shown)")
        if self.error is not None:
            lines.append(f"error: {self.error}")
        elif not self.results:
            lines.append(f"{self.entrypoint} is undefined")
        else:
            shown = [shortened(result.get("result", result)) for result in self.results]
            lines.append(f"{self.entrypoint} = {', '.join(shown)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()


class _Teller:
    """Tells rules in one mode."""

    def __init__(self, mode: Mode, sources: Mapping[str, str]) -> None:
        self._mode = mode
        self._rows = {file: text.split("\n") for file, text in sources.items()}
        self._told: dict[str, list[RuleTrace]] = {}

    def lines(self, rule: RuleTrace, depth: int) -> Iterator[str]:
        """The lines of `rule`, of its steps, and of what ran within it."""
        told = self._mode != "notes" or rule.contributes
        margin = "  " * depth
        if told:
            value = "undefined" if rule.value is UNDEFINED else f"= {shortened(rule.value)}"
            again = self._is_told(rule)
            yield f"{margin}{rule.where}  {rule.name}  {value}{'  (as above)' if again else ''}"
            if again:
                return
        for entry in rule.entries:
            if isinstance(entry, RuleTrace):
                yield from self.lines(entry, depth + told)
            elif entry.note:
                yield f"{margin}    {entry.where}  note: {_cut(entry.text)}"
            elif self._mode == "full":
                mark = "holds" if entry.held else "fails"
                yield f"{margin}    {entry.where}  {mark}: {_cut(entry.text)}"
        if self._mode == "fails":
            yield from self._failures(rule, f"{margin}    ")

    def _is_told(self, rule: RuleTrace) -> bool:
        """Whether a run of the same rule that did the very same was told before."""
        if self._mode == "full" or not rule.entries:
            return False
        before = self._told.setdefault(rule.name, [])
        if rule in before:
            return True
        before.append(rule)
        return False

    def _failures(self, rule: RuleTrace, margin: str) -> Iterator[str]:
        failures = rule.first_failures
        for step, more in failures[:_MAX_FAILURES]:
            rounds = f", and {more} more like it" if more else ""
            yield f"{margin}{step.where}  fails: {_cut(step.text)}{rounds}"
            line = self._line(step.where)
            if line:
                yield f"{margin}  | {line}"
        if len(failures) > _MAX_FAILURES:
            yield f"{margin}and {len(failures) - _MAX_FAILURES} more"

    def _line(self, where: ir.Location) -> str:
        rows = self._rows.get(where.file or "", [])
        row = where.row or 0
        return _cut(rows[row - 1].strip()) if 0 < row <= len(rows) else ""


def shortened(value: Value) -> str:
    """`value` as JSON, cut where it gets long."""
    text = dumps(value)
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


__all__ = ["MAX_ENTRIES", "Mode", "RuleTrace", "Step", "Trace", "shortened"]
