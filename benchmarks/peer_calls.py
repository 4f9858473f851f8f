"""Whole calls under `flat`, beside what else could govern them: one run, interleaved.

What each does for a call is not the same, and :data:`REMARKS` says what differs. Overheads are
over the bare functions: what a caller pays for being governed.
"""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opa_client.opa import OpaClient

from benchmarks import governed
from benchmarks.gates import Gate, Measure, Outcome, Status
from benchmarks.harness import BATCH_NS, Clock, Timed, measure
from benchmarks.judging import BODY, outcomes
from benchmarks.peers import by_hand
from benchmarks.peers.elsewhere import Elsewhere
from benchmarks.peers.opa_server import served
from benchmarks.peers.plain import plain
from benchmarks.run import Report
from benchmarks.suite import Benchmark, Field
from benchmarks.variant import NotThereError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.governed import Workload

NAME: Final = "peer-calls"
OURS: Final = "@governed_tool"
AGT: Final = "govern(), audit on"
OPA: Final = "opa-python-client"

REMARKS: Final = {
    OURS: "arguments checked, kill, budget held and settled, decided, two events; in memory",
    by_hand.NAME: "`if`s, a counter and a list; the floor",
    BODY: "what the overheads are over",
    AGT: "agent-governance-toolkit-core, in its own process and environment; it decides the same "
    "calls by conditions on strings, in which the pattern of contacts is one address; no budget, "
    "no kill, arguments unchecked; audit in memory",
    OPA: "one round trip with the decision alone, by `query_rule` at a real server with `flat`, "
    "about what a call is decided about: no call around it",
}

_PEERS: Final = Path(__file__).with_name("peers")
_HOST: Final = "127.0.0.1"
_CALLS: Final = 10**12

GATES: Final = (
    Gate(
        OURS,
        AGT,
        1 / 30,
        reached=1 / 4,
        reason="a call here does more: a budget, a kill, strict arguments, an intent before the "
        "act and an outcome after it",
        measure=Measure.OVERHEAD,
    ),
    Gate(
        OURS,
        OPA,
        1 / 100,
        reached=1 / 10,
        reason="the round trip carries the decision alone, which costs us a microsecond of the "
        "call; the rest of the call is what the round trip does not have",
    ),
)

BENCHMARK: Final = Benchmark(
    NAME, "a whole call under `flat`, beside its peers", lambda *_: Field((), {}, ()), BODY, GATES
)


def measure_peer_calls(
    *, rounds: int, batch_ns: int = BATCH_NS, clock: Clock | None = None
) -> Report:
    """What each took, and the gates' outcomes.

    Args:
        rounds: As for :func:`~benchmarks.harness.measure`.
        batch_ns: As there.
        clock: As there.
    """
    workload, _ = governed.workloads()
    with contextlib.ExitStack() as stack:
        governor = governed.governor(workload)
        stack.callback(governor.close)
        timed = [
            _bare(workload),
            governed.calls(OURS, workload, governed.opened(stack, governor, workload)),
            _by_hand(workload),
        ]
        absent = {}
        for name, make in ((AGT, _agt), (OPA, _opa)):
            try:
                timed.append(make(stack, workload))
            except NotThereError as error:
                absent[name] = str(error)
        taken = measure(timed, rounds=rounds, batch_ns=batch_ns, clock=clock)
        there = [gate for gate in GATES if gate.baseline not in absent]
        judged = outcomes(NAME, there, timed, taken, rounds=rounds, batch_ns=batch_ns, clock=clock)
    missing = tuple(
        Outcome(NAME, gate, Status.FAILED, remark=absent[gate.baseline])
        for gate in GATES
        if gate.baseline in absent
    )
    return Report(BENCHMARK, taken, REMARKS, absent, (*judged, *missing))


def _bare(workload: Workload) -> Timed:
    made = governed.bare_calls(workload)

    def one_pass(_: Any) -> None:
        for body, arguments in made:
            body(**arguments)

    return Timed(BODY, [(one_pass, None)], count=len(made))


def _by_hand(workload: Workload) -> Timed:
    govern = by_hand.ByHand(workload.documents[0]["agent"], _CALLS)
    facts = {each["tool"]["name"]: each["tool"] for each in workload.documents}
    tools: dict[str, Callable[..., Any]] = {}
    made = []
    for body, arguments in governed.bare_calls(workload):
        name = body.__name__
        made.append((tools.setdefault(name, govern(facts[name])(body)), arguments))

    def one_pass(_: Any) -> None:
        for tool, arguments in made:
            tool(**arguments)

    return Timed(by_hand.NAME, [(one_pass, None)], count=len(made))


def _agt(stack: contextlib.ExitStack, workload: Workload) -> Timed:
    calls = [
        (body.__name__, {name: _simple(value) for name, value in arguments.items()})
        for body, arguments in governed.bare_calls(workload)
    ]
    peer = Elsewhere(stack, _PEERS / "agt_process.py", {"govern": calls})
    return Timed(AGT, (), count=len(calls), elsewhere=peer.batch)


def _simple(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _opa(stack: contextlib.ExitStack, workload: Workload) -> Timed:
    server = stack.enter_context(served(workload.policy.modules, workload.policy.data))
    client = OpaClient(host=_HOST, port=server.port)
    stack.callback(client.close_connection)
    documents = [json.loads(json.dumps(plain(each))) for each in governed.made_documents(workload)]

    def ask(document: Any) -> Any:
        decision = client.query_rule(document, "guardrails", "decision")["result"]
        if decision["effect"] != "allow":
            raise RuntimeError(decision)

    return Timed(OPA, [(ask, each) for each in documents])
