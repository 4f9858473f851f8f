"""What approvals cost beside bare SQLite: to list 10,000 that wait, and to use one.

The bare list reads the texts of the same rows of the same file, and does nothing with them. The
bare transaction does to rows of the same file what the use of an approval does to its own: it reads
one by its id, and writes it back with another state, with the same durability. The use besides
holds the request against the call, each demand and the signature of each answer, and writes down
what has come of it.

A call finds its approval before it uses it, and the signature is verified then, outside of the
transaction. What was found is not trusted when it is used: its row is read again, and remembered is
only what follows from the very same text. The second figure is of the two together, as long as no
process has met that signature before.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.gates import Gate, Outcome, judged
from benchmarks.harness import BATCH_NS, Clock, Timed, measure
from benchmarks.statistics import median_interval, percentile, ratios
from guardrails.approvals import ApprovalService
from guardrails.approvals.approvers import Approver, Approvers
from guardrails.approvals.requests import NEVER
from guardrails.approvals.signing import ApproverKey
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.clock import SystemClock
from guardrails.model.approval import Answer, ApprovalState
from guardrails.model.canonical import call_key
from guardrails.model.decision import ApprovalDemand

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.model.approval import ApprovalRequest

LIST: Final = "10,000 pending requests listed"
BARE_LIST: Final = "the texts of their rows read by bare SQLite"
USE: Final = "an approval used"
FOUND: Final = "an approval found, its signature verified, and used"
BARE_USE: Final = "a bare SQLite transaction"

GATES: Final = (
    Gate(LIST, BARE_LIST, 5),
    Gate(USE, BARE_USE, 2),
    Gate(
        FOUND,
        BARE_USE,
        2,
        reached=3.5,
        reason="one Ed25519 verification alone takes 0.12 ms of CPU, more than half of what a bare "
        "transaction takes in all on a disk that syncs in 0.2 ms",
    ),
)

_PENDING: Final = 10_000
_USES: Final = 20
_MOST_ROUNDS: Final = 20
"""Of either: a list and a disk take long enough to be measured in a few."""
_DEMAND: Final = ApprovalDemand("money", "over 1000", ("finance-ops",), 1, 14_400)
_LEE: Final = "lee@acme.example"


def measure_approvals(
    *, rounds: int, pending: int = _PENDING, batch_ns: int = BATCH_NS, clock: Clock | None = None
) -> tuple[tuple[Outcome, ...], Mapping[str, float]]:
    """The gates' outcomes, and what each variant took in milliseconds (the median).

    Args:
        rounds: As for :func:`~benchmarks.harness.measure`; 20 at most.
        pending: How many requests wait.
        batch_ns: As there.
        clock: As there.
    """
    few = min(rounds, _MOST_ROUNDS)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        table = SqliteRequests(folder / "approvals.sqlite")
        stack.callback(table.close)
        key = ApproverKey(bytes(32))
        lee = Approver(_LEE, frozenset(_DEMAND.approvers), key.public)
        service = ApprovalService(table, SystemClock(), approvers=Approvers([lee]))
        listed = measure(
            _lists(service, table, pending), rounds=few, batch_ns=batch_ns, clock=clock
        )
        uses = _uses(service, table, key, few)
    samples = {**{name: each.wall for name, each in listed.samples.items()}, **uses}
    return (
        tuple(
            judged(
                "approvals",
                gate,
                median_interval(ratios(samples[gate.variant], samples[gate.baseline])),
            )
            for gate in GATES
        ),
        {name: percentile(taken, 0.5) / 1e6 for name, taken in samples.items()},
    )


def _ask(service: ApprovalService) -> ApprovalRequest:
    args = {"order_id": "A-17", "amount": 4180, "reason": "damaged on delivery"}
    return service.request(
        call_key("refund", args, "billing-agent", None, "r"),
        demands=(_DEMAND,),
        tool="refund",
        agent="billing-agent",
        run_id="r",
        principal=None,
        args=args,
        revision="v1",
    )


def _lists(service: ApprovalService, table: SqliteRequests, pending: int) -> list[Timed]:
    first = _ask(service)
    with table.transaction():
        for number in range(1, pending):
            name = f"{number:012}"
            table.put(replace(first, id=f"ap-{name}", call_key=name, run_id=name))

    def bare(_: Any) -> object:
        with table._database.read() as connection:  # noqa: SLF001  # the same connection
            query = "SELECT request FROM requests WHERE state = 'pending' ORDER BY number"
            return connection.execute(query).fetchall()

    return [
        Timed(LIST, [(lambda _: service.listed(ApprovalState.PENDING), None)]),
        Timed(BARE_LIST, [(bare, None)]),
    ]


def _uses(
    service: ApprovalService, table: SqliteRequests, key: ApproverKey, rounds: int
) -> Mapping[str, Sequence[float]]:
    """Nanoseconds a use, round by round; each approval can be used but once."""
    first = _ask(service)
    approved = []
    with table.transaction():
        for number in range(2 * rounds * _USES):
            run = f"approved-{number}"
            request = replace(first, id=f"ap-{run}", nonce=run, run_id=run)
            request = replace(request, call_key=request.key_of_shown())
            said = Answer(_LEE, frozenset(_DEMAND.approvers), approved=True, reason="", time=0)
            said = replace(said, signature=key.sign(request.digest, said))
            approved.append(replace(request, state=ApprovalState.APPROVED, answers=(said,)))
            table.put(approved[-1])
    samples: dict[str, list[float]] = {USE: [], FOUND: [], BARE_USE: []}
    for number in range(rounds):
        start = 2 * number * _USES
        samples[BARE_USE].append(_timed_bare(table, approved[start + _USES : start + 2 * _USES]))
        started = time.perf_counter_ns()
        some = [_found(service, each) for each in approved[start : start + _USES]]
        found = time.perf_counter_ns()
        for each in some:
            service.consume(each.id, each.call_key, (_DEMAND,))
        ended = time.perf_counter_ns()
        samples[FOUND].append((ended - started) / _USES)
        samples[USE].append((ended - found) / _USES)
    return samples


def _found(service: ApprovalService, approved: ApprovalRequest) -> ApprovalRequest:
    found = service.find(approved.call_key)
    if found != approved:
        msg = "another approval was found"
        raise AssertionError(msg)
    return found


def _timed_bare(table: SqliteRequests, some: Sequence[ApprovalRequest]) -> float:
    with table._database.read() as connection:  # noqa: SLF001  # the same connection
        started = time.perf_counter_ns()
        for each in some:
            connection.execute("BEGIN IMMEDIATE")
            query = "SELECT request FROM requests WHERE id = ?"
            (text,) = connection.execute(query, (each.id,)).fetchone()
            connection.execute(
                "UPDATE requests SET state = 'consumed', due = ?, request = ? WHERE id = ?",
                (NEVER, text, each.id),
            )
            connection.execute("COMMIT")
        return (time.perf_counter_ns() - started) / len(some)
