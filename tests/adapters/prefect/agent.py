"""A flow of Prefect that makes calls; as a program, it runs a flow run that was resumed.

``python -m tests.adapters.prefect.agent CONFIG FLOW_RUN CALLS`` prints the state that it ends in,
and what was read.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow, Task, flow, task
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.futures import wait
from tests.adapters import refunds

import guardrails as gr
from guardrails.adapters.agent_runs import AgentRuns
from guardrails.adapters.prefect import governed, governed_flow

TOOLS: list[Any] = [
    refunds.refund,
    refunds.refund_async,
    refunds.delete_order,
    refunds.slow_refund,
    refunds.blocking_refund,
    refunds.asking_refund,
]


def tasks(retries: int = 0) -> dict[str, Any]:
    """The tasks of the flow, by their names."""
    made: list[Any] = [governed(task(retries=retries)(each)) for each in TOOLS]
    plain: Task[..., Any] = task(retries=retries)(refunds.ungoverned_refund)
    made.append(governed(plain, resource="payments", operation="write"))
    return {each.name: each for each in made}


def text(error: gr.Refusal) -> str:
    """What a model reads of a task that was refused.

    Raises:
        ApprovalPending: it waits for people.
    """
    if isinstance(error, gr.ApprovalPending):
        raise error
    return gr.for_model(error)


def read(state: Any) -> str:
    """What a model reads of a task that has ended."""
    try:
        return str(state.result())
    except gr.Refusal as refusal:
        return text(refusal)


async def read_async(state: Any) -> str:
    """The same, in a flow that is a coroutine function."""
    try:
        return str(await state.aresult())
    except gr.Refusal as refusal:
        return text(refusal)


def calling(
    governor: gr.Governor, calls: Any, *, retries: int = 0, at_once: bool = False, **options: Any
) -> Flow[..., Any]:
    """A flow that makes the calls."""
    runs = AgentRuns(agent=refunds.AGENT, governor=governor, **options)
    known = tasks(retries)

    @flow(name="refunds", persist_result=True)
    @governed_flow(agent=refunds.AGENT, runs=runs)
    def work() -> list[str]:
        if at_once:
            futures = [known[name].submit(**args) for name, args in calls]
            wait(futures)
            return [read(each.state) for each in futures]
        return [read(_ended(known[name], args)) for name, args in calls]

    @flow(name="refunds", persist_result=True)
    @governed_flow(agent=refunds.AGENT, runs=runs)
    async def work_async() -> list[str]:
        coming = [known[name](**args, return_state=True) for name, args in calls]
        if at_once:
            return [await read_async(each) for each in await asyncio.gather(*coming)]
        return [await read_async(await each) for each in coming]

    return work_async if any(known[name].isasync for name, _ in calls) else work


def _ended(each: Any, args: Any) -> Any:
    return each(**args, return_state=True)


def deployed() -> UUID:
    """A new flow run, of a deployment."""
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow_from_name("refunds")
        deployment = client.create_deployment(flow_id=flow_id, name="refunds")
        return client.create_flow_run_from_deployment(deployment).id


def ran(work: Flow[..., Any], id: UUID) -> tuple[str, Any]:
    """The state that the flow run ends in, and what it gives or raises."""
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(id)
        try:
            result = run_flow(work, flow_run=flow_run)
            value = asyncio.run(result) if asyncio.iscoroutine(result) else result
        except Pause:
            value = None
        except Exception as error:  # noqa: BLE001  # it is looked at by who calls this
            value = error
        state = client.read_flow_run(id).state
    return ("" if state is None else str(state.name)), value


def main(config: str, flow_run: str, calls: str) -> None:
    """Run a flow run, as a worker of another process."""
    governor = gr.load_governor(Path(config))
    name, value = ran(calling(governor, json.loads(calls)), UUID(flow_run))
    print(json.dumps([name, value if isinstance(value, list) else str(value)]))
    governor.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
