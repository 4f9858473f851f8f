"""The keys of the section ``record`` that say what it may hold of calls.

::

    record:
      directory: .guardrails/record
      arguments: full           # or `digest`: of each argument a keyed digest; or `none`
      secrets: mask             # or `refuse`: a call with a secret in its arguments is refused
      cards: false              # whether numbers of payment cards are secrets
      tools:
        refund: {arguments: digest}
        send_mail: {secrets: refuse}

A tool that is named has what it leaves out from the keys above it. What tools return is never
recorded.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from guardrails.model.recording import ArgumentsKept, OnSecret, Recording, ToolRecording
from guardrails.register.source import Mapped, nearest, quoted, shown
from guardrails.register.words import Keyed, Name  # noqa: TC001  # pydantic reads them


def _one_of(known: tuple[str, ...]) -> BeforeValidator:
    def check(value: object) -> object:
        if value not in known:
            hint = nearest(str(value), known)
            msg = f"{shown(value)} is not known{hint}; there are {quoted(known)}"
            raise ValueError(msg)
        return value

    return BeforeValidator(check)


Arguments = Annotated[Literal["full", "digest", "none"], _one_of(("full", "digest", "none"))]
Secrets = Annotated[Literal["mask", "refuse"], _one_of(("mask", "refuse"))]


class WrittenTool(Mapped):
    """What is said of one tool."""

    arguments: Arguments | None = None
    secrets: Secrets | None = None


class WrittenRedaction(Mapped):
    """The keys as they are written."""

    arguments: Arguments = "full"
    secrets: Secrets = "mask"
    cards: bool = False
    tools: Keyed[Name, WrittenTool] = Field(default_factory=dict)

    def recording(self) -> Recording:
        """What they say."""
        return Recording(
            _tool(self.arguments, self.secrets),
            {
                name: _tool(each.arguments or self.arguments, each.secrets or self.secrets)
                for name, each in self.tools.items()
            },
            self.cards,
        )


def _tool(arguments: Any, secrets: Any) -> ToolRecording:
    return ToolRecording(ArgumentsKept(arguments), OnSecret(secrets))
