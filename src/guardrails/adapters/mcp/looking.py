"""What a person sees of a server before approving it: each tool, what it counts as, what is odd."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, NamedTuple

from guardrails.adapters.mcp.gate import is_name
from guardrails.adapters.mcp.permissions import place_of
from guardrails.adapters.mcp.pins import definition_of
from guardrails.enforcement.schema_arguments import SchemaArguments
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.adapters.mcp.permissions import Place
    from guardrails.adapters.mcp.upstream import Upstream


class Seen(NamedTuple):
    """One tool, as a server describes it.

    Attributes:
        name: Its name there.
        definition: The parts of its definition that count.
        place: What it counts as for policy.
        permitted: Whether ``permissions`` holds that.
        state: What keeps it from being called; empty where nothing does.
        odd: What is odd about it, for a person to judge.
        problem: Why it cannot be called at all; empty where it can.
    """

    name: str
    definition: dict[str, Any]
    place: Place
    permitted: bool
    state: str
    odd: tuple[str, ...]
    problem: str


def look(upstream: Upstream) -> list[Seen]:
    """What a server says of its tools, by name."""
    seen = []
    for name, tool in sorted(upstream.tools.items()):
        definition = definition_of(tool)
        annotations = definition.get("annotations", {})
        place = place_of(upstream.server, name, annotations, upstream.tools.keys())
        seen.append(
            Seen(
                name,
                definition,
                place,
                place.resource in upstream.server.permissions.get(place.operation, ()),
                upstream.state(name),
                tuple(_oddities(definition)),
                _problem(upstream.name, name, definition),
            )
        )
    return seen


def _problem(server: str, name: str, definition: dict[str, Any]) -> str:
    if not is_name(f"{server}.{name}"):
        return "its name is none that policy and models can be told"
    try:
        SchemaArguments(f"{server}.{name}", definition.get("inputSchema", {}))
    except ConfigError as error:
        return str(error)
    return ""


def _oddities(definition: dict[str, Any]) -> Iterable[str]:
    texts = list(_texts(definition))
    hidden = {each for text in texts for each in text if unicodedata.category(each) in _UNSEEN}
    if hidden - {"\n", "\t", "\r"}:
        named = ", ".join(f"U+{ord(each):04X}" for each in sorted(hidden - {"\n", "\t", "\r"})[:5])
        yield f"it holds characters that are not seen: {named}"
    longest = max(map(len, texts), default=0)
    if longest > _LONG:
        yield f"it has a text of {longest} characters"


_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})
_LONG = 2_000


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
