"""What tests ask for: a project under a fake clock, a run in it, people, golden decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from guardrails.errors import GuardrailsError
from guardrails.pytest_plugin.projects import file_of, project_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from guardrails.pytest_plugin.goldens import Golden
    from guardrails.runs.run import Run
    from guardrails.testing.answering import Approvers
    from guardrails.testing.governed import Governed

MARK: Final = "guardrails"
_CIRCUMSTANCES: Final = ("agent", "environment", "principal", "labels", "at")


@pytest.fixture
def guardrails_config(request: pytest.FixtureRequest) -> Path:
    """The ``guardrails.yaml`` whose policies decide; override it to name another one.

    The one that `guardrails_config` in pytest's configuration names, else ``GUARDRAILS_CONFIG``,
    else the first from the test's folder upward.
    """
    with _told():
        return file_of(request.config, request.path.parent)


@pytest.fixture
def guardrails_data() -> Mapping[str, Any]:
    """What the program itself gives to policies, as to ``gr.load_governor``; override it."""
    return {}


@pytest.fixture
def governed(
    request: pytest.FixtureRequest,
    guardrails_config: Path,
    guardrails_data: Mapping[str, Any],
) -> Iterator[Governed]:
    """The project's own governor for this test: everything real, in memory, under a fake clock."""
    from guardrails.testing.governed import Governed  # noqa: PLC0415  # only where a test asks

    with _told():
        project = project_of(request.config, guardrails_config, guardrails_data)
        made = Governed(project, **_circumstances(request.node))
    yield made
    made.close()


@pytest.fixture
def governed_run(governed: Governed) -> Iterator[Run]:
    """An open run of the agent that ``@pytest.mark.guardrails(agent=…)`` names."""
    with _told():
        scope = governed.run()
    with scope as run:
        yield run


@pytest.fixture
def approvers(governed: Governed) -> Approvers:
    """The people who answer approval requests in this test."""
    return governed.approvers


@pytest.fixture
def golden_decisions(request: pytest.FixtureRequest) -> Golden:
    """Compares decisions with the golden file of this test."""
    from guardrails.pytest_plugin.goldens import Golden  # noqa: PLC0415  # only where a test asks

    return Golden(request)


def _circumstances(node: pytest.Item) -> dict[str, Any]:
    """What the markers say, the nearest first."""
    said: dict[str, Any] = {}
    for marker in node.iter_markers(MARK):
        unknown = [name for name in marker.kwargs if name not in _CIRCUMSTANCES]
        if marker.args or unknown:
            what = f"`{unknown[0]}`" if unknown else "a value without a name"
            known = ", ".join(f"`{name}`" for name in _CIRCUMSTANCES)
            pytest.fail(
                f"@pytest.mark.{MARK} does not take {what}; it takes {known}", pytrace=False
            )
        said = {**marker.kwargs, **said}
    return said


class _told:  # noqa: N801  # a context, used as a function
    """What is wrong with the project is told without a traceback through this package."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, GuardrailsError | ValueError):
            pytest.fail(str(error), pytrace=False)
