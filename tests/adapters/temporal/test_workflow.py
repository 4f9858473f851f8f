"""The workflow's part: replayed by Temporal's own core, in its sandbox, from histories.

A replay fails where the workflow does anything else than the history says.
"""

import asyncio
import importlib.util
import sys

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError
from tests.adapters import refunds

from guardrails.adapters.temporal import ANSWERED, PENDING

PATH = refunds.ROOT / "examples" / "adapters" / "refunds_temporal.py"
CONVERTER = DataConverter.default.payload_converter
REQUEST = {"request_id": "apr_1", "approvers": ["finance-ops"]}


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("refunds_temporal", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["refunds_temporal"] = module  # Temporal's sandbox imports it again, by its name
    sys.path.insert(0, str(PATH.parent))
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(PATH.parent))
    del sys.modules["refunds_temporal"]


class Events:
    """A history, event by event."""

    def __init__(self):
        self._events = []
        start = self._add("WORKFLOW_EXECUTION_STARTED").workflow_execution_started_event_attributes
        start.workflow_type.name, start.task_queue.name = "Refunds", "refunds"
        start.original_execution_run_id = start.first_execution_run_id = "0190"
        self._activities = 0
        self.workflow_task()

    def _add(self, kind):
        event = HistoryEvent(
            event_id=len(self._events) + 1,
            event_type=EventType.Value(f"EVENT_TYPE_{kind}"),
        )
        event.event_time.seconds = 1_790_000_000 + len(self._events)
        self._events.append(event)
        return event

    def workflow_task(self):
        scheduled = self._add("WORKFLOW_TASK_SCHEDULED")
        scheduled.workflow_task_scheduled_event_attributes.task_queue.name = "refunds"
        started = self._add("WORKFLOW_TASK_STARTED")
        started.workflow_task_started_event_attributes.scheduled_event_id = scheduled.event_id
        ended = self._add("WORKFLOW_TASK_COMPLETED").workflow_task_completed_event_attributes
        ended.scheduled_event_id, ended.started_event_id = scheduled.event_id, started.event_id
        self._decided = ended.started_event_id + 1

    def scheduled(self):
        """The workflow has called the activity."""
        self._activities += 1
        event = self._add("ACTIVITY_TASK_SCHEDULED")
        about = event.activity_task_scheduled_event_attributes
        about.activity_id, about.activity_type.name = str(self._activities), "refund"
        about.task_queue.name = "refunds"
        about.workflow_task_completed_event_id = self._decided
        return event.event_id

    def ended(self, scheduled, result=None, error=None):
        started = self._add("ACTIVITY_TASK_STARTED")
        started.activity_task_started_event_attributes.scheduled_event_id = scheduled
        if error is None:
            about = self._add("ACTIVITY_TASK_COMPLETED").activity_task_completed_event_attributes
            about.result.payloads.extend(CONVERTER.to_payloads([result]))
        else:
            about = self._add("ACTIVITY_TASK_FAILED").activity_task_failed_event_attributes
            failure = Failure()
            DataConverter.default.failure_converter.to_failure(error, CONVERTER, failure)
            about.failure.CopyFrom(failure)
        about.scheduled_event_id, about.started_event_id = scheduled, started.event_id

    def signal(self, request_id):
        about = self._add(
            "WORKFLOW_EXECUTION_SIGNALED"
        ).workflow_execution_signaled_event_attributes
        about.signal_name = ANSWERED
        about.input.payloads.extend(CONVERTER.to_payloads([request_id]))

    def completed(self, result):
        about = self._add("WORKFLOW_EXECUTION_COMPLETED")
        done = about.workflow_execution_completed_event_attributes
        done.result.payloads.extend(CONVERTER.to_payloads([result]))
        done.workflow_task_completed_event_id = self._decided

    def replay(self, workflow):
        history = WorkflowHistory("case-17", self._events)
        asyncio.run(Replayer(workflows=[workflow]).replay_workflow(history))


def waits():
    return ApplicationError("it waits", REQUEST, type=PENDING, non_retryable=True)


def up_to_the_wait(events):
    events.ended(events.scheduled(), "refunded $20 for A-17")
    events.workflow_task()
    events.ended(events.scheduled(), error=waits())


def test_a_workflow_calls_the_activity_again_when_it_is_signalled(example):
    events = Events()
    up_to_the_wait(events)
    events.workflow_task()
    started = events._add("TIMER_STARTED")
    about = started.timer_started_event_attributes
    about.timer_id, about.workflow_task_completed_event_id = "1", events._decided
    about.start_to_fire_timeout.seconds = 3600
    events.signal("apr_1")
    events.workflow_task()
    canceled = events._add("TIMER_CANCELED").timer_canceled_event_attributes
    canceled.timer_id, canceled.started_event_id = "1", started.event_id
    canceled.workflow_task_completed_event_id = events._decided
    events.ended(events.scheduled(), "refunded $2,000 for A-18")
    events.workflow_task()
    events.completed(["refunded $20 for A-17", "refunded $2,000 for A-18"])
    events.replay(example.Refunds)


def test_a_signal_that_comes_before_the_workflow_waits_is_not_lost(example):
    events = Events()
    events.ended(events.scheduled(), "refunded $20 for A-17")
    events.workflow_task()
    scheduled = events.scheduled()
    events.signal("apr_1")
    events.ended(scheduled, error=waits())
    events.workflow_task()
    events.ended(events.scheduled(), "refunded $2,000 for A-18")
    events.workflow_task()
    events.completed(["refunded $20 for A-17", "refunded $2,000 for A-18"])
    events.replay(example.Refunds)


@pytest.mark.parametrize("wrong", ["the signal of another request", "no signal"])
def test_without_its_signal_a_workflow_does_not_call_again(example, wrong):
    events = Events()
    up_to_the_wait(events)
    if wrong == "the signal of another request":
        events.signal("apr_2")
    events.workflow_task()
    events.ended(events.scheduled(), "refunded $2,000 for A-18")
    events.workflow_task()
    with pytest.raises(NondeterminismError):
        events.replay(example.Refunds)


def test_a_refusal_ends_the_workflow_and_is_not_called_again(example):
    events = Events()
    denied = ApplicationError("no", type="guardrails.denied", non_retryable=True)
    events.ended(events.scheduled(), error=denied)
    events.workflow_task()
    events.ended(events.scheduled(), "refunded $20 for A-17")
    events.workflow_task()
    with pytest.raises(NondeterminismError):
        events.replay(example.Refunds)
