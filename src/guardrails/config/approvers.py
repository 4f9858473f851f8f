"""``approvers.yaml``: the people who may answer requests, their groups and keys.

::

    dana@acme.example:
      groups: [finance-ops]
      key: ed25519:…         # `guardrails approvals enroll` prints it
      os_user: dana          # the user that the person works as; without it, any

Whoever may change this file decides who approves: keep it where agents cannot write, and
under review.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, RootModel, model_validator

from guardrails.approvals.approvers import Approver, Approvers
from guardrails.approvals.people import identity
from guardrails.approvals.signing import public_key
from guardrails.register.source import Mapped
from guardrails.register.words import Keyed, Name, Person, Some, Text
from guardrails.register.yaml_source import read_yaml

if TYPE_CHECKING:
    from pathlib import Path


def _key(text: str) -> str:
    public_key(text)
    return text


class _Approver(Mapped):
    """One person as the file has them."""

    groups: Some[Name]
    key: Annotated[Text, AfterValidator(_key)]
    os_user: Name | None = None


class _Approvers(RootModel[Keyed[Person, _Approver]]):
    @model_validator(mode="after")
    def _each_once(self) -> _Approvers:
        seen: dict[str, str] = {}
        for name in self.root:
            who = identity(name)
            if who in seen:
                msg = f"`{name}` and `{seen[who]}` are one person, who has one entry"
                raise ValueError(msg)
            seen[who] = name
        return self


def read_approvers(path: Path) -> Approvers:
    """The people in the file at `path`.

    Raises:
        ConfigError: it cannot be read, or the extra ``approvals`` is not installed.
        SourceError: it is wrong; each problem has its place.
    """
    written = read_yaml(path).validate(_Approvers)
    return Approvers(
        Approver(name, frozenset(each.groups), each.key, each.os_user)
        for name, each in written.root.items()
    )
