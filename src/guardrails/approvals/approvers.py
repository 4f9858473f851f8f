"""Who may answer: the people of ``approvers.yaml``, their groups and keys.

Where an approval service knows them, an answer counts only if its person signed it,
and as long as that person is in the group: both when it is given and when the
approval is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guardrails.approvals.people import identity
from guardrails.approvals.requests import is_own
from guardrails.approvals.signing import is_signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrails.model.approval import Answer, ApprovalRequest


@dataclass(frozen=True, slots=True)
class Approver:
    """One person who may answer.

    Attributes:
        name: Who, as an e-mail address.
        groups: The approver groups that the person belongs to.
        key: The public half of the person's key, as ``ed25519:…``.
        os_user: The operating-system user that the person works as on this machine; None
            where any may be.
    """

    name: str
    groups: frozenset[str]
    key: str
    os_user: str | None = None


class Approvers:
    """The people who may answer, found by any spelling of their names.

    Args:
        people: They.

    Raises:
        ValueError: two of them are one person, or one's name identifies nobody.
    """

    def __init__(self, people: Iterable[Approver]) -> None:
        self._people: dict[str, Approver] = {}
        for each in people:
            who = identity(each.name)
            if who in self._people:
                msg = f"`{each.name}` is named twice; the same person has one entry"
                raise ValueError(msg)
            self._people[who] = each

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

        It counts if that person signed it, is not the one who asks, and if the request, as
        it is shown, is for the call that it is filed under.

        Args:
            request: The request, as it was read from a store that is not trusted.
            answer: The answer, likewise.
            now: UTC nanoseconds; no answer was given later.
        """
        person = self.find(answer.by)
        if (
            person is None
            or answer.time > now
            or is_own(request, answer)
            or request.key_of_shown() != request.call_key
            or not is_signed(person.key, request.digest, answer)
        ):
            return None
        return replace(answer, groups=person.groups)
