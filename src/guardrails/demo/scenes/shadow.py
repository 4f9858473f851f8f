"""An agent tried on real work: everything decided and recorded, nothing written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import guardrails as gr
from guardrails.demo.claims import Claim
from guardrails.demo.stage import bar

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import ModuleType
    from typing import Any

    from rich.text import Text

    from guardrails.demo.lab import Lab
    from guardrails.demo.stage import Stage


def play(number: int, stage: Stage, lab: Lab) -> list[Claim]:
    """Play it; what it claims."""
    example = lab.example("shadow_triage")
    sample = example.tickets()
    stage.heading(number, "SHADOW", f"triage on {len(sample)} sample tickets")
    mark = lab.mark()
    done: list[tuple[str, str]] = []
    with lab.governor.run("triage-agent", mode="shadow"), gr.GovernedExecutor(1) as pool:
        work: Future[Any] = pool.submit(_triage, example, sample, done)
        stage.grow(lambda: _meter(len(done), len(sample)), work.done)
        work.result()
    calls = lab.calls(mark)
    written = len(example.routed)
    equal = sum(agent == human for agent, human in done)
    stage.line(
        f"{written or 'nothing'} written, {equal} as humans ({100 * equal / len(sample):.0f} %)"
    )
    return [
        Claim("a shadow run writes nothing", not written and not any(c.ran for c in calls)),
        Claim("a shadow run decides everything", all(call.is_shadowed for call in calls)),
        Claim("every ticket is decided once", len(calls) == len(done) == len(sample)),
    ]


def _triage(example: ModuleType, sample: list[dict[str, str]], done: list[tuple[str, str]]) -> None:
    # One after the other, so that the screen sees them grow.
    done.extend((example.triage(ticket), ticket["human"]) for ticket in sample)


def _meter(done: int, total: int) -> Text:
    line = bar(done / total).append(f"  {done} of {total} decided and recorded")
    line.pad_left(4)
    return line
