"""Which parts of Rego sources an evaluation reached: the ground of ``policy test --coverage``.

What counts are the heads of rules and the expressions of their bodies, also those in
comprehensions, in `every` and after `else`, as the parser's syntax tree has them. An expression
is covered when one of its statements ran; a head, when the body before it held. A row without
either (a comment, an import, a bracket of its own) counts for nothing.

It is the interpreter that is observed; who does not ask for coverage runs nothing of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego import ir
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.definitions import head_writes
from guardrails.rego.evaluation import Evaluation
from guardrails.rego.source_parts import Held, SourceParts
from guardrails.rego.values import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from guardrails.rego.evaluation import Action, Frame, Signal
    from guardrails.rego.linking import Observer
    from guardrails.rego.program import Program
    from guardrails.rego.source_parts import Span
    from guardrails.rego.syntax import Module
    from guardrails.rego.values import Value

# They keep books for the planner and may stand at the place of an expression that is not reached.
_SILENT: Final = (ir.Block, ir.Break, ir.ResetLocal, ir.IsDefined, ir.IsUndefined, ir.ReturnLocal)
_WRITES: Final = (ir.AssignVarOnce, ir.SetAdd, ir.ObjectInsert, ir.ObjectInsertOnce)


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """What was reached of one file.

    Attributes:
        covered: The heads and expressions that were reached, in the order of the file.
        not_covered: The others. A row may stand in both: a head that never came about beside a
            body that ran.
    """

    covered: tuple[Span, ...]
    not_covered: tuple[Span, ...]

    @property
    def covered_rows(self) -> frozenset[int]:
        """The rows on which something was reached."""
        return _rows(self.covered)

    @property
    def not_covered_rows(self) -> frozenset[int]:
        """The rows on which something was not reached."""
        return _rows(self.not_covered)

    @property
    def percent(self) -> float:
        """The share of the rows that are covered; 100 where there is nothing to cover."""
        return _percent(len(self.covered_rows), len(self.not_covered_rows))

    def as_object(self) -> dict[str, Any]:
        """As OPA's report writes it."""
        return {
            "covered": [span.as_object() for span in self.covered],
            "not_covered": [span.as_object() for span in self.not_covered],
            "covered_lines": len(self.covered_rows),
            "not_covered_lines": len(self.not_covered_rows),
            "coverage": self.percent,
        }


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """What was reached of each file.

    Attributes:
        files: By name, in the order of their names.
    """

    files: Mapping[str, FileCoverage]

    @property
    def covered_rows(self) -> int:
        """How many rows are covered, of all files."""
        return sum(len(file.covered_rows) for file in self.files.values())

    @property
    def not_covered_rows(self) -> int:
        """How many rows are not, of all files."""
        return sum(len(file.not_covered_rows) for file in self.files.values())

    @property
    def percent(self) -> float:
        """The share of the rows of all files that are covered."""
        return _percent(self.covered_rows, self.not_covered_rows)

    def as_object(self) -> dict[str, Any]:
        """As ``opa test --coverage --format=json`` writes it."""
        return {
            "files": {name: file.as_object() for name, file in self.files.items()},
            "covered_lines": self.covered_rows,
            "not_covered_lines": self.not_covered_rows,
            "coverage": self.percent,
        }


class Coverage:
    """Collects what evaluations reach, of any number of programs with the same sources.

    Args:
        beside: The names of files that do not count.
    """

    def __init__(self, beside: Collection[str] = ()) -> None:
        self._beside = frozenset(beside)
        self._files: dict[str, SourceParts] = {}
        self._observers: dict[int, _Observer] = {}
        self.planned: set[ir.Location] = set()
        self.reached: set[ir.Location] = set()
        self.held: set[Held] = set()

    def add_modules(self, modules: Iterable[Module]) -> None:
        """Count the heads and expressions of `modules`; those that are known stay as they are."""
        for module in modules:
            if module.file not in self._files and module.file not in self._beside:
                self._files[module.file] = SourceParts(module)

    def evaluate(self, program: Program, entrypoint: str) -> Value:
        """The value of `entrypoint`, without an input and with strict builtin errors.

        Raises:
            EvaluationError: There is no result.
        """
        linked = program.interpreter.linked(self._observer_of(program))
        evaluation = Evaluation(
            EvaluationContext(), program.interpreter.limits, strict_builtin_errors=True
        )
        results = evaluation.run(linked.plans[entrypoint], UNDEFINED, program.data)
        return results[0]["result"] if results else UNDEFINED

    def report(self) -> CoverageReport:
        """What was reached so far."""
        files = {}
        for name in sorted(self._files):
            covered, not_covered = self._files[name].covered(
                _in(self.planned, name),
                _in(self.reached, name),
                (held for held in self.held if held.where.file == name),
            )
            files[name] = FileCoverage(tuple(covered), tuple(not_covered))
        return CoverageReport(files)

    def _observer_of(self, program: Program) -> Observer:
        """What the linker puts around each statement of `program`; the same one every time."""
        known = self._observers.get(id(program.policy))
        if known is None:
            known = _Observer(self, program.policy)
            self._observers[id(program.policy)] = known
        return known


class _Observer:
    """Notes what the statements of one policy do."""

    def __init__(self, coverage: Coverage, policy: ir.Policy) -> None:
        # Statements are known by their identity, so the policy has to stay.
        self._policy = policy
        self._heads = head_writes(policy.functions)
        self._coverage = coverage

    def __call__(self, statement: ir.Statement, action: Action) -> Action:
        where = statement.where
        definition = self._heads.get(id(statement))
        if where.row is None or isinstance(statement, _SILENT):
            return action
        if definition is not None:
            held = Held(where, definition, self._policy.planner == "regopy")
            return _noting_success(self._coverage.held, held, action)
        if isinstance(statement, _WRITES):
            return action
        self._coverage.planned.add(where)
        return _noting_start(self._coverage.reached, where, action)


def _noting_start(reached: set[ir.Location], where: ir.Location, action: Action) -> Action:
    def observe(evaluation: Evaluation, frame: Frame) -> Signal:
        reached.add(where)
        return action(evaluation, frame)

    return observe


def _noting_success(known: set[Held], held: Held, action: Action) -> Action:
    def observe(evaluation: Evaluation, frame: Frame) -> Signal:
        signal = action(evaluation, frame)
        if signal is None:
            known.add(held)
        return signal

    return observe


def _in(places: Iterable[ir.Location], file: str) -> Iterator[ir.Location]:
    return (where for where in places if where.file == file)


def _rows(spans: Iterable[Span]) -> frozenset[int]:
    return frozenset(row for span in spans for row in span.rows())


def _percent(covered: int, not_covered: int) -> float:
    total = covered + not_covered
    return 100.0 * covered / total if total else 100.0


__all__ = ["Coverage", "CoverageReport", "FileCoverage"]
