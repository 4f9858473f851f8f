"""What a tool of a server works on and does to it; and a file's permissions as policy data.

A person's word comes first: what ``tools`` says of a tool, or ``permissions`` that names it. Where
``permissions`` names a word of the tool's name instead, as ``contacts`` for ``list_contacts``, that
is what it works on, and its annotations propose what it does: ``readOnlyHint`` a read,
``destructiveHint: false`` a write, anything else a deletion. Whoever approves the server sees the
proposal; until then nothing is called, and afterwards other annotations are another definition.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from guardrails.adapters.mcp.servers_file import Server, ServersFile

LABEL: Final = "mcp"
"""The label of every tool behind the proxy, by which the library's rule `mcp` knows it."""

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class Place(NamedTuple):
    """Where a tool stands for policy.

    Attributes:
        resource: What it works on, without the server's name.
        operation: What it does to it.
        labels: Words for policy.
        why: Whose word that is, for a person to read.
    """

    resource: str
    operation: str
    labels: tuple[str, ...]
    why: str


def place_of(
    server: Server, name: str, annotations: Mapping[str, Any], names: Collection[str] = ()
) -> Place:
    """Where a tool stands.

    Args:
        server: Its server.
        name: Its name there.
        annotations: Its annotations, as the protocol writes them.
        names: The names of all its server's tools: what names one of them is no word of another's.
    """
    said = server.tools.get(name)
    if said is not None:
        return Place(
            said.resource or name, said.operation, (LABEL, *said.labels), "stated under `tools`"
        )
    named = [operation for operation, items in server.permissions.items() if name in items]
    if len(named) == 1:
        return Place(name, named[0], (LABEL,), f"named under `permissions.{named[0]}`")
    proposed, hint = _proposed(annotations)
    if named:
        # Nobody can know which was meant, so it is neither.
        return Place(name, "unclear", (LABEL,), f"named under {' and '.join(named)}")
    words = _parts(name)
    items = {item for each in server.permissions.values() for item in each}.difference(names)
    fitting = sorted(item for item in items if _holds(words, _parts(item)))
    if len(fitting) == 1:
        return Place(fitting[0], proposed, (LABEL,), f"`{fitting[0]}` by its name, {hint}")
    if fitting:
        return Place(name, proposed, (LABEL,), f"could be any of {', '.join(fitting)}; {hint}")
    return Place(name, proposed, (LABEL,), f"no permission names it; {hint}")


def policy_data(file: ServersFile) -> dict[str, dict[str, list[str]]]:
    """A file's permissions as policies read them, below ``data.guardrails_data.mcp``."""
    return {
        name: {
            operation: [f"{name}.{item}" for item in items]
            for operation, items in server.permissions.items()
        }
        for name, server in file.servers.items()
    }


def _proposed(annotations: Mapping[str, Any]) -> tuple[str, str]:
    # Strictly: what is no boolean is no hint.
    if annotations.get("readOnlyHint") is True:
        return "read", "a read by readOnlyHint"
    if annotations.get("destructiveHint") is False:
        return "write", "a write by destructiveHint"
    return "delete", "a deletion as far as is known"


def _parts(name: str) -> list[str]:
    words = [word.lower() for word in _WORDS.findall(name)]
    return [_singular(word) for word in words]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):  # noqa: PLR2004  # `ties` is no plural of `ty`
        return f"{word[:-3]}y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word  # noqa: PLR2004  # `bus`


def _holds(words: list[str], part: list[str]) -> bool:
    size = len(part)
    return size > 0 and any(words[at : at + size] == part for at in range(len(words) - size + 1))
