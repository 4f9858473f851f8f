"""``approvers.yaml``: the people who may answer requests, their groups and keys.

::

    dana@acme.example:
      groups: [finance-ops]
      key: ed25519:…         # `guardrails approvals enroll` prints it
      os_user: dana          # the user that the person works as; without it, any
    lee@acme.example:        # without a key: answers by a server alone
      groups: [finance-ops]
      tokens: [sha256:…]     # `guardrails approvals token` makes one; a list, so that one can
                             # take another's place
    servers:                 # may vouch for whom they know, in the name of these groups
      approvals-api:
        groups: [finance-ops]
        key: ed25519:…       # `guardrails approvals enroll-server` prints it

Whoever may change this file decides who approves: keep it where agents cannot write, and
under review.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field, RootModel, StringConstraints, model_validator

from guardrails.approvals.approvers import Approver, Approvers, Server
from guardrails.approvals.people import identity
from guardrails.approvals.signing import key_bytes, public_key
from guardrails.register.current_file import CurrentFile
from guardrails.register.source import Mapped
from guardrails.register.words import Keyed, Listed, Name, Person, Some, Text
from guardrails.register.yaml_source import parse_yaml, read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from guardrails.model.approval import Answer, ApprovalRequest

_SERVERS: Final = "servers"
"""The one key that is no person's address."""


def _key(text: str) -> str:
    public_key(text)
    return text


_Key = Annotated[Text, AfterValidator(_key)]
_Hash = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Approver(Mapped):
    """One person as the file has them."""

    groups: Some[Name]
    key: _Key | None = None
    os_user: Name | None = None
    tokens: Listed[_Hash] = ()


class _Server(Mapped):
    """One server as the file has it."""

    groups: Some[Name]
    key: _Key


class _Servers(Mapped):
    servers: Keyed[Name, _Server] = Field(default={}, validate_default=True)


class _Approvers(RootModel[Keyed[Person, _Approver]]):
    @model_validator(mode="after")
    def _each_once(self) -> _Approvers:
        seen: dict[str, str] = {}
        held: dict[str, str] = {}
        keys: dict[bytes, str] = {}
        for name, entry in self.root.items():
            who = identity(name)
            if who in seen:
                msg = f"`{name}` and `{seen[who]}` are one person, who has one entry"
                raise ValueError(msg)
            seen[who] = name
            if entry.key is not None:
                other = keys.setdefault(key_bytes(entry.key), name)
                if other != name:
                    msg = f"`{name}` and `{other}` have the same key; each person has an own one"
                    raise ValueError(msg)
            for token in entry.tokens:
                if token in held:
                    msg = f"`{name}` and `{held[token]}` have the same token"
                    raise ValueError(msg)
                held[token] = name
        return self


def check_person(name: str, groups: Sequence[str]) -> None:
    """See that a person of this name and in these groups can stand in the file.

    Raises:
        SourceError: the file would be wrong with them.
    """
    entry = json.dumps({name: {"groups": list(groups)}})  # which is YAML, too
    parse_yaml(entry, "the entry").validate(_Approvers)


def read_approvers(path: Path) -> Approvers:
    """The people in the file at `path`, and the servers that may vouch for them.

    Raises:
        ConfigError: it cannot be read, or the extra ``approvals`` is not installed.
        SourceError: it is wrong; each problem has its place.
    """
    source = read_yaml(path)
    people, servers = source.value, {}
    if isinstance(people, dict) and _SERVERS in people:
        servers = {_SERVERS: people[_SERVERS]}
        people = {name: entry for name, entry in people.items() if name != _SERVERS}
    vouching = replace(source, value=servers).validate(_Servers)
    written = replace(source, value=people).validate(_Approvers)
    return Approvers(
        (
            Approver(name, frozenset(each.groups), each.key, each.os_user, each.tokens)
            for name, each in written.root.items()
        ),
        (Server(name, frozenset(each.groups), each.key) for name, each in vouching.servers.items()),
    )


class ApproversFile:
    """The file as it is now: read anew when it has changed, so that who is taken out is out.

    It says which answers count; implements :class:`guardrails.approvals.approvers.AnswerCheck`.

    Args:
        path: The file; it is read at once.

    Raises:
        ConfigError: it is wrong, or not there; also from every method.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = CurrentFile(path, read_approvers)

    def current(self) -> Approvers:
        """Whom the file names now."""
        return self._file.now()

    def answer_of(self, request: ApprovalRequest, answer: Answer, now: int) -> Answer | None:
        """See :meth:`guardrails.approvals.approvers.Approvers.answer_of`."""
        return self.current().answer_of(request, answer, now)
