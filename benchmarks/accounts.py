"""What the accounts of a call cost beside a hand-written policy: kill check, reserve, settle.

The calls go through the methods of the run that every governed call uses. The run stands on its
own account, two windows of its agent's and one of its environment's. The baseline is the
hand-written `flat`: what an engineer would have a call cost that decides nothing more.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.gates import Gate
from benchmarks.harness import BATCH_NS, Clock, Timed, measure
from benchmarks.judging import outcomes
from benchmarks.policies.reference import flat
from benchmarks.workload import mixed
from guardrails import testing
from guardrails.clock import SystemClock
from guardrails.model.account import Allowance, Window
from guardrails.model.budget import Budget, Usage
from guardrails.model.budget_plan import BudgetPlan
from guardrails.model.call import Step
from guardrails.runs.context import enter
from guardrails.runs.kill_shared import SharedKillSwitch
from guardrails.runs.ledgers.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.gates import Outcome
    from guardrails.governor import Governor
    from guardrails.ports import KillSwitch
    from guardrails.runs.run import Run

BY_HAND: Final = "hand-written flat"
MEMORY: Final = "accounts in memory"
LEASED: Final = "accounts leased from SQLite"
PAGED: Final = "the same, with the machine's kill page"

GATES: Final = (
    Gate(LEASED, BY_HAND, 1),
    Gate(PAGED, BY_HAND, 1),
    Gate(LEASED, MEMORY, 1),
)

_TOOL: Final = "refund"


def measure_accounts(
    *, rounds: int, batch_ns: int = BATCH_NS, clock: Clock | None = None
) -> tuple[Outcome, ...]:
    """The gates' outcomes.

    Args:
        rounds: As for :func:`~benchmarks.harness.measure`.
        batch_ns: As there.
        clock: As there.

    Raises:
        RuntimeError: `flat` has no hand-written function.
    """
    policy = flat()
    if policy.by_hand is None:
        msg = "`flat` has hand-written Python"
        raise RuntimeError(msg)
    inputs = mixed(policy.cases) * _ROUNDS
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        runs = {
            MEMORY: _opened(stack, testing.governor(clock=SystemClock(), budgets=_PLAN)),
            LEASED: _opened(stack, _leasing(Path(folder) / "budgets.sqlite")),
            PAGED: _opened(
                stack, _leasing(Path(folder) / "others.sqlite", SharedKillSwitch(folder))
            ),
        }
        timed = [
            Timed(BY_HAND, [(policy.by_hand, each) for each in inputs]),
            *(Timed(name, [(_call(run), each) for each in inputs]) for name, run in runs.items()),
        ]
        taken = measure(timed, rounds=rounds, batch_ns=batch_ns, clock=clock)
        return outcomes(
            "accounts", GATES, timed, taken, rounds=rounds, batch_ns=batch_ns, clock=clock
        )


def _leasing(path: Path, kill_switch: KillSwitch | None = None) -> Governor:
    return testing.governor(
        clock=SystemClock(),
        budgets=_PLAN,
        kill_switch=kill_switch,
        ledger=lambda governor: SqliteLedger(path, governor.alerted, lease=100_000),
    )


def _opened(stack: contextlib.ExitStack, governor: Governor) -> Run:
    stack.callback(governor.close)
    run = stack.enter_context(governor.run("test-agent", budget=Budget(usd=1_000_000)))
    enter(None)  # the next one is no child of it
    return run


def _call(run: Run) -> Callable[[Any], None]:
    def call(_: Any) -> None:
        run.check_kill(_TOOL)
        run.settle(run.reserve(_TOOL, _COST, None), _STEP)

    return call


_ROUNDS: Final = 40
"""How often a pass goes through all inputs. A pass that asks the disk must not make batches so
short that most of them are without the work which is done once for many calls."""

_COST: Final = Usage(20_000, 0, 1)
_STEP: Final = Step(_TOOL, "write", "allow", "ok")
_PLENTY: Final = Budget(usd=10_000_000, calls=10**12)
_PLAN: Final = BudgetPlan(
    agents={"test-agent": Allowance({Window.DAY: _PLENTY, Window.MONTH: _PLENTY})},
    environments={"test": Allowance({Window.DAY: _PLENTY})},
)
