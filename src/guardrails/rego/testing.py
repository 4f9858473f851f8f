"""``guardrails policy test``: run the ``test_*`` rules of ``*_test.rego`` files.

Every test is an entry point of one plan and is evaluated in this process, with
strict builtin errors, as decisions are. Where an OPA binary is at hand,
``opa test`` runs the same tests, and a test on which the two disagree fails.
A test that regopy cannot plan counts as OPA says, or, without OPA, is an error
that names the place and the mend.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego.opa_binary import find_opa
from guardrails.rego.opa_binary import run_tests as run_opa_tests
from guardrails.rego.planner import parse_modules, plan_modules
from guardrails.rego.planner_traps import Trap, traps
from guardrails.rego.program import Program
from guardrails.rego.sources import find_sources
from guardrails.rego.syntax import rule_path
from guardrails.rego.with_lifting import lift

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from guardrails.rego.coverage import Coverage
    from guardrails.rego.opa_binary import OpaTest
    from guardrails.rego.planner import PlannerName
    from guardrails.rego.sources import Sources
    from guardrails.rego.syntax import Module, Node
    from guardrails.rego.values import Value

Outcome = Literal["pass", "fail", "error", "skip"]

Evaluate: TypeAlias = "Callable[[Program, str], Value]"
"""The value of an entrypoint of a program."""

_TEST: Final = "test_"
_SKIPPED: Final = "todo_test_"


@dataclass(frozen=True, slots=True)
class TestResult:
    """How one test came out.

    Attributes:
        file: The file in which the test stands.
        row: Its line, from 1.
        package: As ``guardrails_test.access``.
        name: As ``test_nothing_at_all_is_denied``.
        outcome: ``pass``, ``fail`` (it is not true), ``error`` (it could not be run), ``skip``.
        seconds: How long it ran.
        message: Why it did not pass, with the place and the mend; empty if it did.
        engines: Who ran it: ``guardrails``, ``opa`` or both.
    """

    __test__ = False  # pytest takes classes of this name for its own

    file: str
    row: int
    package: str
    name: str
    outcome: Outcome
    seconds: float = 0.0
    message: str = ""
    engines: tuple[str, ...] = ()


@dataclass(slots=True)
class _Case:
    """One test on its way to a result."""

    module: Module
    rule: Node
    name: str
    outcome: Outcome | None = None
    message: str = ""
    seconds: float = 0.0
    engines: list[str] = field(default_factory=list)

    @property
    def package(self) -> str:
        return ".".join(self.module.package)

    @property
    def entrypoint(self) -> str:
        return "/".join((*self.module.package, self.name))

    def settle(self, outcome: Outcome, message: str = "") -> None:
        self.outcome, self.message = outcome, message


def run_tests(  # noqa: PLR0913  # options, by name
    paths: Sequence[str | Path],
    *,
    run: str | None = None,
    planner: PlannerName = "regopy",
    opa: str | None = None,
    use_opa: bool = True,
    coverage: Coverage | None = None,
) -> list[TestResult]:
    """The result of every test in `paths`, in the order of files and rows.

    Args:
        paths: Directories and files with policies, tests and data.
        run: A regular expression; only tests whose ``package.name`` it is found in are run.
        planner: Who plans: ``regopy`` or ``opa``.
        opa: The OPA binary; None looks for one.
        use_opa: Run ``opa test`` too, where there is a binary.
        coverage: Takes what the tests reach; what OPA alone can run counts for nothing.

    Raises:
        PolicyLoadError: A path cannot be read, or a policy (not a test) cannot be parsed.
        re.error: `run` is no regular expression.
    """
    wanted = re.compile(run or "")
    sources = find_sources(paths)
    binary = find_opa(opa) if use_opa or planner == "opa" else None
    parsed, errors = parse_modules(sources.tests)
    cases = [case for module in parsed.values() for case in _cases(module)]
    cases = [case for case in cases if wanted.search(f"{case.package}.{case.name}")]
    pending = [case for case in cases if case.outcome is None]
    if coverage is not None:
        policies, wrong = parse_modules(sources.modules)
        if wrong:
            raise wrong[0]
        coverage.add_modules([*policies.values(), *parsed.values()])
    evaluate = _evaluation(coverage)
    if planner == "regopy":
        _run_planned_by_regopy(pending, parsed, sources, evaluate)
    else:
        modules = {**sources.modules, **{name: module.source for name, module in parsed.items()}}
        _plan_and_evaluate(pending, modules, sources.data, evaluate, "opa", binary)
    if binary is not None and use_opa:
        _join_opa(pending, binary, sources)
    results = [_result(case) for case in cases]
    results += [_broken(error) for error in errors]
    return sorted(results, key=lambda result: (result.file, result.row, result.name))


def _cases(module: Module) -> Iterable[_Case]:
    """The tests of a module, each once, at its first rule."""
    found: dict[str, _Case] = {}
    for rule in module.rules:
        path = rule_path(rule)
        if len(path) != 1 or path[0] in found or not path[0].startswith((_TEST, _SKIPPED)):
            continue
        case = _Case(module, rule, path[0])
        if path[0].startswith(_SKIPPED):
            case.settle("skip", "it is marked as still to be written")
        elif module.package[:1] != ("guardrails_test",):
            case.settle(
                "error",
                f"tests lie in packages `guardrails_test.…`; this one is in `{case.package}`",
            )
        found[path[0]] = case
    return found.values()


def _run_planned_by_regopy(
    cases: Sequence[_Case], parsed: Mapping[str, Module], sources: Sources, evaluate: Evaluate
) -> None:
    """Plans all tests at once; what regopy cannot plan is taken out, file by file if need be."""
    certain, doubtful = _found_traps(parsed.values())
    _give_up(cases, certain)
    texts = {name: _without(module, certain) for name, module in parsed.items()}
    if _plan_and_evaluate(cases, {**sources.modules, **texts}, sources.data, evaluate, quiet=True):
        return
    _give_up(cases, doubtful)
    texts = {name: _without(module, [*certain, *doubtful]) for name, module in parsed.items()}
    if _plan_and_evaluate(cases, {**sources.modules, **texts}, sources.data, evaluate, quiet=True):
        return
    for name, text in texts.items():
        own = [case for case in cases if case.module.file == name]
        support = {
            other: texts[other]
            for other, module in parsed.items()
            if other != name and not any(True for _ in _cases(module))
        }
        modules = {**sources.modules, **support, name: text}
        _plan_and_evaluate(own, modules, sources.data, evaluate)


def _plan_and_evaluate(  # noqa: PLR0913, PLR0917  # what one plan needs, the last three by name
    cases: Sequence[_Case],
    modules: Mapping[str, str],
    data: Mapping[str, Any],
    evaluate: Evaluate,
    planner: PlannerName = "regopy",
    opa: str | None = None,
    *,
    quiet: bool = False,
) -> bool:
    """Whether the modules could be planned; if so, every open case is settled.

    With `quiet`, a planning that fails leaves the cases open, for another attempt.
    """
    entrypoints = [case.entrypoint for case in cases if case.outcome is None]
    if not entrypoints:
        return True
    try:
        plan = plan_modules(modules, entrypoints, planner=planner, opa=opa)
        # Each is evaluated once: to compile them would take several times as long.
        program = Program.from_plan(
            plan.document, data=dict(data), planner=plan.planner, compiled=False
        )
    except PolicyLoadError as error:
        if not quiet:
            for case in cases:
                if case.outcome is None:
                    case.settle("error", str(error))
        return False
    for case in cases:
        if case.outcome is None:
            _settle(program, case, evaluate)
    return True


def _evaluation(coverage: Coverage | None) -> Evaluate:
    """How a test is evaluated: observed by `coverage`, or as decisions are."""
    if coverage is not None:
        return coverage.evaluate
    return lambda program, entrypoint: program.evaluate(entrypoint, strict_builtin_errors=True)


def _settle(program: Program, case: _Case, evaluate: Evaluate) -> None:
    case.engines.append("guardrails")
    begin = time.perf_counter()
    try:
        value = evaluate(program, case.entrypoint)
    except EvaluationError as error:
        case.settle("error", str(error))
    else:
        case.settle(*(("pass", "") if value is True else ("fail", _not_true(value))))
    case.seconds = time.perf_counter() - begin


def _not_true(value: object) -> str:
    return (
        f"it is `{value!r}`, not true"
        if isinstance(value, bool)
        else "a condition of it is not met"
    )


def _found_traps(modules: Iterable[Module]) -> tuple[list[Trap], list[Trap]]:
    """The traps that regopy certainly fails on, and those that it may, as far as none is lifted."""
    found = []
    for module in modules:
        _, lifts = lift(module)
        found += [
            trap
            for trap in traps(module)
            if not any(lifted.start <= trap.start < lifted.end for lifted in lifts)
        ]
    return [trap for trap in found if trap.certain], [trap for trap in found if not trap.certain]


def _give_up(cases: Sequence[_Case], found: Sequence[Trap]) -> None:
    """Settles the tests that hold a trap; one in a rule that is no test costs its whole file."""
    for case in cases:
        for trap in found:
            if case.outcome is not None or trap.file != case.module.file:
                continue
            path = rule_path(trap.rule)
            if path == [case.name] or not path or not path[0].startswith(_TEST):
                case.settle("error", f"{trap.file}:{trap.row}:{trap.col}: {trap.message}")


def _without(module: Module, found: Sequence[Trap]) -> str:
    """The module's source with the rules that hold a trap blanked out; rows stay as they are."""
    source = module.source.encode()
    # To the next rule: the tree's spans leave out a closing brace.
    starts = sorted(rule.start for rule in module.rules if rule.start is not None)
    ends = dict(zip(starts, [*starts[1:], len(source)], strict=True))
    for trap in found:
        if trap.file == module.file and trap.rule.start is not None:
            begin, end = trap.rule.start, ends[trap.rule.start]
            source = source[:begin] + re.sub(rb"[^\n]", b" ", source[begin:end]) + source[end:]
    return source.decode()


def _join_opa(cases: Sequence[_Case], binary: str, sources: Sources) -> None:
    """Sets the verdicts of ``opa test`` beside ours: both must pass."""
    try:
        listed = run_opa_tests(binary, {**sources.modules, **sources.tests}, dict(sources.data))
    except PolicyLoadError as error:
        for case in cases:
            case.settle("error", f"OPA: {error}")
        return
    theirs = {(test.file, test.package, test.name): test for test in listed}
    for case in cases:
        test = theirs.get((case.module.file, case.package, case.name))
        if test is not None:
            _join(case, test)


def _join(case: _Case, test: OpaTest) -> None:
    ran_here = bool(case.engines)
    case.engines.append("opa")
    if not ran_here:
        outcome: Outcome = (
            "pass" if test.outcome == "pass" else "fail" if test.outcome == "fail" else "error"
        )
        case.settle(outcome, test.message or ("" if outcome == "pass" else "OPA says so"))
        case.seconds = test.seconds
    elif (case.outcome == "pass") != (test.outcome == "pass"):
        ours = case.outcome or "error"
        if ours == "pass":
            outcome, because = "fail", test.message
        else:
            outcome, because = ours, case.message
        case.settle(
            outcome, f"the engines differ: here it is {ours}, by OPA {test.outcome}; {because}"
        )


def _result(case: _Case) -> TestResult:
    row, _ = case.module.place(case.rule)
    return TestResult(
        file=case.module.file,
        row=row,
        package=case.package,
        name=case.name,
        outcome=case.outcome or "error",
        seconds=case.seconds,
        message=case.message,
        engines=tuple(case.engines),
    )


def _broken(error: PolicyLoadError) -> TestResult:
    """A file of tests that does not parse, as one result."""
    return TestResult(
        file=error.file or "",
        row=error.row or 0,
        package="",
        name="(file)",
        outcome="error",
        message=error.message,
    )


__all__ = ["Outcome", "TestResult", "run_tests"]
