"""The section ``candidate``: policies that are tried beside those that decide.

::

    candidate: {policy: policies-next, share: 1}

``policy`` is a directory of policies, a bundle or a ``guardrails.yaml``; ``share`` is the share of
decisions that is tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrails.config.engine import Share  # noqa: TC001  # pydantic reads it at run time
from guardrails.register.source import Mapped
from guardrails.register.words import Text  # noqa: TC001  # pydantic reads it at run time

if TYPE_CHECKING:
    from pathlib import Path


class WrittenCandidate(Mapped):
    """The section as it is written."""

    policy: Text
    share: Share = 1.0


@dataclass(frozen=True, slots=True)
class CandidateConfig:
    """What is tried.

    Attributes:
        policy: Where it is; the path is absolute.
        share: The share of decisions that is tried.
    """

    policy: Path
    share: float = 1.0


def candidate_config(written: WrittenCandidate | None, base: Path) -> CandidateConfig | None:
    """What the section says, with its path from `base`."""
    return None if written is None else CandidateConfig(base / written.policy, written.share)
