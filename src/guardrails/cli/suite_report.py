"""What ``guardrails policy test`` prints: a line a suite, and every test that did not pass."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrails.cli.console import notices, output, plain, print_json
from guardrails.cli.coverage_report import is_met, print_coverage
from guardrails.rego.opa_binary import excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.cli.policy_sources import Suite
    from guardrails.rego.coverage import Coverage
    from guardrails.rego.testing import Outcome, TestResult

_PLACE: Final = re.compile(r"(?P<file>[^:\n]+\.rego):(?P<row>\d+)(?::(?P<col>\d+))?: ")
"""Where a message says that something is wrong."""

_STYLES: Final[dict[Outcome, str]] = {
    "pass": "green",
    "fail": "bold red",
    "error": "bold red",
    "skip": "yellow",
}


class SuiteReport:
    """Prints results as they come, or all at the end as JSON.

    Args:
        verbose: Name the tests that pass, too.
        as_json: Print one JSON object at the end and nothing before.
        given: The paths of the command line; empty where the configuration named them.
        coverage: What the tests reach, where it is asked for.
        threshold: The percentage that they must reach.
    """

    def __init__(
        self,
        *,
        verbose: bool,
        as_json: bool,
        given: Sequence[Path],
        coverage: Coverage | None = None,
        threshold: float | None = None,
    ) -> None:
        self._verbose = verbose
        self._as_json = as_json
        self._given = given
        self._coverage = coverage
        self._threshold = threshold
        self._results: list[tuple[str, TestResult]] = []

    @property
    def passed(self) -> bool:
        """Whether there were tests, none failed, and they reached as much as they must."""
        return self._all_passed and (
            self._coverage is None or is_met(self._coverage.report(), self._threshold)
        )

    @property
    def _all_passed(self) -> bool:
        counts = self._counts()
        return counts["pass"] > 0 and counts["fail"] + counts["error"] == 0

    def add(self, suite: Suite, results: Sequence[TestResult], seconds: float) -> None:
        """Take the results of one suite, which took `seconds` with its planning."""
        self._results += [(suite.name, result) for result in results]
        if self._as_json or not results:
            return
        shown = [each for each in results if each.outcome != "pass" or self._verbose]
        for result, after in zip_longest(shown, shown[1:]):
            _print_test(result)
            # What keeps a whole file of tests from running is told once.
            if after is None or after.message != result.message or not result.message:
                _print_message(result)
        counts = Counter(result.outcome for result in results)
        words = ", ".join(f"{counts[each]} {_WORDS[each]}" for each in _STYLES if counts[each])
        bad = counts["fail"] + counts["error"] > 0
        output().print(
            plain(f"{suite.name}:"),
            plain(words, "bold red" if bad else "green"),
            plain(f"in {_duration(seconds)}"),
            soft_wrap=True,
        )

    def close(self) -> None:
        """Print the sum."""
        if self._as_json:
            self._print_json()
            return
        counts = self._counts()
        total = sum(counts.values())
        if total == 0:
            where = ", ".join(map(str, self._given)) or "the layers of guardrails.yaml"
            text = f"FAIL: no test ran; no rule `test_…` of a file `*_test.rego` fits, in {where}"
            output().print(plain(text, "bold red"), soft_wrap=True)
            return
        verdict = "PASS" if self._all_passed else "FAIL"
        both = any("opa" in result.engines for _, result in self._results)
        by = "guardrails and opa agree" if both else "by guardrails; no OPA binary was asked"
        style = "bold green" if self._all_passed else "bold red"
        output().print(
            plain(f"{verdict}: {counts['pass']}/{total}", style),
            plain(f"({by if self._all_passed else _failures(counts)})"),
        )
        self._print_coverage()
        self._print_next_step()

    def _print_coverage(self) -> None:
        if self._coverage is None:
            return
        elsewhere = sum(
            bool(result.engines) and "guardrails" not in result.engines
            for _, result in self._results
        )
        if elsewhere:
            words = "1 test was" if elsewhere == 1 else f"{elsewhere} tests were"
            text = f"note: {words} run by opa alone; what only these reach is not counted"
            notices().print(plain(text))
        print_coverage(self._coverage.report(), self._threshold)

    def _print_next_step(self) -> None:
        """The command that says more about the first test that did not pass."""
        bad = [result for _, result in self._results if result.outcome in {"fail", "error"}]
        if not bad:
            return
        if bad[0].outcome == "error":
            paths = "".join(f" {shlex.quote(str(path))}" for path in self._given)
            command = f"guardrails policy check{paths}"
        else:
            paths = "".join(f" -d {shlex.quote(str(path))}" for path in self._given)
            entrypoint = f"{bad[0].package}.{bad[0].name}".replace(".", "/")
            command = f"guardrails policy eval{paths} --explain=fails {entrypoint}"
        output().print(plain(f"why: {command}"), soft_wrap=True)

    def _print_json(self) -> None:
        counts = self._counts()
        tests: list[dict[str, Any]] = [
            {
                "suite": suite,
                "file": result.file,
                "row": result.row,
                "package": result.package,
                "name": result.name,
                "outcome": result.outcome,
                "seconds": round(result.seconds, 6),
                "message": result.message,
                "engines": result.engines,
            }
            for suite, result in self._results
        ]
        counted = {outcome: counts[outcome] for outcome in _STYLES}
        told: dict[str, Any] = {"passed": self.passed, "counts": counted, "tests": tests}
        if self._coverage is not None:
            told["coverage"] = self._coverage.report().as_object()
        print_json(told)

    def _counts(self) -> Counter[Outcome]:
        return Counter(result.outcome for _, result in self._results)


_WORDS: Final[dict[Outcome, str]] = {
    "pass": "passed",
    "fail": "failed",
    "error": "could not be run",
    "skip": "skipped",
}

_WORDS_OF_ONE: Final[dict[Outcome, str]] = {
    "pass": "PASS ",
    "fail": "FAIL ",
    "error": "ERROR",
    "skip": "SKIP ",
}


def _print_test(result: TestResult) -> None:
    place = f"{result.file}:{result.row}" if result.row else result.file
    time = f" ({_duration(result.seconds)})" if result.outcome == "pass" else ""
    output().print(
        plain(_WORDS_OF_ONE[result.outcome], _STYLES[result.outcome]),
        plain(f" {place}: {result.name}{time}"),
        soft_wrap=True,
    )


def _print_message(result: TestResult) -> None:
    """Why a test did not pass: the message, and the line that it is about."""
    if result.outcome not in {"fail", "error"}:
        return
    message, _, source = result.message.partition("\n")
    file, row, col = result.file, result.row, None
    if found := _PLACE.match(message):
        file, row = found["file"], int(found["row"])
        col = int(found["col"]) if found["col"] else None
    source = f"\n{source}" if source else excerpt(_text(file), row or None, col)
    screen = output()
    # A terminal gets whole words; a file or a pipe gets whole lines.
    screen.print(plain(f"  {message}{source}"), soft_wrap=not screen.is_terminal)


def _failures(counts: Counter[Outcome]) -> str:
    return ", ".join(
        f"{counts[each]} {_WORDS[each]}" for each in ("fail", "error", "skip") if counts[each]
    )


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _text(file: str) -> str:
    """The source, for an excerpt; a file that has gone meanwhile shows none."""
    try:
        return Path(file).read_text("utf-8")
    except (OSError, ValueError):
        return ""
