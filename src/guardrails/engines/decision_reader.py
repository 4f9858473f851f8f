"""Reads what policies answer, and what they have answered before at a glance.

Most calls of an agent get one of a few answers: allowed, or denied, for the same reasons in the
same words. Reading one strictly takes twice as long as evaluating the policy; finding it among
those that were read takes a sixth of that.
"""

from __future__ import annotations

from typing import Any, Final

from guardrails.model.decision import Decision

_MOST: Final = 256
"""Answers that are kept; reasons may repeat arguments, so that there is no end of them."""

_LONGEST: Final = 512
"""Characters of the reasons of an answer that is kept."""


class DecisionReader:
    """Reads the answers of one revision of policies. Threads may share it.

    Args:
        revision: The revision.
    """

    __slots__ = ("_known", "revision")

    def __init__(self, revision: str) -> None:
        self.revision = revision
        # By effect, and rule and reason of each reason. What is equal to strings is strings.
        self._known: dict[tuple[str, ...], Decision] = {}

    def read(self, document: dict[str, Any]) -> Decision:
        """The decision that `document`, an object, states; it bears no call's id.

        Raises:
            MalformedDecision: it is no decision.
        """
        try:
            key = _key(document)
            known = self._known.get(key)
        except (KeyError, TypeError):  # no decision, which is said below; or one with more to it
            return Decision.from_document(document, revision=self.revision)
        if known is not None:
            return known
        decision = Decision.from_document(document, revision=self.revision)
        if sum(map(len, key)) <= _LONGEST:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = decision
        return decision


def _key(document: dict[str, Any]) -> tuple[str, ...]:
    """All that a decision says which is no more than an effect and reasons.

    Raises:
        KeyError: it is not, or says more.
        TypeError: as above.
    """
    reasons = document["reasons"]
    if (
        len(document) != 4  # noqa: PLR2004  # effect, reasons, and the next two
        or document["approvals"] != []
        or document["obligations"] != []
        or type(reasons) is not list
    ):
        raise KeyError
    key = [document["effect"]]
    for reason in reasons:
        if type(reason) is not dict or len(reason) != 2:  # noqa: PLR2004  # rule and reason
            raise KeyError
        key += reason["rule"], reason["reason"]
    return tuple(key)
