"""What is said of the configuration's candidate: by ``guardrails doctor`` and ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.candidates import candidate_of
from guardrails.cli.finding import Finding, Status
from guardrails.cli.policy_sources import nearby
from guardrails.errors import GuardrailsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.config import Config


def candidate_line(config: Config) -> str | None:
    """What rides along, in one line; None where nothing does."""
    wanted = config.candidate
    if wanted is None:
        return None
    share = "every decision" if wanted.share == 1 else f"{100 * wanted.share:g}% of decisions"
    return f"{nearby(wanted.policy)}, tried on {share}, never enforced"


def candidate_findings(config: Config) -> Iterator[Finding]:
    """Whether the candidate loads; one that does not refuses no call, and so only warns."""
    wanted, said = config.candidate, candidate_line(config)
    if wanted is None or said is None:
        return
    try:
        revision = candidate_of(wanted.policy, config).engine().revision
    except GuardrailsError as error:
        # What a program gives policies itself is not known here, and the candidate may need it.
        for line in str(error).splitlines():
            yield Finding("candidate", Status.WARN, f"is not tried: {line}", "correct its policies")
        return
    shown = revision.removeprefix("sha256:")[:12]
    yield Finding("candidate", Status.OK, f"{said}; revision {shown}")


__all__ = ["candidate_findings", "candidate_line"]
