"""Governing a tool that is known by its description alone: a name, a schema of its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.enforcement.definition import Tool, checked_labels, checked_name
from guardrails.enforcement.schema_arguments import SchemaArguments
from guardrails.enforcement.tools import wrapped
from guardrails.model.facts import ToolFacts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping

    from guardrails.errors import Refusal


def described_tool(  # noqa: PLR0913  # the facts of a tool, each by its name
    name: str,
    schema: Mapping[str, Any],
    *,
    resource: str | None = None,
    operation: str = "execute",
    labels: Iterable[str] = (),
    refuse: Callable[[], Refusal | None] = lambda: None,
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """A governed coroutine function: ``await tool(forward, **arguments)``.

    The one positional argument makes the call, once it is permitted: it is awaited with the
    arguments as they were decided, a dict. Everything else is as for any governed tool.

    Args:
        name: The tool's name for policy.
        schema: The JSON schema of its arguments.
        resource: What it works on; else the tool's name.
        operation: What it does to it.
        labels: Words for policy.
        refuse: Gives the reason for which no call of it is made at present, if there is one; the
            refusal is recorded as any other.

    Raises:
        ConfigError: a fact is none, or the schema cannot be used.
    """

    async def made_by_its_caller(
        forward: Callable[[dict[str, Any]], Awaitable[Any]], /, **arguments: Any
    ) -> Any:
        return await forward(arguments)

    facts = _facts(name, resource, operation, labels)
    return _described(made_by_its_caller, name, facts, SchemaArguments(name, schema, refuse=refuse))


def described_plain_tool(
    name: str,
    schema: Mapping[str, Any],
    *,
    resource: str | None = None,
    operation: str = "execute",
    labels: Iterable[str] = (),
) -> Callable[..., Any]:
    """The same as a plain function: ``tool(make, **arguments)`` gives what ``make(dict)`` gives.

    Raises:
        ConfigError: as :func:`described_tool`.
    """

    def made_by_its_caller(make: Callable[[dict[str, Any]], Any], /, **arguments: Any) -> Any:
        return make(arguments)

    return _described(
        made_by_its_caller,
        name,
        _facts(name, resource, operation, labels),
        SchemaArguments(name, schema),
    )


def _facts(name: str, resource: str | None, operation: str, labels: Iterable[str]) -> ToolFacts:
    return ToolFacts(
        checked_name(name, what="tool name"),
        checked_name(resource or name, what="resource"),
        checked_name(operation, what="operation"),
        checked_labels(labels),
    )


def _described(
    function: Callable[..., Any], name: str, facts: ToolFacts, reader: SchemaArguments
) -> Callable[..., Any]:
    # What tells tools of one name apart is where a function stands, and these all stand here.
    function.__qualname__ = function.__name__ = name
    governed: Callable[..., Any] = wrapped(Tool(function, facts, reader, declared=True))
    return governed
