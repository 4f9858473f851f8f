"""Tables of decision cases as pytest collects them: an item a case, errors with file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from guardrails.errors import GuardrailsError
from guardrails.pytest_plugin.projects import file_of, near, project_of
from guardrails.testing.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardrails.testing.tables import Case


class TableFile(pytest.File):
    """A file ``*.decisions.yaml``."""

    def collect(self) -> Iterator[CaseItem]:
        """Its cases.

        Raises:
            CollectError: it is no table, or there is no configuration for it.
        """
        try:
            table = read_table(self.path)
            file = table.config or file_of(self.config, self.path.parent)
        except GuardrailsError as error:
            raise self.CollectError(str(error)) from None
        for case in table.cases:
            yield CaseItem.from_parent(self, name=case.name, case=case, project_file=file)


class _OtherDecision(Exception):  # noqa: N818  # it never leaves this module
    """A case is decided otherwise than its table says."""


class CaseItem(pytest.Item):
    """One case of a table.

    Args:
        case: The case.
        project_file: The ``guardrails.yaml`` whose policies decide.
    """

    def __init__(self, *, case: Case, project_file: Path, **more: Any) -> None:
        super().__init__(**more)
        self._case = case
        self._project_file = project_file

    def runtest(self) -> None:
        """Decide the call.

        Raises:
            _OtherDecision: it is decided otherwise.
            GuardrailsError: it cannot be decided, as where there is no such agent.
        """
        project = project_of(self.config, self._project_file)
        objection = self._case.objection(project)
        if objection is not None:
            raise _OtherDecision(objection)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is wrong, at the place of the case."""
        if isinstance(excinfo.value, _OtherDecision | GuardrailsError):
            file = near(self.path, self.config)
            return f"{file}:{self._case.line}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it stands."""
        return self.path, self._case.line - 1, f"decision: {self.name}"
