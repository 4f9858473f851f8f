"""The whole show: the scenes in their order, the comparison, the summary, what to do next."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrails.demo.comparison import compare
from guardrails.demo.lab import Lab
from guardrails.demo.scenes import SCENES
from guardrails.demo.summary import Summary, decision_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.demo.claims import Claim
    from guardrails.demo.stage import Stage

_POLICY: Final = "policies/rules/payments.rego"
_LIMIT: Final = re.compile(r"^limit := (\d+)$")


def play(
    stage: Stage,
    *,
    only: int | None = None,
    write: Callable[[dict[str, Any]], None] | None = None,
) -> Summary:
    """Play the scenes; what was measured.

    Args:
        stage: The screen.
        only: The number of the one scene to play; None for all.
        write: Takes one document for each decision, and the summary.

    Raises:
        ConfigError: the examples are missing, or somebody broke their configuration.
        PolicyLoadError: somebody broke their policies.
    """
    # Refusals are logged; a program that sets up no logging would print them between the lines.
    logging.getLogger("guardrails").addHandler(logging.NullHandler())
    with stage.busy("reading the policies"):
        lab = Lab.open()
    claims: list[Claim] = []
    for scene in SCENES:
        if only in {None, scene.number}:
            first = len(lab.engine.asked)
            claims += scene.play(scene.number, stage, lab)
            if write is not None:
                _write_decisions(write, lab, scene.number, first)
    stage.pause(2.0)
    stage.space()
    with stage.busy("asking an OPA server the same"):
        comparison = compare(lab)
    summary = Summary.of(lab.calls(), lab.engine.asked, comparison, claims)
    for line in summary.lines():
        stage.line(line)
    _say_what_next(stage, lab)
    if write is not None:
        write(summary.document())
    return summary


def _write_decisions(
    write: Callable[[dict[str, Any]], None], lab: Lab, scene: int, first: int
) -> None:
    calls = {call.decision_id: call for call in lab.calls()}
    for asked in lab.engine.asked[first:]:
        write(decision_document(scene, asked, calls[asked.decision.decision_id]))


def _say_what_next(stage: Stage, lab: Lab) -> None:
    place = limit_place(lab.directory)
    if place is not None:
        file, row, limit = place
        other = "100" if limit != "100" else "1000"
        stage.line(f"Change it: {_near(file)}:{row} ({limit} -> {other}), run again")
    stage.line("Use it: guardrails init my-agent")


def limit_place(examples: Path) -> tuple[Path, int, str] | None:
    """The file and the line where the limit of scene 1 stands, and the limit."""
    file = examples / _POLICY
    for row, text in enumerate(file.read_text("utf-8").splitlines(), 1):
        found = _LIMIT.match(text)
        if found is not None:
            return file, row, found[1]
    return None


def _near(file: Path) -> str:
    """`file` from the working directory, where it is below that."""
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)
