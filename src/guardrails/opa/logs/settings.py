"""What OPA's configuration file says of decision logs and of status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.opa.bundles.schedule import Polling
from guardrails.opa.logs.packing import SIZE

if TYPE_CHECKING:
    from guardrails.opa.services import Service

REPORTING: Final = Polling(300, 600)
"""How often decision logs are sent, unless the file says otherwise."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where decision logs go.

    Attributes:
        service: Who takes them; None for nobody.
        resource: The path below the service's URL.
        polling: How often they are sent.
        size: Compressed bytes of a chunk.
        mask: The rule that masks, as ``system/log/mask``.
        console: Whether they are logged in this process.
    """

    service: Service | None = None
    resource: str = "/logs"
    polling: Polling = REPORTING
    size: int = SIZE
    mask: str = "system/log/mask"
    console: bool = False


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """Where status updates go.

    Attributes:
        service: Who takes them; None for nobody.
        resource: The path below the service's URL.
        console: Whether they are logged in this process.
    """

    service: Service | None = None
    resource: str = "/status"
    console: bool = False


__all__ = ["REPORTING", "LogSettings", "StatusSettings"]
