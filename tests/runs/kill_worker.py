"""A process for the tests of kills across processes: ``python kill_worker.py STATE WORK``.

It answers on standard output, a line of JSON each, and takes its orders, where its work
has some, from standard input.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

import guardrails as gr
from guardrails import testing
from guardrails.model.decision import ApprovalDemand, Decision, Effect
from guardrails.model.kill import Scope, Subject
from guardrails.runs.kill_shared import SharedKillSwitch


def answer(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def orders() -> Any:
    for line in sys.stdin:
        yield json.loads(line)


@gr.governed_tool(name="step")
def step() -> str:
    return "done"


@gr.governed_tool(name="nap")
async def nap() -> None:
    await asyncio.sleep(60)


@gr.governed_tool(name="items")
def items() -> Any:
    while True:
        yield "item"


@gr.governed_tool(name="block")
def block(go_on: str) -> str:
    answer(began=True)
    while not Path(go_on).exists():
        time.sleep(0.002)
    return "done"


def hammer(governor: Any) -> None:
    """For each order: call a tool as that agent until it is refused.

    ``late`` counts the calls that ran although they began when the file `flag` was there.
    """
    for order in orders():
        flag, calls, late = Path(order["flag"]), 0, 0
        try:
            with testing.run(order["agent"], governor=governor):
                while True:
                    returned = flag.exists()
                    step()
                    calls += 1
                    late += returned
                    if calls == 1:
                        answer(began=order["agent"])
        except gr.RunStopped:
            answer(calls=calls, late=late)


def sleepers(governor: Any) -> None:
    """For each order: an async call in flight in a run of that agent; when it ended."""

    async def work(agent: str) -> None:
        try:
            async with testing.run(agent, governor=governor):
                call = asyncio.create_task(nap())
                while not governor.in_flight:  # noqa: ASYNC110  # there is no event for it
                    await asyncio.sleep(0)
                answer(began=agent)
                await call
        except gr.RunStopped:
            answer(ended=time.monotonic_ns())

    async def main() -> None:
        for order in orders():
            await work(order["agent"])

    asyncio.run(main())


def family(governor: Any) -> None:
    """A run with two child runs, each with an async call in flight; how each was left."""
    left: list[str] = []

    async def child(name: str) -> None:
        try:
            async with gr.run("test-agent", id=name):
                await nap()
        except BaseException as error:
            left.append(type(error).__name__)
            raise

    async def parent() -> None:
        async with testing.run(governor=governor, id="parent"), asyncio.TaskGroup() as group:
            group.create_task(child("one"))
            group.create_task(child("two"))
            while len(governor.in_flight) < 2:  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0)
            answer(began=True)

    try:
        asyncio.run(parent())
    except gr.RunStopped as stopped:
        answer(left=left, stopped=stopped.run_id)


def waiter(governor: Any) -> None:
    """A plain call that waits for an approval; what became of it and of the request."""
    threading.Thread(target=_say_when_asked, args=(governor,), daemon=True).start()
    try:
        with testing.run("a", governor=governor, wait=60):
            step()
    except gr.RunStopped:
        answer(states=[request.state.value for request in governor.approvals.list()])
    sys.stdin.read()  # a process that ends may end before it has answered the kill


def _say_when_asked(governor: Any) -> None:
    while not governor.in_flight:
        time.sleep(0.002)
    answer(began=True)


def _ask(_document: Any) -> Decision:
    demand = ApprovalDemand("large", "over the limit", ("finance-ops",))
    return Decision(Effect.REQUIRE_APPROVAL, (gr.Reason("large", "over the limit"),), (demand,))


def plain(governor: Any) -> None:
    """A plain call in flight, and a generator between two items; the call in the child run `a`."""
    for order in orders():
        outcome = []
        try:
            with testing.run("b", governor=governor):
                stream = items()
                next(stream)
                try:
                    with testing.run("b", id="a", governor=governor):
                        block(order["go_on"])
                        outcome.append("ran on")
                except gr.RunStopped:
                    outcome.append("discarded")
                next(stream)
                outcome.append("another item")
        except gr.RunStopped:
            outcome.append("no further item")
        answer(
            outcome=outcome,
            recorded=[
                dict(event.detail or {})["outcome"]
                for event in governor.record.events
                if event.kind == "call.finished"
            ],
        )


def switch_alone(governor: Any) -> None:
    """What each order asks of the kill switch."""
    switch = governor.kill_switch
    for order in orders():
        try:
            match order:
                case {"state": state}:
                    switch.close()
                    switch = SharedKillSwitch(state)
                    answer(done=True)
                case {"kill": target, "reason": reason}:
                    made = switch.kill(Scope.parse(target), reason=reason, by="op")
                    answer(generation=made.generation)
                case {"resume": target}:
                    switch.resume(Scope.parse(target), reason="fixed", by="op")
                    answer(done=True)
                case {"find": [run_ids, *rest]}:
                    kill = switch.find(Subject(tuple(run_ids), *rest))
                    answer(found=None if kill is None else [str(kill.scope), kill.reason])
                case {"active": _}:
                    answer(active=[[str(one.scope), one.reason] for one in switch.active()])
        except gr.GuardrailsError as error:
            answer(error=type(error).__name__)


def main() -> None:
    logging.getLogger("guardrails").setLevel(logging.ERROR)
    switch = SharedKillSwitch(sys.argv[1])
    work = {
        "hammer": hammer,
        "sleepers": sleepers,
        "family": family,
        "waiter": waiter,
        "plain": plain,
        "switch": switch_alone,
    }[sys.argv[2]]
    governor = testing.governor(_ask if work is waiter else None, kill_switch=switch)
    answer(ready=True)
    work(governor)


if __name__ == "__main__":
    main()
