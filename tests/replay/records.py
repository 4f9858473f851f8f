"""Records to replay: what a policy decides about the benchmarks' calls, as events hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.policies.reference import library

from guardrails.audit.exact_json import exact_json
from guardrails.candidates import Candidate
from guardrails.engines.source import Policies

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from guardrails.engines.in_process import InProcessEngine

STRICTER = """package guardrails.rules.no_mail

deny contains "mail is off" if input.tool.name == "send_mail"
"""


def shipped(*more: str) -> Candidate:
    """The library over the benchmarks' register, with more modules."""
    policy = library()
    modules = {**policy.modules, **{f"more_{at}.rego": text for at, text in enumerate(more)}}
    return Candidate("shipped", Policies(modules, policy.data))


def inputs() -> list[dict[str, Any]]:
    """The benchmarks' calls, each once."""
    return [dict(case.input) for case in library().cases]


def event(engine: InProcessEngine, document: dict[str, Any], number: int = 0) -> dict[str, Any]:
    """The event in which a decision stands."""
    found = engine.decide(document, "")
    return {
        "kind": "call.started" if found.effect == "allow" else "call.refused",
        "time": document["time"],
        "decision_id": f"d{number}",
        "run_id": document["run"]["id"],
        "agent": document["agent"]["id"],
        "tool": document["tool"]["name"],
        "effect": found.effect.value,
        "reasons": [each._asdict() for each in found.reasons],
        "approvals": [{"rule": each.rule} for each in found.approvals],
        "revision": found.revision,
        "input": document,
    }


def written(path: Path, events: Iterable[dict[str, Any]]) -> Path:
    """A record of these events."""
    path.write_text("".join(exact_json(each) + "\n" for each in events), encoding="ascii")
    return path
