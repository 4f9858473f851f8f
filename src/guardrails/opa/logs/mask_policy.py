"""What ``data.system.log.mask`` says of an entry, decided in this process.

It is asked of the policies that decide now, which may be newer than those that decided the entry:
what must not be shown today is not shown of yesterday either. Builtin errors are strict, unlike
OPA's: a condition that fails must not leave a value in the log.
"""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol

from guardrails.errors import PolicyLoadError
from guardrails.forks import begin_anew
from guardrails.rego.program import Program
from guardrails.rego.values import UNDEFINED, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.rego.planner import PlannerName

_PACKAGE: Final = re.compile(r"^\s*package\s+([\w.]+|data\[)", re.MULTILINE)


class Deciding(Protocol):
    """The policies that decide now."""

    @property
    def revision(self) -> str:
        """What tells them from others."""
        ...

    @property
    def modules(self) -> Mapping[str, str]:
        """The Rego sources by file."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """The base documents."""
        ...

    @property
    def plan(self) -> str | None:
        """The text of a plan that took the place of planning."""
        ...


class MaskPolicy:
    """Asks the rule that masks. It is planned when it is first asked, and when policies change.

    Args:
        policies: Gives the policies that decide now.
        rule: The rule, as ``system/log/mask``.
        planner: Who plans it.
        opa: Where an OPA binary is; None to look for it.
    """

    def __init__(
        self,
        policies: Callable[[], Deciding],
        rule: str,
        *,
        planner: PlannerName = "regopy",
        opa: str | None = None,
    ) -> None:
        self._policies = policies
        self._rule = rule
        self._planner: PlannerName = planner
        self._opa = opa
        self._made: tuple[str, Callable[[Mapping[str, Any]], object] | PolicyLoadError] | None
        self._begin()
        begin_anew(self._begin)

    def _begin(self) -> None:
        self._made = None
        self._lock = threading.Lock()

    def __call__(self, entry: Mapping[str, Any]) -> object:
        """What the rule says of `entry`, as JSON; None where it is undefined.

        Raises:
            PolicyLoadError: the rule cannot be used.
            EvaluationError: its evaluation failed.
        """
        policies = self._policies()
        with self._lock:
            if self._made is None or self._made[0] != policies.revision:
                # One that cannot be used is not planned again for every entry.
                self._made = policies.revision, self._planned(policies)
            asked = self._made[1]
        if isinstance(asked, PolicyLoadError):
            raise asked.with_traceback(None)
        return asked(entry)

    def _planned(
        self, policies: Deciding
    ) -> Callable[[Mapping[str, Any]], object] | PolicyLoadError:
        steps = self._rule.split("/")
        try:
            if policies.plan is not None:
                program = Program.from_plan(json.loads(policies.plan), data=policies.data)
                if self._rule in program.entrypoints:
                    return self._asking(program)
            if any(_says(text, steps) for text in policies.modules.values()):
                return self._asking(
                    Program.from_modules(
                        policies.modules,
                        [self._rule],
                        data=policies.data,
                        planner=self._planner,
                        opa=self._opa,
                    )
                )
        except PolicyLoadError as error:
            return error
        written: Any = policies.data
        for step in steps:
            written = written.get(step) if isinstance(written, dict) else None
        said = None if written is None else to_json(written)
        return lambda _entry: said

    def _asking(self, program: Program) -> Callable[[Mapping[str, Any]], object]:
        def ask(entry: Mapping[str, Any]) -> object:
            found = program.evaluate(self._rule, entry, strict_builtin_errors=True)
            return None if found is UNDEFINED else to_json(found)

        return ask


def _says(module: str, steps: list[str]) -> bool:
    """Whether a module could define the rule: its package is on the way to it, or below it."""
    for package in _PACKAGE.findall(module):
        parts = package.split(".")
        if package == "data[" or all(
            one == other for one, other in zip(parts, steps, strict=False)
        ):
            return True
    return False


__all__ = ["Deciding", "MaskPolicy"]
