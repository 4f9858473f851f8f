"""How a bundle is, in OPA's words: what is active, what last went well and when, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

ERROR: Final = "bundle_error"
"""The code of every error."""


@dataclass(frozen=True, slots=True)
class BundleStatus:
    """The state of one bundle. Times are UTC nanoseconds since 1970; None for never.

    Attributes:
        name: The bundle.
        active_revision: The revision in its manifest, of what decides now.
        type: ``snapshot`` or ``delta``: what was received last.
        size: Bytes of what was activated last.
        last_request: When it was last asked for.
        last_successful_request: When an answer last came.
        last_successful_download: When a new bundle last came.
        last_successful_activation: When a bundle last took over.
        code: :data:`ERROR` while the last request or activation failed, else empty.
        message: What went wrong.
        errors: What is wrong in the policies, each with its place.
        http_code: The service's answer, where that was no bundle.
        origin: ``service`` or ``disk``: where the active one came from; empty where none is.
    """

    name: str
    active_revision: str = ""
    type: str = ""
    size: int = 0
    last_request: int | None = None
    last_successful_request: int | None = None
    last_successful_download: int | None = None
    last_successful_activation: int | None = None
    code: str = ""
    message: str = ""
    errors: tuple[str, ...] = ()
    http_code: int | None = None
    origin: str = ""

    @property
    def is_active(self) -> bool:
        """Whether a bundle of this name decides."""
        return self.last_successful_activation is not None

    def document(self) -> dict[str, Any]:
        """As OPA's status API has it, with what is empty left out."""
        found: dict[str, Any] = {"name": self.name}
        for key in ("active_revision", "type", "size", "code", "message", "origin"):
            if value := getattr(self, key):
                found[key] = value
        for key in (
            "last_request",
            "last_successful_request",
            "last_successful_download",
            "last_successful_activation",
        ):
            if (at := getattr(self, key)) is not None:
                found[key] = _rfc3339(at)
        if self.errors:
            found["errors"] = list(self.errors)
        if self.http_code is not None:
            found["http_code"] = str(self.http_code)
        return found


def _rfc3339(at: int) -> str:
    seconds, rest = divmod(at, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
