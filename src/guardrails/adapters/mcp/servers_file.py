"""``mcp.json``: the servers that the proxy stands in front of, as others write it, and more.

::

    {"mcpServers": {
      "salesforce": {
        "command": "npx", "args": ["-y", "@acme/salesforce-mcp"],
        "env": {"SALESFORCE_TOKEN": "${SALESFORCE_TOKEN}"},
        "permissions": {"read": ["contacts", "opportunities"], "write": ["tasks"], "delete": []},
        "tools": {"merge_leads": {"resource": "leads", "operation": "write"}}
      },
      "docs": {"url": "https://docs.acme.example/mcp", "headers": {"Authorization": "${DOCS}"}}
    }}

Without ``permissions`` nothing of a server may be called. ``${NAME}`` stands for a variable of the
proxy's environment; of the rest of it a server sees ``PATH``, ``HOME`` and the like, nothing more.
What other programs write to call without asking (``autoApprove``, ``alwaysAllow``) has no effect.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from guardrails.errors import ConfigError
from guardrails.model.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

ServerName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9](_?[A-Za-z0-9-])*$", max_length=48)
]
"""A server's name: without dots, and without ``__``, which part it from a tool's name."""

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,79}$")]
Operation = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]

_VARIABLE: Final = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)\}")
_LARGEST: Final = 1_048_576


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ToolWords(_Strict):
    """What a person says of one tool.

    Attributes:
        resource: What it works on; else the tool's own name.
        operation: What it does to it.
        labels: Words for policy.
    """

    resource: Word | None = None
    operation: Operation
    labels: tuple[str, ...] = ()


class Server(_Strict):
    """One server: how it is reached, and what of it may be called.

    Attributes:
        command: The program to start, for a server on standard input and output.
        args: Its arguments.
        env: Variables that it gets, besides those that every program needs.
        cwd: Where it is started.
        url: The address of a server over streamable HTTP.
        headers: What it is sent with every request; nothing of a client's is.
        permissions: For each operation, what may be read, written, …: tools by their names, or
            words of which a tool's name holds one.
        tools: What a person says of single tools.
        timeout: Seconds that a call may take.
        prefix: Whether its tools are shown as ``SERVER__TOOL``; None: where there are others.
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    permissions: dict[Operation, tuple[Word, ...]] = Field(default_factory=dict)
    tools: dict[str, ToolWords] = Field(default_factory=dict)
    timeout: float = Field(default=60.0, gt=0, le=3_600)
    prefix: bool | None = None
    disabled: bool = False
    type: Literal["stdio", "http", "streamable-http", "streamableHttp"] | None = None
    transport: Literal["stdio", "http", "streamable-http", "streamableHttp"] | None = None
    description: str | None = None
    auto_approve: Any = Field(default=None, alias="autoApprove")
    always_allow: Any = Field(default=None, alias="alwaysAllow")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("either `command` or `url` is needed, and not both")
        kind = self.type or self.transport
        if kind is not None and (kind == "stdio") != (self.command is not None):
            raise ValueError(f"`{kind}` does not go with `{'url' if self.url else 'command'}`")
        return self

    def launch(self) -> str:
        """The digest of what is started or asked: another program or address is another server."""
        return digest(
            {
                "command": self.command,
                "args": list(self.args),
                "cwd": self.cwd,
                "url": self.url,
                "env": sorted(self.env),
                "headers": sorted(self.headers),
            }
        )


class ServersFile:
    """The servers of a file.

    Attributes:
        path: The file.
        servers: The servers in its order, without those that are disabled.
        warnings: What in it has no effect.
    """

    def __init__(
        self, path: Path, servers: Mapping[str, Server], warnings: tuple[str, ...]
    ) -> None:
        self.path = path
        self.servers = dict(servers)
        self.warnings = warnings

    @classmethod
    def load(cls, path: str | Path) -> ServersFile:
        """The servers that the file at `path` names.

        Raises:
            ConfigError: it cannot be read, or something in it is wrong; the text says what and
                where.
        """
        path = Path(path)
        document = read_json(path)
        try:
            read = _File.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(each) for each in first["loc"])
            raise ConfigError(f"{path}: {where}: {first['msg']}") from None
        lower: dict[str, str] = {}
        for name in read.servers:
            if name.lower() in lower:
                raise ConfigError(
                    f"{path}: mcpServers: `{lower[name.lower()]}` and `{name}` are too much alike"
                )
            lower[name.lower()] = name
        warnings = tuple(
            f"{path}: mcpServers.{name}: autoApprove and alwaysAllow have no effect"
            for name, each in read.servers.items()
            if each.auto_approve or each.always_allow
        )
        return cls(path, {n: s for n, s in read.servers.items() if not s.disabled}, warnings)

    def server(self, name: str) -> Server:
        """The server of this name.

        Raises:
            ConfigError: there is none.
        """
        found = self.servers.get(name)
        if found is None:
            known = ", ".join(f"`{each}`" for each in self.servers) or "none"
            raise ConfigError(f"{self.path} has no server `{name}`; there are {known}")
        return found

    def shown_as(self, server: str, tool: str) -> str:
        """The name under which the proxy shows a tool."""
        prefix = self.server(server).prefix
        alone = len(self.servers) == 1
        return tool if prefix is False or (prefix is None and alone) else f"{server}__{tool}"


class _File(BaseModel):
    servers: dict[ServerName, Server] = Field(alias="mcpServers")


def filled_in(text: str, where: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` with its variables.

    Args:
        text: Text with ``${NAME}``.
        where: Where it stands, for errors.
        environment: The variables; None for those of this process.

    Raises:
        ConfigError: one is not set.
    """
    known = os.environ if environment is None else environment

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in known:
            raise ConfigError(f"{where}: the variable {name} is not set")
        return known[name]

    return _VARIABLE.sub(value, text)


def read_json(path: Path) -> Any:
    """What a file of JSON holds.

    Raises:
        ConfigError: it cannot be read, is no JSON, is too large, or says one thing twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"{path}: `{twice}` stands twice in one object")
        return found

    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST * 16 + 1)
        if len(text) > _LARGEST * 16:
            raise ConfigError(f"{path}: it is larger than {_LARGEST * 16} bytes")
        return json.loads(text, object_pairs_hook=once)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is no JSON: {error}") from None
