"""Temporal's own activity worker, given tasks and read its completions, without a server.

What Temporal's server and its core do is done here: an attempt is made of each call, and another
where the completion is a failure that may be retried. As a program it makes calls elsewhere:
``python -m tests.adapters.temporal.agent CONFIG WORKFLOW CALLS`` prints what each one came to.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import temporalio.bridge.worker
from temporalio import activity
from temporalio.bridge.proto.activity_task import ActivityTask
from temporalio.client import Client
from temporalio.common import MetricMeter
from temporalio.converter import DataConverter
from temporalio.worker._activity import SharedStateManager, _ActivityWorker
from tests.adapters import refunds

import guardrails as gr
from guardrails.adapters.agent_runs import AgentRuns
from guardrails.adapters.temporal import GovernedActivities, Words

if TYPE_CHECKING:
    from temporalio.api.failure.v1 import Failure
    from temporalio.bridge.proto import ActivityTaskCompletion

CONVERTER = DataConverter.default.payload_converter
WORDS = {"ungoverned_refund": Words(resource="payments", operation="write")}

TOOLS: list[Any] = [
    refunds.refund,
    refunds.refund_async,
    refunds.delete_order,
    refunds.slow_refund,
    refunds.blocking_refund,
    refunds.asking_refund,
    refunds.ungoverned_refund,
]
ACTIVITIES = [activity.defn(each) for each in TOOLS]

Call = tuple[str, list[Any]]


@dataclasses.dataclass
class Ended:
    """What a call came to: `value`, or `failure`; after so many attempts."""

    value: Any = None
    failure: Failure | None = None
    attempts: int = 1

    @property
    def type(self) -> str:
        """The type of its failure."""
        return "" if self.failure is None else self.failure.application_failure_info.type

    @property
    def retryable(self) -> bool:
        """Whether it may be tried again."""
        return (
            self.failure is not None
            and not self.failure.application_failure_info.non_retryable
            and self.failure.HasField("application_failure_info")
        )

    @property
    def details(self) -> Any:
        """The first of its failure's details."""
        assert self.failure is not None
        (payload,) = self.failure.application_failure_info.details.payloads
        return CONVERTER.from_payload(payload)

    @property
    def read(self) -> str:
        """What a model reads: its value, or why there is none."""
        return str(self.value) if self.failure is None else self.failure.message


class Core:
    """Stands where Temporal's core stands below a Python worker."""

    def __init__(self) -> None:
        self._tasks: asyncio.Queue[ActivityTask | None] = asyncio.Queue()
        self._ended: dict[bytes, asyncio.Future[ActivityTaskCompletion]] = {}

    async def poll_activity_task(self) -> ActivityTask:
        """The next task."""
        task = await self._tasks.get()
        if task is None:
            raise cast("Any", temporalio.bridge.worker).PollShutdownError
        return task

    async def complete_activity_task(self, completion: ActivityTaskCompletion) -> None:
        """Take what one came to."""
        self._ended.pop(completion.task_token).set_result(completion)

    async def attempt(
        self, workflow: str, number: int, attempt: int, call: Call
    ) -> ActivityTaskCompletion:
        """What one attempt of a call comes to."""
        token = f"{workflow}/{number}/{attempt}".encode()
        task = ActivityTask(task_token=token)
        start = task.start
        start.workflow_namespace, start.workflow_type = "default", "Refunds"
        start.workflow_execution.workflow_id = workflow
        start.workflow_execution.run_id = "0190"
        start.activity_id, start.activity_type, start.attempt = str(number), call[0], attempt
        start.input.extend(CONVERTER.to_payloads(call[1]))
        ended = self._ended[token] = asyncio.get_running_loop().create_future()
        await self._tasks.put(task)
        return await ended

    async def call(self, workflow: str, number: int, call: Call, attempts: int) -> Ended:
        """What a call comes to, tried again as Temporal's server does."""
        attempt = 0
        while True:
            attempt += 1
            result = await self.attempt(workflow, number, attempt, call)
            if result.result.HasField("completed"):
                value = CONVERTER.from_payload(result.result.completed.result)
                return Ended(value, attempts=attempt)
            ended = Ended(failure=result.result.failed.failure, attempts=attempt)
            if not ended.retryable or attempt == attempts:
                return ended

    async def stop(self) -> None:
        """End the worker's polling."""
        await self._tasks.put(None)


async def made(  # noqa: PLR0913  # a worker's settings, each by its name
    governor: gr.Governor,
    *calls: Call,
    workflow: str = "case-17",
    attempts: int = 3,
    activities: list[Any] | None = None,
    executor: Executor | None = None,
    shared: SharedStateManager | None = None,
    one_by_one: bool = False,
    **options: Any,
) -> list[Ended]:
    """What the calls of a workflow come to, made at once by one worker."""
    linger = options.pop("linger", 300.0)
    governed = GovernedActivities(
        agent=refunds.AGENT,
        words=WORDS,
        runs=AgentRuns(agent=refunds.AGENT, governor=governor, **options),
        linger=linger,
    )
    core = Core()
    threads = ThreadPoolExecutor(8)
    worker = _ActivityWorker(
        bridge_worker=lambda: cast("Any", core),
        task_queue="refunds",
        activities=ACTIVITIES if activities is None else activities,
        activity_executor=threads if executor is None else executor,
        shared_state_manager=shared,
        data_converter=DataConverter.default,
        interceptors=[governed],
        metric_meter=MetricMeter.noop,
        client=await Client.connect("127.0.0.1:1", lazy=True),
        encode_headers=False,
    )
    polling = asyncio.create_task(worker.run())
    try:
        coming = [core.call(workflow, n, call, attempts) for n, call in enumerate(calls)]
        if one_by_one:
            return [await each for each in coming]
        return list(await asyncio.gather(*coming))
    finally:
        await core.stop()
        await polling  # the worker itself has not failed
        await worker.wait_all_completed()
        governed.close()
        threads.shutdown()


def main(config: str, workflow: str, calls: str) -> None:
    """Make calls, one after the other, as a worker of another process."""
    governor = gr.load_governor(Path(config))
    ended = asyncio.run(
        made(
            governor,
            *((name, args) for name, args in json.loads(calls)),
            workflow=workflow,
            one_by_one=True,
        )
    )
    print(json.dumps([[each.type, each.read] for each in ended]))
    governor.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
