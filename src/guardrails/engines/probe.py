"""Whether policies decide at all: one plain call is decided before they take over.

A bundle can be sound in every part and decide nothing, as where its decision is undefined or
has a word that is no effect. Each call would then be refused; the bundle before it was better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.model.decision import Decision, MalformedDecision
from guardrails.rego.values import UNDEFINED, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROBE: Final[Mapping[str, Any]] = {
    "agent": {"id": "", "version": "", "owner": "", "environment": "", "labels": []},
    "principal": None,
    "tool": {"name": "", "resource": "", "operation": "read", "labels": [], "hidden": []},
    "args": {},
    "call": {"id": ""},
    "run": {
        "id": "",
        "ancestry": [],
        "labels": [],
        "mode": "enforce",
        "calls": 0,
        "history": {},
        "steps": [],
        "signals": [],
        "spent": {"usd": 0, "tokens": 0, "calls": 0},
        "reserved": {"usd": 0, "tokens": 0, "calls": 0},
        "remaining": {},
    },
    "time": 0,
}
"""A call of the published shape that names nobody and nothing."""


def check_decides(evaluate: Callable[[Any], Any], entrypoint: str) -> None:
    """Returns if the policies have a decision about a plain call.

    An evaluation that fails passes: about that very call they refuse, and may decide others.

    Args:
        evaluate: Gives the value of the entrypoint for a document.
        entrypoint: What errors call it.

    Raises:
        PolicyLoadError: They have none.
    """
    try:
        result = evaluate(dict(PROBE))
        if result is UNDEFINED:
            msg = f"`{entrypoint}` is undefined for a plain call; it must always have a value"
            raise PolicyLoadError(msg)
        Decision.from_document(to_json(result))
    except MalformedDecision as error:
        msg = f"`{entrypoint}` gives no decision for a plain call: {error}"
        raise PolicyLoadError(msg) from error
    except EvaluationError:
        return
