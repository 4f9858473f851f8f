"""Eight threads spend the same budget, and not a cent more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

import guardrails as gr
from guardrails.demo.claims import Claim
from guardrails.demo.stage import bar

if TYPE_CHECKING:
    from decimal import Decimal

    from guardrails.demo.lab import Lab
    from guardrails.demo.stage import Stage

_AGENT: Final = "invoice-agent"


def play(number: int, stage: Stage, lab: Lab) -> list[Claim]:
    """Play it; what it claims."""
    example = lab.example("runaway_loop")
    tool = gr.tool_of(example.look_up_rate)
    cost = tool.price.cost if tool is not None and isinstance(tool.price.cost, int) else 0
    price = f"${cost / 1_000_000:.2f}"
    limit = lab.dollars(_AGENT)
    stage.heading(number, "RUNAWAY LOOP", f"same agent, {price} a call, {example.THREADS} threads")
    mark = lab.mark()
    with lab.governor.run(_AGENT) as run, gr.GovernedExecutor(example.THREADS) as pool:
        loops = [pool.submit(example.ask_for_ever) for _ in range(example.THREADS)]
        stage.grow(
            lambda: _meter(run.spent.usd, limit, _alerts(lab, mark)),
            lambda: all(loop.done() for loop in loops),
        )
        answers = [loop.result() for loop in loops]
    ran = sum(call.ran for call in lab.calls(mark))
    over = max(run.spent.usd - limit, 0 * limit)
    stage.line(f"{ran} calls ran, {_ordinal(ran + 1)} refused, overspent by ${over:.2f}")
    return [
        Claim("a budget is never overspent", over == 0),
        Claim("every thread is refused in the end", len(answers) == example.THREADS),
        Claim("alerts come at 50 % and 80 %", _alerts(lab, mark) == [50, 80]),
    ]


def _alerts(lab: Lab, mark: int) -> list[int]:
    told = (event.detail or {} for event in lab.record.events[mark:] if event.kind == "alert")
    return [detail["percent"] for detail in told if detail["dimension"] == "usd"]


def _meter(spent: Decimal, limit: Decimal, alerts: list[int]) -> Text:
    line = Text(f"    ${limit:.2f} ").append_text(bar(float(spent / limit)))
    for percent in alerts:
        line.append(f"  {percent} % alert", "yellow")
    if spent >= limit:
        line.append("  100 % STOPPED", "bold red")
    return line


def _ordinal(number: int) -> str:
    teens = number % 100 in {11, 12, 13}
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
