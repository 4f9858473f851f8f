"""Who may answer: the people of ``approvers.yaml``, their groups and keys; and the servers.

Where an approval service knows them, an answer counts only if its person signed it, or a
server that may vouch for this group did; and as long as that person is in the group: both when
it is given and when the approval is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from guardrails.approvals.people import identity
from guardrails.approvals.requests import is_own
from guardrails.approvals.signing import is_signed, key_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrails.model.approval import Answer, ApprovalRequest


@dataclass(frozen=True, slots=True)
class Approver:
    """One person who may answer.

    Attributes:
        name: Who, as an e-mail address.
        groups: The approver groups that the person belongs to.
        key: The public half of the person's key, as ``ed25519:…``; None for a person whom only a
            server knows.
        os_user: The operating-system user that the person works as on this machine; None
            where any may be.
        tokens: The SHA-256 of each token by which a server knows the person, as ``sha256:…``.
    """

    name: str
    groups: frozenset[str]
    key: str | None = None
    os_user: str | None = None
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Server:
    """A server that may sign in the place of people whom it knows.

    Attributes:
        name: Its name.
        groups: The approver groups in whose name its word counts; no other does by it.
        key: The public half of its key, as ``ed25519:…``.
    """

    name: str
    groups: frozenset[str]
    key: str


class AnswerCheck(Protocol):
    """Says which answers count; :class:`Approvers` does, and a file of them."""

    def answer_of(self, request: ApprovalRequest, answer: Answer, now: int) -> Answer | None:
        """See :meth:`Approvers.answer_of`."""
        ...


class Approvers:
    """The people who may answer, found by any spelling of their names.

    Args:
        people: They.
        servers: The servers that may vouch for people.

    Raises:
        ValueError: two of them are one person or have one key, or one's name identifies nobody.
    """

    def __init__(self, people: Iterable[Approver], servers: Iterable[Server] = ()) -> None:
        self.servers: Mapping[str, Server] = {each.name: each for each in servers}
        self._people: dict[str, Approver] = {}
        keys: dict[bytes, str] = {}
        for each in people:
            who = identity(each.name)
            if who in self._people:
                msg = f"`{each.name}` is named twice; the same person has one entry"
                raise ValueError(msg)
            self._people[who] = each
            # Whoever holds one key is one person, and would be a quorum of two by two names.
            key = None if each.key is None else key_bytes(each.key)
            if key is not None and keys.setdefault(key, each.name) != each.name:
                other = keys[key]
                msg = f"`{each.name}` and `{other}` have the same key; each person has an own one"
                raise ValueError(msg)

    @property
    def people(self) -> Mapping[str, Approver]:
        """They, by the form of their names in which people are compared."""
        return self._people

    def find(self, name: str) -> Approver | None:
        """The person of this name."""
        try:
            return self._people.get(identity(name))
        except ValueError:
            return None

    def answer_of(self, request: ApprovalRequest, answer: Answer, now: int) -> Answer | None:
        """The answer with the groups that its person is in; None where it does not count.

        It counts if that person signed it, or a server in the person's place, if the person is
        not the one who asks, and if the request, as it is shown, is for the call that it is filed
        under. The groups are those that the file gives the person today. By a server's word only
        the groups of that server count; of a person who is not in the file they are those that
        the server vouched for.

        Args:
            request: The request, as it was read from a store that is not trusted.
            answer: The answer, likewise.
            now: UTC nanoseconds; no answer was given later.
        """
        groups, key = self._groups_and_key(answer)
        if key is None or answer.time > now or is_own(request, answer):
            return None
        seal = request.seal()
        if seal.key_of_shown != request.call_key or not is_signed(key, seal.digest, answer):
            return None
        return answer if answer.groups == groups else replace(answer, groups=groups)

    def _groups_and_key(self, answer: Answer) -> tuple[frozenset[str], str | None]:
        """Whom the answer speaks for, if it is signed by the key that is given, too."""
        person = self.find(answer.by)
        if not answer.server:
            return (frozenset(), None) if person is None else (person.groups, person.key)
        server = self.servers.get(answer.server)
        if server is None:
            return frozenset(), None
        member_of = answer.vouched if person is None else person.groups
        return member_of & server.groups, server.key
