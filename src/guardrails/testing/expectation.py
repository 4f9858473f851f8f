"""What a test expects of a verdict, and the words for a verdict that is another one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from guardrails.testing.shown import shown
from guardrails.testing.verdict import EFFECTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.testing.verdict import Verdict

_PACKAGE: Final = re.compile(
    r"^\s*package\s+guardrails\.rules\.([A-Za-z0-9_]+)\s*(?:#.*)?$", re.MULTILINE
)
_MOST: Final = 12
"""Lines of an explanation that are shown."""

_NO_PACKAGE: Final = frozenset({"guardrails", "decorator", "testing", "breaker"})
"""Rule ids of reasons that no package gives."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of a verdict; what is None is not looked at.

    Attributes:
        says: The effect, or the refusal's code.
        because: Ids of rules, all of which must be behind it.
        approvers: The groups that one of its approvals must name, no more and no fewer.
        quorum: How many people that approval must want.
        runs_with: What policy must have made of arguments, by name.
    """

    says: str
    because: tuple[str, ...] = ()
    approvers: frozenset[str] | None = None
    quorum: int | None = None
    runs_with: Mapping[str, Any] | None = None

    def objection(self, verdict: Verdict, rules: frozenset[str] | None = None) -> str | None:
        """Why `verdict` is not what is expected, for people to read; None where it is.

        Args:
            verdict: What was decided.
            rules: The ids of all rules that there are, where that is known.
        """
        problems = self._problems(verdict, rules)
        return None if not problems else _told(self, verdict, problems)

    def _problems(self, verdict: Verdict, rules: frozenset[str] | None) -> list[str]:
        if verdict.says != self.says:
            return [f"expected {self._words()}, and it is `{verdict.says}`"]
        problems = []
        missing = [rule for rule in self.because if rule not in verdict.rules]
        for rule in missing:
            behind = ", ".join(f"`{each}`" for each in verdict.rules) or "none"
            problems.append(
                f"expected because of `{rule}`{_unknown(rule, rules)};"
                f" the rules behind it: {behind}"
            )
        problems += self._of_approvals(verdict)
        for name, wanted in (self.runs_with or {}).items():
            given = verdict.runs_with.get(name, _NOTHING)
            if given != wanted or isinstance(given, bool) is not isinstance(wanted, bool):
                there = "nothing" if given is _NOTHING else shown(given)
                problems.append(f"expected to run with `{name}` = {shown(wanted)}, not {there}")
        return problems

    def _of_approvals(self, verdict: Verdict) -> list[str]:
        if self.approvers is None and self.quorum is None:
            return []
        asked = [
            each for each in verdict.approvals if not self.because or each.rule in self.because
        ]
        if any(
            self.approvers in (None, frozenset(each.approvers))
            and self.quorum in (None, each.quorum)
            for each in asked
        ):
            return []
        groups = "anybody" if self.approvers is None else ", ".join(sorted(self.approvers))
        people = "" if self.quorum is None else f"{self.quorum} of "
        return [f"expected that {people}{groups} must approve it"]

    def _words(self) -> str:
        because = ", ".join(f"`{rule}`" for rule in self.because)
        return f"`{self.says}`" + (f" because of {because}" if because else "")


_NOTHING: Final = object()


def rules_of(engine: object) -> frozenset[str] | None:
    """The ids of the rule packages that an engine has loaded; None where it does not tell."""
    modules: Mapping[str, str] | None = getattr(getattr(engine, "loaded", None), "modules", None)
    if modules is None:
        return None
    return frozenset(name for text in modules.values() for name in _PACKAGE.findall(text))


def _unknown(rule: str, rules: frozenset[str] | None) -> str:
    if rules is None or rule in rules or rule in _NO_PACKAGE or rule.startswith("guardrails."):
        return ""
    close = get_close_matches(rule, sorted(rules), n=1)
    hint = f" (did you mean `{close[0]}`?)" if close else ""
    return f", and no rule of that name is loaded{hint}"


def _told(expected: Expectation, verdict: Verdict, problems: list[str]) -> str:
    lines = [f"{verdict.tool}: {'; '.join(problems)}"]
    lines.append(f"  args       {shown(verdict.args)}")
    if verdict.runs_with != verdict.args:
        lines.append(f"  rewritten  {shown(verdict.runs_with)}")
    lines.append(f"  by         {_whom(verdict)}")
    lines += [f"  says       {reason}" for reason in verdict.reasons]
    for each in verdict.approvals:
        who = f"{each.quorum} of {', '.join(each.approvers)}"
        lines.append(f"  asks       [{each.rule}] {who}, within {each.expires_in} s")
    # Of the rules that spoke, and of those that were to: what they found, and what was wanting.
    told = verdict.explain(dict.fromkeys((*verdict.rules, *expected.because)))
    # What a rule contributed says more than what it waited for.
    told = tuple(sorted(told, key=lambda line: "] not met: " in line))
    lines += [f"  rule       {line}" for line in told[:_MOST]]
    if len(told) > _MOST:
        lines.append(
            f"  rule       … and {len(told) - _MOST} lines more: `explain()` gives them all"
        )
    if verdict.says not in EFFECTS and expected.says in EFFECTS:
        lines.append(
            "  policy was not asked: this refusal comes before it; `assert_refused(…, code="
            f"{verdict.says!r})`, or `expect: {verdict.says}` in a table, expects it"
        )
    return "\n".join(lines)


def _whom(verdict: Verdict) -> str:
    words = f"{verdict.agent} in {verdict.environment}"
    if verdict.principal is not None:
        words += f", for {verdict.principal}"
    if verdict.labels:
        words += f", labels {', '.join(verdict.labels)}"
    return words
