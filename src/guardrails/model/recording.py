"""What a record may hold of calls: their arguments in full, as digests or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class ArgumentsKept(StrEnum):
    """What the record keeps of a call's arguments."""

    FULL = "full"
    DIGEST = "digest"
    NONE = "none"


class OnSecret(StrEnum):
    """What becomes of a secret in a call's arguments."""

    MASK = "mask"
    """The call goes on; the record has a digest in the secret's place."""
    REFUSE = "refuse"
    """The call is refused before it is decided; the record is as above."""


@dataclass(frozen=True, slots=True)
class ToolRecording:
    """What holds for the calls of one tool.

    Attributes:
        arguments: What is kept of its arguments.
        secrets: What becomes of a secret in them.
    """

    arguments: ArgumentsKept = ArgumentsKept.FULL
    secrets: OnSecret = OnSecret.MASK


@dataclass(frozen=True, slots=True)
class Recording:
    """What holds for the calls of all tools.

    Attributes:
        default: For tools that are not named.
        tools: For each tool that is.
        cards: Whether numbers of payment cards are secrets.
    """

    default: ToolRecording = ToolRecording()
    tools: Mapping[str, ToolRecording] = field(default_factory=lambda: MappingProxyType({}))
    cards: bool = False

    def of(self, tool: str | None) -> ToolRecording:
        """What holds for a tool."""
        return self.default if tool is None else self.tools.get(tool, self.default)

    @property
    def refuses(self) -> bool:
        """Whether a secret can be a refusal at all."""
        return any(each.secrets is OnSecret.REFUSE for each in (self.default, *self.tools.values()))


DEFAULT_RECORDING: Final = Recording()
"""Arguments in full, secrets masked."""
