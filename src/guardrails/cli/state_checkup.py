"""The examinations of ``guardrails doctor`` that are about what a machine's processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.cli.finding import Finding, Status
from guardrails.cli.policy_sources import nearby
from guardrails.errors import StateUnavailable
from guardrails.register.review import PRODUCTION
from guardrails.runs.kill_facts import kill_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.config import Config


def state_findings(config: Config) -> Iterator[Finding]:
    """Every finding about the state directory and the kill switch in it; nothing is made."""
    if config.state is None:
        grave = config.environment in PRODUCTION
        yield Finding(
            "state",
            Status.WARN if grave else Status.OK,
            "in memory: budgets, kills and approvals are each process's own, and end with it",
            "name a directory under `state`, on a local disk" if grave else "",
        )
        return
    yield Finding("state", Status.OK, f"{nearby(config.state)}, for this machine's processes")
    try:
        facts = kill_facts(config.state)
    except StateUnavailable as error:
        yield Finding("kill switch", Status.FAIL, str(error), "see docs/kill.md", out_of_reach=True)
        return
    if not facts.is_there:
        yield Finding("kill switch", Status.OK, "is made with the first governor")
        return
    if not facts.settled:
        yield Finding(
            "kill switch",
            Status.WARN,
            "a kill was left half made; every call looks it up until the next kill or resume",
            "kill or resume again",
        )
    mapped = "" if facts.mapped_by is None else f"; {len(facts.mapped_by)} processes look at it"
    killed = ", ".join(f"`{act.scope}`" for act in facts.killed) or "nothing"
    yield Finding("kill switch", Status.OK, f"killed: {killed}{mapped}")
