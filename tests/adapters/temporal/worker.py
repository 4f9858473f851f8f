"""A worker of a real Temporal server: ``python -m tests.adapters.temporal.worker ADDRESS CONFIG``.

It serves the workflow :class:`Case` until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from temporalio.client import Client
    from temporalio.worker import Worker
    from tests.adapters import refunds
    from tests.adapters.temporal.agent import ACTIVITIES, WORDS

    import guardrails as gr
    from guardrails.adapters.agent_runs import AgentRuns
    from guardrails.adapters.temporal import GovernedActivities, GovernedWorkflow

QUEUE = "refunds"


@workflow.defn
class Case(GovernedWorkflow):
    """Makes calls one after the other, and gives what each came to: a text, or a failure's type."""

    @workflow.run
    async def run(self, calls: list[tuple[str, list[Any]]]) -> list[str]:
        """What they came to."""
        return [await self._made(name, args) for name, args in calls]

    async def _made(self, name: str, args: list[Any]) -> str:
        try:
            said = await self.governed_activity(
                name,
                *args,
                start_to_close_timeout=timedelta(minutes=5),
                schedule_to_close_timeout=timedelta(minutes=10),
            )
        except ActivityError as error:
            return str(error.cause.type) if isinstance(error.cause, ApplicationError) else "?"
        return str(said)


async def serve(address: str, config: Path) -> None:
    """Serve until this process is ended."""
    governor = gr.load_governor(config)
    runs = AgentRuns(agent=refunds.AGENT, governor=governor)
    governed = GovernedActivities(agent=refunds.AGENT, words=WORDS, runs=runs)
    with ThreadPoolExecutor(4) as threads:
        worker = Worker(
            await Client.connect(address),
            task_queue=QUEUE,
            workflows=[Case],
            activities=ACTIVITIES,
            activity_executor=threads,
            interceptors=[governed],
        )
        await worker.run()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
