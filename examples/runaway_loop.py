"""A runaway loop: an agent asks the same question for ever, in eight threads at once.

A call costs $0.10, and the register gives this agent $5.00 a run. Each call reserves its price
before it runs, so that eight threads cannot spend the last ten cents twice: exactly 50 calls run.

    python examples/runaway_loop.py
"""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import guardrails as gr

HERE = Path(__file__).parent
THREADS = 8
SECONDS = 0.3  # what the provider takes for an answer


@gr.governed_tool(resource="rates", operation="read")
@gr.budget(cost="0.10")
def look_up_rate(currency: str) -> Decimal:
    """Dollars for one unit of `currency`, from a provider that charges for it."""
    time.sleep(SECONDS)
    return {"EUR": Decimal("1.0842")}.get(currency, Decimal(1))


def ask_for_ever() -> str:
    """The agent's loop. It ends where a call is refused; what the model reads then."""
    while True:
        try:
            look_up_rate("EUR")
        except gr.BudgetExceeded as refusal:
            return gr.for_model(refusal)


def main() -> None:
    """Let it loop in all threads; a `GovernedExecutor` carries the run into them."""
    governor = gr.load_governor(HERE / "guardrails.yaml")
    with governor.run("invoice-agent") as run, gr.GovernedExecutor(THREADS) as pool:
        loops = [pool.submit(ask_for_ever) for _ in range(THREADS)]
        answers = [loop.result() for loop in loops]
    print(f"{run.spent.calls} calls ran, {len(answers)} threads were refused the next one")
    print(f"spent ${run.spent.usd:.2f} of $5.00")
    print(f"the model reads: {answers[0]}")


if __name__ == "__main__":
    main()
