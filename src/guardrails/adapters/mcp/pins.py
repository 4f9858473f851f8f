"""Which definitions of tools a person has seen: ``mcp.lock.json`` beside ``mcp.json``.

A server may change what a tool is called, takes or says after somebody has looked at it. So the
definitions stand in a file, as they were seen: agents are shown these and no others, and a tool
that its server now defines otherwise is refused until somebody has looked again. The file belongs
into version control, where its changes are reviewed; the agent's user must not be able to write
it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.adapters.mcp.servers_file import read_json
from guardrails.enforcement.json_form import NoJsonForm, to_document
from guardrails.errors import ConfigError
from guardrails.model.call import Event
from guardrails.model.canonical import canonical, digest
from guardrails.model.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_types import Tool

VERSION: Final = 1
PARTS: Final = ("title", "description", "inputSchema", "outputSchema", "annotations", "execution")
"""What of a definition a person sees and a model is shown; icons and ``_meta`` are neither."""

_LIMITS: Final = Limits(depth=64, nodes=50_000, text=524_288)


class Pin(NamedTuple):
    """One server as a person has seen it.

    Attributes:
        by: Who.
        at: When, as RFC 3339.
        launch: The digest of what was started or asked.
        tools: The definitions, by name.
    """

    by: str
    at: str
    launch: str
    tools: dict[str, dict[str, Any]]


def pins_path(servers: Path) -> Path:
    """The file of pins that belongs to a file of servers."""
    return servers.with_name(f"{servers.stem}.lock.json")


def definition_of(tool: Tool) -> dict[str, Any]:
    """The parts of a definition that count."""
    whole = tool.model_dump(by_alias=True, mode="json", exclude_none=True)
    return {part: whole[part] for part in PARTS if part in whole}


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two definitions are the same, to the letter."""
    try:
        return canonical(_document(one)) == canonical(_document(other))
    except (NoJsonForm, ValueError):
        return False


def differences(pinned: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """The parts in which they differ."""
    return [part for part in PARTS if not same({"it": pinned.get(part)}, {"it": live.get(part)})]


def load_pins(path: Path) -> dict[str, Pin]:
    """The servers that people have seen, by name; none where there is no file.

    Raises:
        ConfigError: the file cannot be read, or is of another form.
    """
    if not path.exists():
        return {}
    document = read_json(path)
    try:
        if document["version"] != VERSION:
            raise ConfigError(f"{path}: version {document['version']!r} is not {VERSION}")
        return {
            name: Pin(each["by"], each["at"], each["launch"], _checked(each["tools"]))
            for name, each in document["servers"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: it is of another form: {error!r}") from None


def save_pins(path: Path, pins: Mapping[str, Pin]) -> None:
    """Write the file anew, all at once.

    Raises:
        ConfigError: it cannot be written.
    """
    document = {
        "version": VERSION,
        "servers": {
            name: pin._asdict() for name, pin in sorted(pins.items(), key=lambda each: each[0])
        },
    }
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
    try:
        handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        Path(made).chmod(0o644)
        Path(made).replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def approved(server: str, pin: Pin, before: Pin | None, *, user: str, reason: str) -> Event:
    """The event that somebody has approved a server's tools.

    Args:
        server: Its name.
        pin: What they have seen.
        before: What stood there before.
        user: The operating system's name of who types it, where another name is given.
        reason: Why.
    """
    by = pin.by if pin.by == user else f"{pin.by} (as {user})"
    detail = {
        "server": server,
        "tools": sorted(pin.tools),
        "definitions": _digest(pin),
        "launch": pin.launch,
        "by": by,
        "reason": reason,
    }
    if before is not None:
        detail["replaces"] = _digest(before)
    return Event("mcp.approved", time.time_ns(), detail=detail)


def _digest(pin: Pin) -> str:
    """One for all its definitions: each may be as large as the limits of one let it."""
    return digest({name: digest(_document(each)) for name, each in pin.tools.items()})


def _document(definition: Mapping[str, Any]) -> Any:
    return to_document(dict(definition), path="definition", limits=_LIMITS)


def _checked(tools: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(tools, dict) or not all(isinstance(each, dict) for each in tools.values()):
        raise TypeError("tools")
    return dict(tools)
