"""What a whole governed call costs beside the hand-written policy function alone.

A governed call is all that a tool's caller waits for: arguments validated, kill looked for, cost
reserved, policy asked, the intent and the outcome handed to the record, the body run. Its baseline
does one of these: it decides. So the ratio says how many policies written by hand a call costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import tempfile
import time
from dataclasses import dataclass
from decimal import Decimal  # noqa: TC003  # tools resolve their annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import guardrails as gr
from benchmarks.calls import NOON
from benchmarks.gates import Gate
from benchmarks.harness import BATCH_NS, Clock, Timed, measure
from benchmarks.judging import outcomes
from benchmarks.policies.governable import engine
from benchmarks.policies.reference import flat, library
from benchmarks.run import Report
from benchmarks.self_check import slowdown_noticed
from benchmarks.suite import Benchmark, Field
from guardrails import testing
from guardrails.clock import SystemClock
from guardrails.model.budget import Budget
from guardrails.model.registered import RegisteredAgent
from guardrails.runs.context import Frame, enter, leave
from guardrails.runs.ledgers.run_account import STEPS_KEPT
from guardrails.runs.ledgers.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.policies.policy import Policy
    from guardrails.governor import Governor
    from guardrails.model.decision import Decision
    from guardrails.runs.run import Run

FLAT: Final = "hand-written flat"
LIBRARY: Final = "hand-written library"
SYNC: Final = "sync"
LEASED: Final = "sync, leased from SQLite"
ASYNC: Final = "async"
GENERATOR: Final = "generator of one item"
STACKED: Final = "stacked decorators"
WITH_LIBRARY: Final = "sync, library"

_PASSES: Final = 4
"""Passes over the workload by one task."""

_REASON: Final = (
    "the hand-written function takes a microsecond; a governed call besides reads the arguments "
    "strictly, holds and settles a cost, looks for a kill, makes the document, and hands over two "
    "events"
)

GATES: Final = (
    Gate(SYNC, FLAT, 4, reached=30, reason=_REASON),
    Gate(LEASED, FLAT, 4, reached=30, reason=_REASON),
    Gate(ASYNC, FLAT, 4, reached=38, reason=_REASON),
)

BENCHMARK: Final = Benchmark(
    "calls", "a whole governed call", lambda *_: Field((), {}, ()), FLAT, GATES
)


def get_invoice(invoice: str) -> str:
    """Reads."""
    return invoice


def pay(invoice: str, amount: int) -> str:
    """Writes."""
    return f"{invoice}: {amount}"


def refund(order: str, amount: Decimal) -> str:
    """Writes, with cents."""
    return f"{order}: {amount}"


def send_mail(to: str, subject: str, body: str) -> str:
    """Writes, with some text."""
    return f"{to}: {subject} {body}"


def match_invoice(invoice: str, amount: int) -> str:
    """Reads."""
    return f"{invoice}: {amount}"


def pay_invoice(invoice: str, amount: Decimal) -> str:
    """Writes, with cents."""
    return f"{invoice}: {amount}"


_BODIES: Final = {
    "flat": (get_invoice, pay, refund, send_mail),
    "library": (match_invoice, pay_invoice),
}
"""What is called under each policy."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The calls of one agent that its policy allows, as their cases say: tools and documents."""

    policy: Policy
    agent: str

    @property
    def documents(self) -> list[Mapping[str, Any]]:
        """The input documents, each as often as its weight says."""
        bodies = {each.__name__ for each in _BODIES[self.policy.name]}
        return [
            case.input
            for case in self.policy.cases
            for _ in range(case.weight)
            if case.effect == "allow"
            and case.input["agent"]["id"] == self.agent
            and case.input["tool"]["name"] in bodies
        ]


def workloads() -> tuple[Workload, Workload]:
    """What is called under the policy `flat`, and under the library."""
    return Workload(flat(), "billing"), Workload(library(), "billing-agent")


# -------------------------------------------------------------------------------- kinds of tools


def _plain(body: Callable[..., Any]) -> Callable[..., Any]:
    return body


def coroutine(body: Callable[..., Any]) -> Callable[..., Any]:
    """The body as a coroutine function."""

    @functools.wraps(body)
    async def function(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    return function


def _generator(body: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(body)
    def function(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield body(*args, **kwargs)

    return function


def _stacked(body: Callable[..., Any]) -> Callable[..., Any]:
    return gr.budget(cost="0.02")(gr.requires_approval(when=lambda: False)(body))


def _tools(workload: Workload, kind: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    facts = {each["tool"]["name"]: each["tool"] for each in workload.documents}
    return {
        body.__name__: gr.governed_tool(
            name=body.__name__,
            resource=facts[body.__name__]["resource"],
            operation=facts[body.__name__]["operation"],
            labels=facts[body.__name__]["labels"],
        )(kind(body))
        for body in _BODIES[workload.policy.name]
    }


# ------------------------------------------------------------------------------- what is timed


def measure_calls(*, rounds: int, batch_ns: int = BATCH_NS, clock: Clock | None = None) -> Report:
    """What each kind of call took, and the gates' outcomes.

    Args:
        rounds: As for :func:`~benchmarks.harness.measure`.
        batch_ns: As there.
        clock: As there.

    Raises:
        RuntimeError: a reference policy has no hand-written function.
    """
    with contextlib.ExitStack() as stack:
        timed = passes(stack)
        taken = measure(timed, rounds=rounds, batch_ns=batch_ns, clock=clock)
        judgements = outcomes(
            BENCHMARK.name, GATES, timed, taken, rounds=rounds, batch_ns=batch_ns, clock=clock
        )
        (call,) = (each for each in timed if each.name == SYNC)
        noticed = slowdown_noticed(
            BENCHMARK.name, call, rounds=rounds, batch_ns=batch_ns, clock=clock
        )
    return Report(BENCHMARK, taken, {}, {}, (*judgements, noticed))


def passes(stack: contextlib.ExitStack) -> list[Timed]:
    """Every kind of call, ready to be timed; what it needs is closed by `stack`."""
    simple, whole = workloads()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    memory = governor(simple)
    leased = governor(simple, ledger=leasing(folder / "budgets.sqlite"))
    beside = governor(whole)
    for each in (memory, leased, beside):
        stack.callback(each.close)
    return [
        by_hand(FLAT, simple),
        by_hand(LIBRARY, whole),
        calls(SYNC, simple, opened(stack, memory, simple), _plain),
        calls(LEASED, simple, opened(stack, leased, simple), _plain),
        async_calls(ASYNC, simple, opened(stack, memory, simple), stack),
        calls(GENERATOR, simple, opened(stack, memory, simple), _generator, list),
        calls(STACKED, simple, opened(stack, governor(simple), simple), _stacked),
        calls(WITH_LIBRARY, whole, opened(stack, beside, whole), _plain),
    ]


def governor(workload: Workload, **services: Any) -> testing.RecordingGovernor:
    """What governs the workload's calls: its policy in process, all else as shipped.

    Args:
        workload: Whose policy.
        **services: As for :class:`guardrails.Governor`; the record is one in memory else.
    """
    clock = SystemClock() if workload.policy.name == "flat" else _ThatDay()
    if "engine" not in services:
        services["engine"] = engine(workload.policy)
    return testing.governor(
        environment="prod",
        clock=clock,
        register=_Agent(workload.documents[0]["agent"]),
        **services,
    )


def leasing(path: Path, lease: int = 100_000) -> Callable[[Governor], SqliteLedger]:
    """Makes a governor's ledger, which takes `lease` calls' worth at a time from SQLite."""
    return lambda made: SqliteLedger(path, made.alerted, lease=lease)


def opened(stack: contextlib.ExitStack, by: testing.RecordingGovernor, workload: Workload) -> Run:
    """A run of the workload's agent, open until `stack` is left, and not the current one."""
    budget = Budget(usd=1_000_000, calls=10**12)
    run = stack.enter_context(by.run(workload.agent, budget=budget, principal="customer:4711"))
    enter(None)
    return run


def tool_calls(
    workload: Workload, kind: Callable[..., Any] = _plain
) -> list[tuple[Callable[..., Any], dict[str, Any]]]:
    """One pass over the workload: each tool with its arguments."""
    documents = workload.documents
    tools = _tools(workload, kind)
    calls = [(tools[each["tool"]["name"]], dict(each["args"])) for each in documents]
    random.Random(1).shuffle(calls)  # noqa: S311  # an order, no secret
    return calls


def made_documents(workload: Workload) -> list[Mapping[str, Any]]:
    """What the same pass is decided about, once its run has made enough calls for all to be alike.

    A server that is asked by hand is asked about these: as much to write, to send and to read.
    """
    keeping = _Keeping()
    with contextlib.ExitStack() as stack:
        by = governor(workload, engine=keeping)
        stack.callback(by.close)
        ((one_pass, _),) = calls("made", workload, opened(stack, by, workload)).calls
        while not keeping.documents or len(keeping.documents[0]["run"]["steps"]) < STEPS_KEPT:
            keeping.documents.clear()
            one_pass(None)
    return keeping.documents


class _Keeping(testing.FunctionEngine):
    """Allows every call, and keeps what it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: list[Mapping[str, Any]] = []

    def decide(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """Allowed."""
        self.documents.append(document)
        return super().decide(document, decision_id)


def bare_calls(workload: Workload) -> list[tuple[Callable[..., Any], dict[str, Any]]]:
    """The same pass by the functions alone, which nothing governs."""
    bodies = {each.__name__: each for each in _BODIES[workload.policy.name]}
    calls = [(bodies[each["tool"]["name"]], dict(each["args"])) for each in workload.documents]
    random.Random(1).shuffle(calls)  # noqa: S311  # an order, no secret
    return calls


def by_hand(name: str, workload: Workload) -> Timed:
    """The policy's hand-written function alone, on the documents of the workload's calls."""
    decide = workload.policy.by_hand
    if decide is None:
        msg = f"`{workload.policy.name}` has hand-written Python"
        raise RuntimeError(msg)
    return Timed(name, [(decide, each) for each in workload.documents])


def calls(
    name: str,
    workload: Workload,
    run: Run,
    kind: Callable[..., Any] = _plain,
    use: Callable[[Any], Any] | None = None,
) -> Timed:
    """Synchronous calls in `run`; `use` takes what each gives, as a generator."""
    made = tool_calls(workload, kind)
    frame = Frame(run)

    def one_pass(_: Any) -> None:
        token = enter(frame)
        if use is None:
            for tool, arguments in made:
                tool(**arguments)
        else:
            for tool, arguments in made:
                use(tool(**arguments))
        leave(token)

    return Timed(name, [(one_pass, None)], count=len(made))


def async_calls(name: str, workload: Workload, run: Run, stack: contextlib.ExitStack) -> Timed:
    """Awaited calls in `run`, several passes in one task: no call starts a loop."""
    made = tool_calls(workload, coroutine)
    frame = Frame(run)
    runner = stack.enter_context(asyncio.Runner())

    async def all_calls() -> None:
        enter(frame)
        for _ in range(_PASSES):
            for tool, arguments in made:
                await tool(**arguments)

    return Timed(name, [(lambda _: runner.run(all_calls()), None)], count=len(made) * _PASSES)


class _ThatDay:
    """The machine's clock, set to the day of the workload: the library asks what day it is."""

    def __init__(self) -> None:
        self._off = NOON - time.time_ns()

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970."""
        return time.time_ns() + self._off

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class _Agent(testing.OpenRegister):
    """A register of the one agent that calls."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__()
        self._document = document

    def agent(self, agent_id: str) -> RegisteredAgent:
        """The agent, whose budget never ends."""
        agent = self._document
        budget = Budget(usd=1_000_000, calls=10**12)
        return RegisteredAgent(
            agent_id, agent["version"], agent["owner"], budgets={"prod": budget}, delegates={}
        )
