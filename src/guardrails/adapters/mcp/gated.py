"""A server of one's own behind policy: what is told of it, whichever SDK it is made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.adapters.mcp.gate import Gate, Governs
from guardrails.adapters.mcp.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrails.governor import Governor


class GatedServer:
    """What governs the calls of one server's clients.

    Args:
        governor: Decides.
        agent: The agent that the server's clients are, as the register names it.
        tools: What policy is told of tools without decorators, by name; nothing of that is read
            from the tools themselves.
        server: The server's name, which begins the names of those tools for policy.
        passes: What besides tools passes undecided: ``resources``, ``prompts``, ``completions``.
        hiding: The rules by whose denial a tool is not listed; None for those of the library that
            no argument can satisfy.
        link: Where people answer approval requests, with ``{id}``.
        **options: As for :class:`~guardrails.adapters.mcp.sessions.Sessions`.

    Raises:
        ConfigError: a word is none.
    """

    def __init__(  # noqa: PLR0913  # each by its name
        self,
        governor: Governor,
        agent: str,
        *,
        tools: Mapping[str, Governs] | None = None,
        server: str = "",
        passes: Iterable[str] = (),
        hiding: Iterable[str] | None = None,
        link: str = "",
        **options: Any,
    ) -> None:
        self.sessions = Sessions(governor, agent, **options)
        hides = {} if hiding is None else {"hiding": hiding}
        self._gate = Gate(
            self.sessions, tools=tools, server=server, passes=passes, link=link, **hides
        )

    def close(self) -> None:
        """End the runs of all sessions."""
        self.sessions.close()


__all__ = ["GatedServer", "Governs"]
