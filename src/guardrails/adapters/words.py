"""What policy is told of a host's tool whose function carries no ``@governed_tool``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement.described_tools import described_plain_tool, described_tool
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

ANY_OBJECT: Final[Mapping[str, Any]] = {"type": "object", "additionalProperties": True}
"""The schema where a host has checked the arguments itself: what comes are Python's own values."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What policy is told of a tool.

    Attributes:
        resource: What it works on, as grants name it; None for the tool's name.
        operation: What it does to it.
        labels: Words for policy.
    """

    resource: str | None = None
    operation: str = "execute"
    labels: tuple[str, ...] = ()

    def tool(
        self, name: str, schema: Mapping[str, Any] = ANY_OBJECT
    ) -> Callable[..., Awaitable[Any]]:
        """A governed tool that is known by this name and schema alone.

        See :func:`~guardrails.enforcement.described_tools.described_tool`.
        """
        return described_tool(
            name, schema, resource=self.resource, operation=self.operation, labels=self.labels
        )

    def plain_tool(self, name: str, schema: Mapping[str, Any] = ANY_OBJECT) -> Callable[..., Any]:
        """The same as a plain function."""
        return described_plain_tool(
            name, schema, resource=self.resource, operation=self.operation, labels=self.labels
        )


def words_for(
    tool: str, resource: str | None, operation: str, labels: Iterable[str], *, own: object
) -> Words:
    """The words that a program gives for one tool.

    Args:
        tool: Its name.
        resource: As :class:`Words` has it.
        operation: Likewise.
        labels: Likewise.
        own: What its function says itself; None where it says nothing.

    Raises:
        ConfigError: words are given, and the function says its own.
    """
    given = Words(resource=resource, operation=operation, labels=tuple(labels))
    if own is not None and given != Words():
        raise ConfigError(f"`{tool}` has its words in @governed_tool; change them there")
    return given


class DescribedTools:
    """The tools of a host that say nothing themselves, each governed from its first call on.

    Args:
        words: What policy is told of them, by their names.
    """

    def __init__(self, words: Mapping[str, Words]) -> None:
        self._words = dict(words)
        self._known: dict[str, Callable[..., Awaitable[Any]]] = {}

    def __getitem__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """The governed tool of this name; its host has checked the arguments.

        Raises:
            ConfigError: the name or a word is none for policy.
        """
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._words.get(name, Words()).tool(name)
        return known


__all__ = ["ANY_OBJECT", "DescribedTools", "Words", "words_for"]
