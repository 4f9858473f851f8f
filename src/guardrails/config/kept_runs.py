"""The section ``runs`` of ``guardrails.yaml``: which ended runs are still listed."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from guardrails.register.source import Mapped
from guardrails.register.words import Seconds  # noqa: TC001  # pydantic reads it at run time


class KeptRuns(Mapped):
    """How long, and how many.

    Attributes:
        keep: Seconds after its end for which a run is listed; also written ``7d``.
        at_most: How many runs are listed, open ones aside.
    """

    keep: Seconds = 7 * 24 * 3600
    at_most: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000


DEFAULT_KEPT_RUNS: Final = KeptRuns()
