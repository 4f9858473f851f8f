"""For the tests of those who use guardrails: what policy decides, and tools that run as ever.

What policy says, decided by the project's own policies, and without running the tool (the fixture
`governed` is the pytest plugin's, see ``docs/testing.md``)::

    def test_large_refunds_ask(governed):
        with governed.run("billing"):
            testing.assert_allowed(refund, {"order_id": "A-17", "amount": 20})
            testing.assert_needs_approval(
                refund, {"order_id": "A-17", "amount": 4180}, because="defaults",
                approvers="finance-ops",
            )

What the tool does, where policy is not the test's business::

    def test_refund():
        with testing.run() as run:             # allows everything, no budget to speak of
            assert refund("A-17", Decimal(20)) == "refunded"
        assert run.governor.record.tools() == ["refund"]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from guardrails.testing.assertions import (
    assert_allowed,
    assert_denied,
    assert_needs_approval,
    assert_refused,
    assert_shadowed,
)
from guardrails.testing.doubles import (
    FakeClock,
    FunctionEngine,
    OpenRegister,
    RecordingGovernor,
    governor,
    run,
)
from guardrails.testing.verdict import Verdict, decide

if TYPE_CHECKING:
    from guardrails.testing.answering import Approvers
    from guardrails.testing.governed import Governed
    from guardrails.testing.project import Project

_LATE: Final = {
    "Approvers": "guardrails.testing.answering",
    "Governed": "guardrails.testing.governed",
    "Project": "guardrails.testing.project",
}
"""What brings in YAML and Rego, which a program that imports guardrails may not need."""


def __getattr__(name: str) -> Any:
    module = _LATE.get(name)
    if module is None:
        msg = f"module `{__name__}` has no attribute `{name}`"
        raise AttributeError(msg)
    return getattr(import_module(module), name)


__all__ = [
    "Approvers",
    "FakeClock",
    "FunctionEngine",
    "Governed",
    "OpenRegister",
    "Project",
    "RecordingGovernor",
    "Verdict",
    "assert_allowed",
    "assert_denied",
    "assert_needs_approval",
    "assert_refused",
    "assert_shadowed",
    "decide",
    "governor",
    "run",
]
